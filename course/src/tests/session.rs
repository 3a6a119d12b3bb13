//! A page that says something else than the programs do.

use super::*;
use crate::cargo::Programs;
use crate::check::transcripts;
use crate::compare::{
    is_as_shown, is_ladder_as_shown, is_merged_as_shown, may_become, without_times,
};
use crate::script::{Step, scripts};

/// What is wrong with a page that is made of these `console` blocks.
fn played(fixture: &Fixture, blocks: &[&str]) -> String {
    let fence = |block: &&str| format!("```console\n{block}\n```\n");
    let page: String = blocks.iter().map(fence).collect();
    let page = page.replace("ADDRESS", &fixture.course.address);
    fixture.write("01-tiny/README.md", &page);
    let own = Some(fixture.lesson());
    let programs = Programs::from([("tiny".to_owned(), programs().clone())]);
    text(&transcripts(&fixture.course, "01-tiny/README.md", own, programs).unwrap())
}

const SERVER: &str = "$ cargo 01 server\nlistening on ADDRESS\nheard: Ann";
const CLIENT: &str = "$ cargo 01 client\nhello, Ann";

#[test]
fn a_true_page_passes() {
    let blocks = [
        SERVER,
        CLIENT,
        SERVER,
        CLIENT,
        "$ cargo test -p tiny",
        "$ git status",
    ];
    assert_eq!(played(&Fixture::new(), &blocks), "");
}

#[test]
fn wrong_output_is_shown_as_a_diff() {
    let found = played(&Fixture::new(), &[SERVER, "$ cargo 01 client\nhello, Bob"]);
    let expected = "01-tiny/README.md:7: cargo 01 client\n  expected (-), got (+):\n  - hello, Bob\n  \
                    + hello, Ann\n";
    assert_eq!(found, expected);
}

#[test]
fn a_line_too_few_or_too_many_is_seen() {
    let mut fixture = Fixture::new();
    let short = "$ cargo 01 server\nlistening on ADDRESS";
    assert!(played(&fixture, &[short, CLIENT]).contains("\n  + heard: Ann\n"));
    assert!(played(&fixture, &[SERVER, "$ cargo 01 client"]).contains("\n  + hello, Ann\n"));
    // As long as the check waits for a line that does not come.
    fixture.course.limit = Duration::from_secs(3);
    let long = &format!("{SERVER}\nheard: Bob");
    assert!(played(&fixture, &[long, CLIENT]).contains("\n  - heard: Bob\n"));
}

#[test]
fn a_server_that_does_not_start_or_stay_is_seen() {
    let fixture = Fixture::new();
    let found = played(
        &fixture,
        &["$ cargo 01 server nonsense\nlistening on nonsense"],
    );
    assert!(
        found.contains("got:      serving on nonsense failed: "),
        "{found}"
    );
    fixture.write("server-quits", "");
    let found = played(&fixture, &[SERVER, CLIENT]);
    assert!(
        found.contains("a server that runs until it is stopped"),
        "{found}"
    );
}

#[test]
fn a_failure_shows_its_error_on_the_page() {
    let fixture = Fixture::new();
    let truly = "$ cargo 01 talk fail\nhalf of it\nthe rest is missing";
    assert_eq!(played(&fixture, &[truly]), "");
    let found = played(&fixture, &["$ cargo 01 talk fail\nhalf of it"]);
    assert!(found.contains("\n  + the rest is missing\n"), "{found}");
    let found = played(&fixture, &["$ cargo 01 talk fail-silently"]);
    assert!(found.contains("\n  + (exit "), "{found}");
}

#[test]
fn a_result_on_stdout_may_come_with_an_exit_code() {
    let fixture = Fixture::new();
    assert_eq!(played(&fixture, &["$ cargo 01 talk refuse\nno"]), "");
    let found = played(&fixture, &["$ cargo 01 talk refuse\nyes"]);
    assert!(found.contains("\n  - yes\n  + no\n"), "{found}");
}

#[test]
fn a_command_may_have_quotation_marks_and_variables() {
    let fixture = Fixture::new();
    let greeting = "$ GREETING='good day' cargo 01 talk greeting\ngood day";
    let quoted = "$ cargo 01 talk '{\"a\": 1}'\n{\"a\": 1} is here";
    assert_eq!(played(&fixture, &[greeting, quoted]), "");
    let script = |command: &str| {
        scripts("page", &format!("```console\n$ {command}\n```\n"))
            .0
            .remove(0)
    };
    let it = script("A=b=c D_E= cargo 15 ask '{\"f\": \"g h\"}'  \"i'j\"k '' L=m");
    let variables = [("A", "b=c"), ("D_E", "")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(it.variables, variables);
    let words = ["cargo", "15", "ask", "{\"f\": \"g h\"}", "i'jk", "", "L=m"];
    assert_eq!(it.words, words);
}

/// Two terminals, each with a server.
#[test]
fn servers_on_two_addresses_run_at_the_same_time() {
    let fixture = Fixture::new();
    let other = free_address();
    let second = format!("$ cargo 01 server {other}\nlistening on {other}\nheard: Ann");
    let call = format!("$ cargo 01 client http://{other}\nhello, Ann");
    assert_eq!(played(&fixture, &[SERVER, &second, CLIENT, &call]), "");
    let found = played(&fixture, &[SERVER, &second, CLIENT, CLIENT, &call]);
    assert!(
        found.contains("cargo 01 server\n") && found.contains("\n  + heard: Ann\n"),
        "{found}"
    );
}

#[test]
fn a_server_that_cannot_serve_is_run_to_its_end() {
    let fixture = Fixture::new();
    let mut block = "$ cargo 01 server 127.0.0.1\nserving on 127.0.0.1 failed: ".to_owned();
    let found = played(&fixture, &[&block]);
    let error = found.rsplit("failed: ").next().unwrap();
    assert!(
        found.contains("\n  + serving on 127.0.0.1 failed: "),
        "{found}"
    );
    block += error.trim_end();
    assert_eq!(played(&fixture, &[&block, SERVER, CLIENT]), "");
}

#[test]
fn a_program_that_goes_on_for_ever_is_ended() {
    let mut fixture = Fixture::new();
    programs();
    fixture.course.limit = Duration::from_millis(300);
    for block in ["$ cargo 01 talk hang", "$ cargo 01 talk hang\n> hello"] {
        let found = played(&fixture, &[block]);
        assert!(found.contains("it was killed)\n"), "{found}");
    }
}

#[test]
fn a_conversation_is_compared_line_by_line() {
    let fixture = Fixture::new();
    let ann = "$ cargo 01 talk Ann\nAnn is here\n> hi\nAnn: hi\n> bye\nAnn: bye";
    let bob = "$ cargo 01 talk Bob\nBob is here\n> hello\nBob: hello";
    assert_eq!(played(&fixture, &[ann, bob]), "");
    let found = played(
        &fixture,
        &[ann, &bob.replace("Bob: hello", "Bob: good night")],
    );
    let complaint = "01-tiny/README.md:10: cargo 01 talk Bob\n";
    assert!(found.starts_with(complaint), "{found}");
    assert!(
        found.ends_with("\n  - Bob: good night\n  + Bob: hello\n"),
        "{found}"
    );
    let found = played(&fixture, &[&ann.replace("\nAnn: bye", ""), bob]);
    assert!(found.ends_with("\n  + Ann: bye\n"), "{found}");
}

#[test]
fn the_runner_itself_can_be_on_a_page() {
    let fixture = Fixture::new();
    fixture.write("01-tiny/README.md", "# 01 · Tiny\n\nSmall.\n");
    let table = table::table(&fixture.course);
    let run = "$ cargo course 01\nserver │ listening on ADDRESS\nclient │ hello, Ann\nserver │ heard: Ann";
    let page = format!("```console\n$ cargo course\n{table}```\n```console\n{run}\n```\n");
    fixture.write(
        "README.md",
        &page.replace("ADDRESS", &fixture.course.address),
    );
    assert_eq!(
        text(&transcripts(&fixture.course, "README.md", None, Programs::new()).unwrap()),
        ""
    );
    fixture.replace("README.md", "client │ hello, Ann", "client │ hello, Bob");
    fixture.replace("README.md", "Small.", "Large.");
    let found = text(&transcripts(&fixture.course, "README.md", None, Programs::new()).unwrap());
    assert!(found.contains("\n  - client │ hello, Bob\n"), "{found}");
    assert!(
        found.contains("\n  -     Large.\n  +     Small.\n"),
        "{found}"
    );
}

#[test]
fn what_cannot_be_checked_is_a_problem() {
    let fixture = Fixture::new();
    for block in [
        "$ ls",
        "$ cargo test\nrunning 3 tests",
        "$ cargo test -p huge\nrunning 3 tests",
        "$ cargo test -p tiny\n> typed",
        "$ cargo 02 client",
        "$ cargo course 02",
        "$ git status\n> typed",
        "$ cargo 01 server\n> typed",
        "$ cargo course\n> typed",
        "$ cargo wire\n> typed",
        "no command",
    ] {
        assert!(
            played(&fixture, &[block]).starts_with("01-tiny/README.md:2\n"),
            "{block}"
        );
    }
    let (none, problems) = scripts("page", "```sh\n$ cargo 01 client\n```\n");
    assert!(none.is_empty());
    assert!(text(&problems).contains("page:2\n  expected: commands in a `console` block"));
}

#[test]
fn a_block_may_hold_several_commands() {
    let (scripts, problems) = scripts("page", "```console\n$ a b\none\n> two\n$ c\n```\n");
    assert!(problems.is_empty());
    assert_eq!(scripts.len(), 2);
    assert_eq!((scripts[0].line, scripts[0].command.as_str()), (2, "a b"));
    let steps = [
        Step::Prints("one".to_owned()),
        Step::Types("two".to_owned()),
    ];
    assert_eq!(scripts[0].steps, steps);
    assert_eq!((scripts[1].line, scripts[1].steps.len()), (5, 0));
}

const WIRE: &str =
    "$ cargo wire\nlistening on WIRE, passing on to ADDRESS\nA   │ -> Ann\nA   │ <- hello, Ann";

/// A page on which the wire view stands between server and client.
fn played_with_wire(fixture: &Fixture, wire: &str, client: &str) -> String {
    let between = free_address();
    fixture.write("wire-address", &between);
    let [wire, client] = [wire, client].map(|block| block.replace("WIRE", &between));
    played(fixture, &[SERVER, CLIENT, &wire, &client])
}

#[test]
fn a_ladder_is_compared_and_its_client_not_repeated() {
    let fixture = Fixture::new();
    let client = "$ cargo 01 client http://WIRE";
    assert_eq!(played_with_wire(&fixture, WIRE, client), "");
    let wrong = WIRE.replace("-> Ann", "-> Bob");
    let found = played_with_wire(&fixture, &wrong, client);
    assert!(
        found.contains("\n  - A   │ -> Bob\n  + A   │ -> Ann\n"),
        "{found}"
    );
    let found = played_with_wire(&fixture, WIRE, &format!("{client}\nhello, Bob"));
    assert!(found.contains("\n  - hello, Bob\n"), "{found}");
    // What is not repeated must not fail either.
    fixture.write("client-fails", "");
    let found = played_with_wire(&fixture, WIRE, client);
    assert!(found.contains("\n  + that is not enough\n"), "{found}");
}

#[test]
fn a_page_of_no_lesson_can_run_any_lesson() {
    let fixture = Fixture::new();
    let page = format!("```console\n{SERVER}\n```\n```console\n{CLIENT}\n```\n");
    let page = page.replace("ADDRESS", &fixture.course.address);
    fixture.write("README.md", &page);
    let found = || text(&transcripts(&fixture.course, "README.md", None, Programs::new()).unwrap());
    assert_eq!(found(), "");
    fixture.replace("README.md", "hello, Ann", "hello, Bob");
    assert!(found().contains("\n  - hello, Bob\n"), "{}", found());
}

#[test]
fn lines_may_be_left_out_where_the_page_says_so() {
    let (printed, none) = (lines("a\nb\nc\nb\nd"), lines(""));
    for shown in [
        "a\nb\nc\nb\nd",
        "⋮",
        "a\n⋮",
        "⋮\nd",
        "a\n⋮\nd",
        "a\n⋮\nc\n⋮\nd",
        "a\nb\n⋮\nc\nb\nd",
        "⋮\nb\n⋮\nb\n⋮",
        "  ⋮\nb\nd",
    ] {
        assert!(is_as_shown(&lines(shown), &printed), "{shown}");
    }
    for shown in [
        "",
        "a",
        "d",
        "⋮\nc",
        "b\n⋮",
        "a\nc\n⋮",
        "a\n⋮\nx\n⋮",
        "⋮\nd\n⋮\nb\n⋮",
        "⋮\nd\n⋮\nd",
        "a\nb\nc\nb\nd\n⋮\nd",
    ] {
        assert!(!is_as_shown(&lines(shown), &printed), "{shown}");
    }
    assert!(is_as_shown(&none, &none) && is_as_shown(&lines("⋮"), &none));
}

#[test]
fn each_call_of_a_ladder_is_compared_for_itself() {
    let printed = lines(
        "listening\n  client\nA   │ one\nB   │ uno\nA   │ two\n    │\nB   │ due\nA   │ three",
    );
    for shown in [
        "listening\n  client\nA   │ one\nA   │ two\nA   │ three\n    │\nB   │ uno\nB   │ due",
        "listening\nA   │ one\nA   ⋮\nA   │ three\nB   ⋮",
        "listening\nB   │ uno\nB   │ due\n⋮",
        "listening\n⋮",
    ] {
        assert!(is_ladder_as_shown(&lines(shown), &printed), "{shown}");
    }
    for shown in [
        "listening",
        "⋮",
        "listening\nA   │ one\nA   │ two\nA   │ three",
        "listening\nA   │ one\nA   │ three\n⋮",
        "listening\nA   │ two\nA   ⋮\n⋮",
        "listening\nB   │ due\nB   │ uno\n⋮",
        "listening\nC   ⋮\n⋮",
        "listening\nA   ⋮\nB   ⋮\nC   ⋮",
    ] {
        assert!(!is_ladder_as_shown(&lines(shown), &printed), "{shown}");
    }
}

/// A server that is quick resets a call before it has seen the client's half-close.
#[test]
fn a_reset_after_the_answer_may_come_or_not() {
    let answered = "listening\nA   │── HEADERS ──│\nA   │<── HEADERS grpc-status: 7 ──│";
    let reset = format!("{answered}\nA   │<── RST_STREAM NO_ERROR ──│");
    assert!(is_ladder_as_shown(&lines(answered), &lines(&reset)));
    assert!(is_ladder_as_shown(&lines(&reset), &lines(&reset)));
    assert!(!is_ladder_as_shown(&lines(&reset), &lines(answered)));
    let cancelled = reset.replace("NO_ERROR", "CANCEL");
    assert!(!is_ladder_as_shown(&lines(answered), &lines(&cancelled)));
}

/// Nobody waits for them.
#[test]
fn the_headers_of_a_server_may_come_sooner_or_later() {
    let shown = "listening\nA   │── HEADERS ──│\nA   │── message 3 ──│\nA   │<── HEADERS :status: 200 ──│\n\
                 A   │<── message 4 ──│";
    let sooner = "listening\nA   │── HEADERS ──│\nA   │<── HEADERS :status: 200 ──│\nA   │── message 3 ──│\n\
                  A   │<── message 4 ──│";
    assert!(is_ladder_as_shown(&lines(shown), &lines(sooner)));
    let none = shown.replace("A   │<── HEADERS :status: 200 ──│\n", "");
    let answered_first = sooner.replace('3', "x").replace('4', "3").replace('x', "4");
    for other in [none, answered_first] {
        assert!(
            !is_ladder_as_shown(&lines(shown), &lines(&other)),
            "{other}"
        );
    }
}

#[test]
fn two_streams_may_mix_in_any_way() {
    let (out, err) = (lines("a\nb\nc"), lines("x\ny"));
    for shown in [
        "a\nb\nc\nx\ny",
        "x\ny\na\nb\nc",
        "a\nx\nb\ny\nc",
        "⋮",
        "⋮\nb\n⋮\ny",
        "x\n⋮",
    ] {
        assert!(is_merged_as_shown(&lines(shown), &out, &err), "{shown}");
    }
    for shown in [
        "a\nb\nc",
        "x\ny",
        "a\nc\nb\nx\ny",
        "a\nb\nc\ny\nx",
        "⋮\nz",
        "⋮\nb",
        "b\n⋮",
        "",
    ] {
        assert!(!is_merged_as_shown(&lines(shown), &out, &err), "{shown}");
    }
    assert!(is_merged_as_shown(&[], &[], &[]));
}

#[test]
fn a_line_that_may_still_come_is_waited_for() {
    let shown = lines("a\nb\n⋮\nc");
    for printed in ["", "a", "a\nb", "a\nb\nx"] {
        assert!(may_become(&shown, &lines(printed)), "{printed}");
    }
    for printed in ["b", "a\nc"] {
        assert!(!may_become(&shown, &lines(printed)), "{printed}");
    }
    assert!(!may_become(&lines("a"), &lines("a\nb")));
}

#[test]
fn a_run_of_tests_is_compared_without_its_times() {
    let fixture = Fixture::new();
    let block = "$ cargo test -p tiny zero\nrunning 1 test\ntest tests::doubles_zero_to_zero ... ok\n\n\
                 test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; \
                 finished in 7.00s";
    assert_eq!(played(&fixture, &[block]), "");
    let found = played(&fixture, &[&block.replace("1 passed", "2 passed")]);
    assert!(
        found.contains("\n  + test result: ok. 1 passed; "),
        "{found}"
    );
    let panic = lines("\nthread 'tests::a' (4711) panicked at src/tests.rs:1:1:\n");
    let expected = lines("thread 'tests::a' panicked at src/tests.rs:1:1:");
    assert_eq!(without_times(&panic), expected);
}

/// What a server says on stderr can be shown, or left out.
#[test]
fn a_server_may_show_its_errors() {
    let fixture = Fixture::new();
    let loud = format!("{SERVER}\nthat was Ann");
    assert!(played(&fixture, &[&loud, CLIENT]).contains("\n  - that was Ann\n"));
    fixture.write("server-is-loud", "");
    for server in [SERVER, &loud] {
        assert_eq!(played(&fixture, &[server, CLIENT]), "");
    }
}
