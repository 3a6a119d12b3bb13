//! Asks for a greeting.

use std::io::{Read, Write};
use std::{env, fs, net::TcpStream, process};

fn main() {
    let default = || format!("http://{}", fs::read_to_string("address").unwrap());
    let url = env::args().nth(1).unwrap_or_else(default);
    let stream = url.strip_prefix("http://").map(TcpStream::connect);
    let Some(Ok(mut stream)) = stream else {
        eprintln!("{url} cannot be called");
        process::exit(1);
    };
    let mut answer = String::new();
    stream.write_all(b"Ann\n").unwrap();
    stream.read_to_string(&mut answer).unwrap();
    print!("{answer}");
    if fs::exists("client-fails").unwrap() {
        eprintln!("that is not enough");
        process::exit(3);
    }
}
