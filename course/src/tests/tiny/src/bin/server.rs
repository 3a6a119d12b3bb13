//! Answers a name with a greeting.

use std::io::{BufRead, BufReader, Write};
use std::{env, fs, net::TcpListener, process};

fn run(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut name = String::new();
        BufReader::new(&stream).read_line(&mut name).unwrap();
        let name = name.trim();
        writeln!(stream, "hello, {name}").unwrap();
        if fs::exists("server-quits").unwrap() {
            // With the connection still open: the client ends only after that.
            process::exit(0);
        }
        drop(stream);
        // After the answer, so that the client may have ended before.
        println!("heard: {name}");
        if fs::exists("server-is-loud").unwrap() {
            eprintln!("that was {name}");
        }
    }
}

// The rest is the same in every server.

fn main() {
    let default = || fs::read_to_string("address").unwrap();
    let address = env::args().nth(1).unwrap_or_else(default);
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| {
        eprintln!("serving on {address} failed: {error}");
        process::exit(1);
    });
    println!("listening on {}", listener.local_addr().unwrap());
    run(listener);
}
