//! Asks for a greeting.

use std::io::{Read, Write};
use std::{env, fs, net::TcpStream, process};

fn run(mut stream: TcpStream) {
    let mut answer = String::new();
    stream.write_all(b"Ann\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    print!("{answer}");
    if fs::exists("client-fails").unwrap() {
        eprintln!("that is not enough");
        process::exit(3);
    }
}

// The rest is the same in every client.

fn main() {
    let default = || format!("http://{}", fs::read_to_string("address").unwrap());
    let url = env::args().nth(1).unwrap_or_else(default);
    let stream = url.strip_prefix("http://").map(TcpStream::connect);
    let Some(Ok(stream)) = stream else {
        eprintln!("{url} cannot be called");
        eprintln!("it needs the server that `cargo 01 server` starts");
        process::exit(1);
    };
    run(stream);
}
