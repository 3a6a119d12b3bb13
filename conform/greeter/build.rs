//! Turns `greeter.proto` into Rust.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=greeter.proto");
    let protos = protox::compile(["greeter.proto"], ["."])?;
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .compile_fds(protos)?;
    Ok(())
}
