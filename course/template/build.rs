//! Turns `proto/greeter.proto` into Rust, without protoc, before everything else is compiled.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/greeter.proto");
    let protos = protox::compile(["greeter.proto"], ["proto"])?;
    tonic_prost_build::compile_fds(protos)?;
    Ok(())
}
