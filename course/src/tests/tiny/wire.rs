//! Passes one line to the server and its answer back, and shows both.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let [own, to] = ["wire-address", "address"].map(|file| fs::read_to_string(file).unwrap());
    let listener = TcpListener::bind(&own).unwrap();
    println!("listening on {own}, passing on to {to}");
    for client in listener.incoming() {
        let (client, server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
        for (arrow, from, mut into) in [("->", &client, &server), ("<-", &server, &client)] {
            let mut line = String::new();
            BufReader::new(from).read_line(&mut line).unwrap();
            println!("A   │ {arrow} {}", line.trim());
            into.write_all(line.as_bytes()).unwrap();
        }
    }
}
