//! Turns `protos/restart.proto` into Rust, before the lesson itself is compiled.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../protos/restart.proto");
    let protos = protox::compile(["restart.proto"], ["../protos"])?;
    // Default stubs: a method that a lesson does not implement answers UNIMPLEMENTED.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .compile_fds(protos)?;
    Ok(())
}
