//! Repeats what is typed, or misbehaves.

use std::{env, io, process, thread};

fn main() {
    let name = env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "hang" => loop {
            thread::park();
        },
        "fail" => {
            println!("half of it");
            eprintln!("the rest is missing");
            process::exit(3);
        }
        "refuse" => {
            println!("no");
            process::exit(1);
        }
        "fail-silently" => process::exit(3),
        "greeting" => println!("{}", env::var("GREETING").unwrap()),
        _ => println!("{name} is here"),
    }
    for line in io::stdin().lines() {
        println!("{name}: {}", line.unwrap());
    }
}
