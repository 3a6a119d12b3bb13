//! The table, provoked row by row, and the page that shows it.

use super::*;
use crate::retry::{Retry, advice};
use crate::table::TABLE;

/// As gRPC writes it: `INVALID_ARGUMENT` for `InvalidArgument`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[tokio::test]
async fn tonic_alone_gives_the_codes_in_the_table() {
    let server = start_plain().await;
    for row in TABLE {
        let status = soon(provoke(row.case, &server, plain)).await.unwrap();
        assert_eq!(status.code(), row.tonic, "{}: {status}", row.words);
    }
}

#[tokio::test]
async fn the_layers_give_the_codes_in_the_table() {
    let server = start().await;
    for row in TABLE {
        let status = soon(provoke(row.case, &server, corrected)).await.unwrap();
        assert_eq!(status.code(), row.corrected, "{}: {status}", row.words);
        // Whatever happened: the archive serves on.
        assert_eq!(read(corrected(&server)).await.code(), Code::Ok);
    }
}

#[test]
fn the_layers_give_what_the_specification_says() {
    for row in TABLE {
        assert_eq!(row.corrected, row.specification, "{}", row.words);
    }
}

#[test]
fn the_page_has_the_same_table() {
    let page = include_str!("../../README.md");
    let rows: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| case |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    let expected = TABLE.map(|row| {
        let [said, tonic, ours] = [row.specification, row.tonic, row.corrected].map(name);
        format!("| {} | {said} | {tonic} | {ours} |", row.words)
    });
    assert_eq!(rows, expected);
}

#[test]
fn only_unavailable_is_sent_again_as_it_is_and_only_aborted_begun_again_higher_up() {
    for code in (0..=16).map(Code::from_i32) {
        let expected = match code {
            Code::Unavailable => Retry::AsItIs,
            Code::Aborted => Retry::HigherUp,
            Code::Ok => Retry::NotNeeded,
            _ => Retry::No,
        };
        assert_eq!(advice(code), expected, "{code:?}");
    }
}
