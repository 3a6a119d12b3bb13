//! Turns `protos/signup.proto` and `protos/mail.proto` into Rust, before the lesson is compiled.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../protos/signup.proto");
    println!("cargo:rerun-if-changed=../protos/mail.proto");
    let protos = protox::compile(["signup.proto", "mail.proto"], ["../protos"])?;
    // Default stubs: a method that a lesson does not implement answers UNIMPLEMENTED.
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        .compile_fds(protos)?;
    Ok(())
}
