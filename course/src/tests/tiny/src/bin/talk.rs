//! Repeats what is typed, or misbehaves. Stands in for other software that runs a script.

use std::{env, fs, io, process, thread};

fn main() {
    let name = env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        script if script.ends_with(".mjs") => interpret(script),
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

/// Prints the script without its comments, and fails where it says that something fails.
fn interpret(script: &str) {
    let text = fs::read_to_string(script).unwrap();
    let server = env::args().nth(2).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with("//")) {
        println!("{}", line.replace("SERVER", &server));
    }
    process::exit(i32::from(text.contains("NOT ok")));
}
