//! Compares what a program printed with what a page shows of it.

use std::collections::BTreeMap;

/// On a page, a line that stands for any lines, or for none.
pub const LEFT_OUT: &str = "⋮";

const RESET: &str = " RST_STREAM NO_ERROR ";
const HEADERS: &str = " HEADERS :status: 200";

/// Whether a program printed what a page shows of it, where a line `⋮` stands for any lines.
pub fn is_as_shown(shown: &[String], printed: &[String]) -> bool {
    let parts: Vec<&[String]> = shown.split(|line| line.trim() == LEFT_OUT).collect();
    let Some((first, rest)) = parts.split_first() else {
        return printed.is_empty();
    };
    let Some(mut printed) = printed.strip_prefix(*first) else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else {
        return printed.is_empty();
    };
    for part in middle {
        let Some(at) = (0..=printed.len()).find(|&at| printed[at..].starts_with(part)) else {
            return false;
        };
        printed = &printed[at + part.len()..];
    }
    printed.ends_with(last)
}

/// Whether what a page shows is what a program printed on two streams. Which of two lines on different streams came
/// first, nobody can tell afterwards.
pub fn is_merged_as_shown(shown: &[String], out: &[String], err: &[String]) -> bool {
    // can_end[j][k]: whether out[j..] and err[k..] are what the rest of `shown` shows.
    let mut can_end = vec![vec![false; err.len() + 1]; out.len() + 1];
    can_end[out.len()][err.len()] = true;
    for line in shown.iter().rev() {
        let is_gap = line.trim() == LEFT_OUT;
        let rest = can_end.clone();
        for j in (0..=out.len()).rev() {
            for k in (0..=err.len()).rev() {
                can_end[j][k] = if is_gap {
                    rest[j][k]
                        || (j < out.len() && can_end[j + 1][k])
                        || (k < err.len() && can_end[j][k + 1])
                } else {
                    (j < out.len() && out[j] == *line && rest[j + 1][k])
                        || (k < err.len() && err[k] == *line && rest[j][k + 1])
                };
            }
        }
    }
    can_end[0][0]
}

/// Whether a program that has printed this so far may still print what a page shows.
pub fn may_become(shown: &[String], printed: &[String]) -> bool {
    let first = shown.split(|line| line.trim() == LEFT_OUT).next();
    let first = first.unwrap_or_default();
    let is_whole = first.len() == shown.len();
    let length = first.len().min(printed.len());
    first[..length] == printed[..length] && (!is_whole || printed.len() <= first.len())
}

/// Whether the wire view printed what a page shows of it.
///
/// Calls at the same time mix in another order in each run, so each call is compared for itself. What belongs
/// to no call is not compared. `A   ⋮` stands for any lines of call A, and `⋮` for calls that are not shown.
pub fn is_ladder_as_shown(shown: &[String], printed: &[String]) -> bool {
    // Of an encrypted connection no call is seen.
    let has_rows = shown.iter().any(|line| line.contains('│'));
    if has_rows && calls(shown).keys().all(|mark| *mark == LEFT_OUT) {
        return is_as_shown(shown, printed);
    }
    let (mut expected, mut got) = (calls(shown), calls(printed));
    let are_left_out = expected.remove(LEFT_OUT).is_some();
    if are_left_out {
        got.retain(|call, _| expected.contains_key(call));
    }
    let is_same =
        |(call, lines): (&&str, &Vec<String>)| got.get(call).is_some_and(|got| is_call(lines, got));
    shown.first() == printed.first() && expected.len() == got.len() && expected.iter().all(is_same)
}

/// Whether a call went as a page shows it. The server's headers may come before or after what the client sends at
/// that time, and a busy server resets a call after its answer that it has not read to the end.
fn is_call(shown: &[String], printed: &[String]) -> bool {
    let without_reset = match printed.split_last() {
        Some((last, rest)) if last.contains(RESET) => rest,
        _ => printed,
    };
    let [apart, got] = [shown, without_reset].map(|lines| {
        let are_headers =
            |line: &&String| line.trim_end_matches([' ', '│', '─']).ends_with(HEADERS);
        let (headers, others): (Vec<_>, Vec<_>) = lines.iter().partition(are_headers);
        let others: Vec<String> = others.into_iter().cloned().collect();
        (headers.len(), others)
    });
    is_as_shown(shown, printed)
        || is_as_shown(shown, without_reset)
        || (apart.0 == got.0 && is_as_shown(&apart.1, &got.1))
}

/// The lines of each call in a ladder, without the call's mark.
fn calls(ladder: &[String]) -> BTreeMap<&str, Vec<String>> {
    let mut calls = BTreeMap::<_, Vec<String>>::new();
    for line in ladder {
        let mark = line.split_whitespace().next().unwrap_or_default();
        if mark == LEFT_OUT || mark.bytes().all(|byte| byte.is_ascii_uppercase()) {
            calls
                .entry(mark)
                .or_default()
                .push(line[mark.len()..].trim().to_owned());
        }
    }
    calls
}

/// Which of two programs prints first may differ from run to run: the lines of each one together.
pub fn by_speaker(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by(|a, b| {
        a.split_whitespace()
            .next()
            .cmp(&b.split_whitespace().next())
    });
    lines
}

/// What a run of tests prints, without what differs from run to run.
pub fn without_times(lines: &[String]) -> Vec<String> {
    let first = lines.iter().position(|line| !line.is_empty());
    let last = lines.iter().rposition(|line| !line.is_empty());
    let lines = match (first, last) {
        (Some(first), Some(last)) => &lines[first..=last],
        _ => &[],
    };
    lines.iter().map(|line| without_time(line)).collect()
}

/// Without `; finished in 0.52s`, and without the number of a thread: `thread 'tests::a' (4711) panicked at …`.
fn without_time(line: &str) -> String {
    let line = line.split("; finished in ").next().unwrap_or(line);
    if line.starts_with("thread '")
        && let Some((name, rest)) = line.split_once("' (")
        && let Some((number, rest)) = rest.split_once(") panicked at ")
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        return format!("{name}' panicked at {rest}");
    }
    line.to_owned()
}
