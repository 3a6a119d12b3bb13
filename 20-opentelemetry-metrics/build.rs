//! Turns `protos/calculator.proto` into Rust, before the lesson itself is compiled.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../protos/calculator.proto");
    let protos = protox::compile(["calculator.proto"], ["../protos"])?;
    // The server reads the names of its methods in here.
    let descriptors = std::path::Path::new(&std::env::var("OUT_DIR")?).join("calculator.bin");
    std::fs::write(descriptors, protos.encode_to_vec())?;
    // Default stubs: a method that a lesson does not implement answers UNIMPLEMENTED.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .compile_fds(protos)?;
    Ok(())
}
