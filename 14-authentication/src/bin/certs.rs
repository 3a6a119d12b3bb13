//! Makes certificates for the server, two members and a stranger, and tokens for the members.

use std::process::ExitCode;

use authentication::certs::Certs;

fn main() -> ExitCode {
    match Certs::of_the_course().make() {
        Ok(()) => {
            println!("made certificates for 30 days, in target/certs");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("making certificates failed: {error}");
            ExitCode::FAILURE
        }
    }
}
