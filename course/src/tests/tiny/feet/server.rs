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
