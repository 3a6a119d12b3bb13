//! Checks how a lesson's programs fail: a plain sentence on stderr, and an exit code that is not zero.

use std::net::TcpListener;

use super::peer::Peer;
use crate::cargo::Built;
use crate::lesson::{Course, Lesson};
use crate::problem::{Problem, Result};
use crate::processes::{Finished, silent};
use crate::run;

/// What an error looks like that was made for a programmer.
const DUMPS: [&str; 4] = ["Error {", "Os {", "panicked", "Error("];

/// How a server of another kind ends every call, and whether the client may then be at the wrong one.
const REFUSALS: [(&[(&str, &str)], bool); 3] = [
    (&[("grpc-status", "7"), ("grpc-message", "not you")], false),
    (&[("grpc-status", "12")], true),
    // tonic panics on these.
    (
        &[("grpc-status", "7"), ("grpc-status-details-bin", "!")],
        false,
    ),
];

pub fn check(course: &Course, lesson: &Lesson, built: &Built) -> Result<Vec<Problem>> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken = (taken.local_addr()?.to_string(), taken);
    let cases = [
        // Nothing listens on port 1. A port that was free a moment ago may be taken by now.
        ("client", "http://127.0.0.1:1"),
        ("client", "127.0.0.1:50051"),
        ("client", "https://127.0.0.1:1"),
        ("server", &taken.0),
        ("server", "nonsense"),
    ];
    let mut problems = Vec::new();
    let speaks_tls = run::speaks_tls(course, lesson)?;
    for (name, argument) in cases {
        let place = format!("{}: {name} {argument}", lesson.folder());
        let Some(program) = built.programs.get(name) else {
            problems.push(Problem::new(place, "a program", "none of that name"));
            continue;
        };
        let mut command = silent(program);
        command.arg(argument).current_dir(&course.root);
        let finished = course.children.run(&mut command, course.limit)?;
        expect_silence(&place, &finished, &mut problems);
        problems.extend(judge(&place, argument, &finished));
    }
    // That server speaks plain text: a client of TLS has said so above.
    let client = built.programs.get("client");
    if let Some(client) = client.filter(|_| !speaks_tls) {
        for (headers, names_server) in REFUSALS {
            let peer = Peer::start(headers)?;
            let place = format!("{}: client, refused with {headers:?}", lesson.folder());
            let mut command = silent(client);
            command.arg(peer.url()).current_dir(&course.root);
            let finished = course.children.run(&mut command, course.limit)?;
            problems.extend(judge(&place, &peer.url(), &finished));
            if (finished.stderr.len() == 2) != names_server {
                let expected = if names_server {
                    "a second line, with the server that the client needs"
                } else {
                    "no second line: a server that refuses may be the right one"
                };
                problems.push(Problem::new(place, expected, finished.stderr.join(" / ")));
            }
        }
    }
    Ok(problems)
}

fn expect_silence(place: &str, finished: &Finished, problems: &mut Vec<Problem>) {
    if !finished.stdout.is_empty() {
        let stdout = finished.stdout.join("\n            ");
        problems.push(Problem::new(place, "nothing on stdout", stdout));
    }
}

fn judge(place: &str, argument: &str, finished: &Finished) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut expect = |holds: bool, expected: &str, got: &str| {
        if !holds {
            problems.push(Problem::new(place, expected, got));
        }
    };
    let failed = finished.status.is_some_and(|status| !status.success());
    expect(failed, "an exit code that is not zero", &finished.ending());
    let stderr = finished.stderr.join("\n            ");
    // A client adds which server it needs.
    let is_short = matches!(finished.stderr.len(), 1 | 2);
    expect(is_short, "one line on stderr, or two", &stderr);
    let names_it = finished
        .stderr
        .first()
        .is_some_and(|it| it.contains(argument));
    expect(
        names_it,
        &format!("a first line that names {argument}"),
        &stderr,
    );
    for dump in DUMPS {
        let is_plain = !stderr.contains(dump);
        expect(is_plain, &format!("a sentence without `{dump}`"), &stderr);
    }
    problems
}
