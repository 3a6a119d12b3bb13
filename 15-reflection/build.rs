//! Turns two `.proto` files into Rust, and keeps their descriptors for the server to tell.

use std::path::Path;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../protos/helloworld.proto");
    println!("cargo:rerun-if-changed=../protos/calculator.proto");
    let protos = protox::compile(["helloworld.proto", "calculator.proto"], ["../protos"])?;
    let file = Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin");
    std::fs::write(file, protos.encode_to_vec())?;
    // Default stubs: a method that a lesson does not implement answers UNIMPLEMENTED.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .compile_fds(protos)?;
    Ok(())
}
