//! Asks for a greeting.

use std::io::{Read, Write};
use std::{env, fs, net::TcpStream, process};

fn run(mut stream: TcpStream) {
    let mut answer = String::new();
    stream.write_all(b"Ann\n").unwrap();
    if is_http2(&stream) {
        refused(stream);
    }
    stream.read_to_string(&mut answer).unwrap();
    print!("{answer}");
    if fs::exists("client-fails").unwrap() {
        eprintln!("that is not enough");
        process::exit(3);
    }
}

/// No greeting begins as a frame does.
fn is_http2(stream: &TcpStream) -> bool {
    let mut first = [b'-'];
    stream.peek(&mut first).unwrap();
    first == [0]
}

/// Ends the preface and calls, without headers: enough for a server that refuses every call.
fn refused(mut stream: TcpStream) -> ! {
    stream.write_all(&[0; 20]).unwrap();
    stream.write_all(&[0, 0, 0, 1, 5, 0, 0, 0, 1]).unwrap();
    let mut answer: Vec<u8> = Vec::new();
    let mut part = [0; 1024];
    while !answer.windows(11).any(|it| it == b"grpc-status") {
        let count = stream.read(&mut part).unwrap();
        assert_ne!(count, 0, "no status");
        answer.extend(&part[..count]);
    }
    eprintln!("http://{} refuses", stream.peer_addr().unwrap());
    if answer.windows(3).any(|it| it == b"\x0212") {
        eprintln!("it needs a server of its own");
    }
    process::exit(1);
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
