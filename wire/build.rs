//! Compiles the protos of the course and of the standard services, by which messages get field
//! names.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    // Two sets, so that a proto of the course may have the same file name as a standard one.
    for (folder, set) in [("../protos", "course.bin"), ("protos", "standard.bin")] {
        println!("cargo:rerun-if-changed={folder}");
        let descriptors = protox::compile(protos(folder)?, [folder])?;
        let out = PathBuf::from(env::var("OUT_DIR")?);
        fs::write(out.join(set), descriptors.encode_to_vec())?;
    }
    Ok(())
}

fn protos(folder: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut protos = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            protos.push(path);
        }
    }
    // Folders have no order of their own; a build should.
    protos.sort();
    Ok(protos)
}
