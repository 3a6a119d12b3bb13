//! Scripts in `peers` that hold, that don't, and that can't be run.

use super::*;
use crate::command::Command;
use crate::peers::script::{Language, Script};
use crate::peers::tools::Tools;
use crate::peers::{run, scripts};

/// A machine without other software.
fn nothing() -> Tools {
    Tools {
        python: "no-python".to_owned(),
        node: "no-node".to_owned(),
        npm: "no-npm".to_owned(),
    }
}

/// A fixture with one script. The fixture's own program stands in for Node.js.
fn with_script(text: &str) -> (Fixture, Tools) {
    let talk = programs().programs["talk"].to_string_lossy().into_owned();
    let fixture = Fixture::new();
    fixture.write("peers/01_tiny.mjs", text);
    for file in ["peers/package-lock.json", "target/peers/node/installed"] {
        fixture.write(file, "{}");
    }
    let tools = Tools {
        npm: talk.clone(),
        node: talk,
        ..nothing()
    };
    (fixture, tools)
}

/// The exit code, and what is said without how long it took.
fn ran(fixture: &Fixture, tools: &Tools) -> (u8, String) {
    let mut out = Vec::new();
    let code = run(&fixture.course, &fixture.course.lessons, tools, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let end = out.rfind(" in ").unwrap();
    (code, out[..end].to_owned())
}

#[test]
fn what_the_machine_misses_is_said_in_plain_sentences() {
    let fixture = Fixture::new();
    for (file, text) in [
        (
            "01_a.py",
            "# needs: promtool prometheus no-such-program buf",
        ),
        ("01_b.mjs", ""),
    ] {
        fixture.write(&format!("peers/{file}"), text);
    }
    let mut out = Vec::new();
    let error = run(
        &fixture.course,
        &fixture.course.lessons,
        &nothing(),
        &mut out,
    )
    .unwrap_err();
    let error = error.to_string();
    for sentence in [
        "missing on this machine:\nPython 3.10 or newer, with venv: `apt-get install python3-venv`",
        "\nNode.js 18 or newer, with npm: `apt-get install nodejs npm`",
        "\nno-such-program",
    ] {
        assert!(error.contains(sentence), "{error}");
    }
    assert!(out.is_empty() && !error.contains("buf"));
    // What no script needs is not missing.
    fixture.remove("peers/01_a.py");
    let scripts = scripts(&fixture.course, &fixture.course.lessons).unwrap();
    let missing = nothing().missing(&fixture.course, &scripts).unwrap();
    assert!(missing.len() == 1 && missing[0].starts_with("Node.js"));
}

#[test]
fn a_script_runs_beside_the_servers_that_it_asks_for() {
    let address = free_address();
    let script = format!("// Greets.\n// server: {address}\nok: SERVER is there\nok: still\n");
    let (fixture, tools) = with_script(&script);
    let expected =
        format!("01_tiny.mjs\n  ok: {address} is there\n  ok: still\n2 cases in 1 script passed");
    assert_eq!(ran(&fixture, &tools), (0, expected));
    TcpListener::bind(&address).unwrap();
    let log = fs::read_to_string(fixture.course.root.join("target/peers/server.log")).unwrap();
    assert_eq!(log, format!("listening on {address}\n"));
}

#[test]
fn a_case_that_fails_and_a_script_that_says_nothing_are_problems() {
    for (script, complaint) in [
        (
            "// server: none\nok: a\nNOT ok: b: expected 1, got 2\n",
            "\n1 problem in 2 cases in 1 script, found",
        ),
        ("// server: none\n", "got:      0 cases, exit "),
        ("// server: none\nnonsense\n", "got:      1 cases, exit "),
        (
            "// server: nonsense\nok: a\n",
            "got:      serving on nonsense failed: ",
        ),
        (
            "// before: talk fail\n// server: none\nok: a\n",
            "expected: `talk` that succeeds\n  got:      exit ",
        ),
        (
            "// before: nothing\nok: a\n",
            "there is no program `nothing`",
        ),
    ] {
        let (fixture, tools) = with_script(script);
        let (code, out) = ran(&fixture, &tools);
        assert!(code == 1 && out.contains(complaint), "{out}");
    }
}

#[test]
fn scripts_of_the_whole_course_run_with_all_others_or_alone() {
    let fixture = Fixture::new();
    for file in ["00_a.mjs", "01_b.mjs", "clients.mjs"] {
        fixture.write(&format!("peers/{file}"), "");
    }
    let names = |words: &[&str]| {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let Ok(Command::Peers(lessons)) = Command::parse(&fixture.course, &words) else {
            panic!("not a command for peers");
        };
        let scripts = scripts(&fixture.course, lessons).unwrap();
        scripts.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["peers"]), ["00_a.mjs", "01_b.mjs"]);
    assert_eq!(names(&["peers", "00"]), ["00_a.mjs"]);
}

#[test]
fn the_head_of_a_script_says_what_it_needs() {
    let fixture = Fixture::new();
    let lesson = Some(fixture.lesson());
    let text = "\"\"\"Metrics.\"\"\"\n# needs: promtool\n# before: certs a\n# server: {address} b\n# server: {1}\n";
    let script = Script::new("01_a.py".to_owned(), lesson, Language::Python, text);
    assert_eq!(script.needs, ["promtool"]);
    assert_eq!(script.before, [["certs", "a"]]);
    assert_eq!(script.servers, [vec!["{address}", "b"], vec!["{1}"]]);
    let usual = Script::new(
        "01_a.py".to_owned(),
        lesson,
        Language::Python,
        "// server: none",
    );
    assert_eq!(usual.servers, [["{address}"]]);
    let none = Script::new(
        "01_a.mjs".to_owned(),
        lesson,
        Language::Node,
        "// server: none",
    );
    assert!(none.servers.is_empty());
    let of_all = Script::new("00_a.py".to_owned(), None, Language::Python, "# needs: buf");
    assert!(of_all.servers.is_empty() && of_all.needs(Language::Node));
}
