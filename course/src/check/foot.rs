//! Checks the foot of each program: word for word the same in every lesson but for the lesson's number.

use crate::check::shape::slashes;
use crate::lesson::{Course, Lesson, files_under, read};
use crate::problem::{Problem, Result};

/// The programs that have a foot. The forms that it may have are the files in `course/feet` that begin with the
/// program's name: a client without a limit of time bounds its own waits.
const PROGRAMS: [&str; 2] = ["server", "client"];

pub fn check(course: &Course, lesson: &Lesson) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let feet = course.root.join("course/feet");
    let forms = files_under(&feet)?;
    for program in PROGRAMS {
        let file = format!("src/bin/{program}.rs");
        let Ok(source) = read(&course.path(lesson).join(&file)) else {
            continue;
        };
        let mut expected = Vec::new();
        for form in forms.iter().filter(|it| slashes(it).starts_with(program)) {
            let form = read(&feet.join(form))?;
            expected.push(lines(&form.replace("NN", &lesson.number)));
        }
        let Some(first) = expected.first().and_then(|form| form.first()) else {
            continue;
        };
        let got = lines(&source);
        let place = format!("{}/{file}", lesson.folder());
        let Some(at) = got.iter().position(|line| line == first) else {
            let what = format!("`{first}`, and what stands below it in course/feet/{program}.rs");
            problems.push(Problem::new(place, what, "no such line"));
            continue;
        };
        if expected.iter().all(|form| *form != got[at..]) {
            let place = format!("{place}:{}", at + 1);
            // The form that it differs from least.
            let diffs = expected
                .iter()
                .map(|it| Problem::diff(&place, it, &got[at..]));
            problems.extend(diffs.min_by_key(Problem::changes));
        }
    }
    Ok(problems)
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
