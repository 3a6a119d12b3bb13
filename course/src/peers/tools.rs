//! What must be on the machine for the peers, and how it is installed.

use crate::lesson::Course;
use crate::peers::script::{Language, Script};
use crate::problem::Result;
use crate::processes::silent;

/// What these programs are called here.
#[derive(Debug)]
pub struct Tools {
    pub python: String,
    pub node: String,
    pub npm: String,
}

impl Default for Tools {
    fn default() -> Self {
        let [python, npm] = if cfg!(windows) {
            ["python", "npm.cmd"]
        } else {
            ["python3", "npm"]
        };
        Self {
            python: python.to_owned(),
            node: "node".to_owned(),
            npm: npm.to_owned(),
        }
    }
}

/// Succeeds where environments can be made. Debian has that in a package of its own.
const HAS_VENV: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

const IS_NEW: &str = "process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)";

const PYTHON: &str = "\
Python 3.10 or newer, with venv: `apt-get install python3-venv` on Debian and Ubuntu, `brew install python` on
  macOS, https://www.python.org elsewhere";

const NODE: &str = "\
Node.js 18 or newer, with npm: `apt-get install nodejs npm` on Debian and Ubuntu, `brew install node` on
  macOS, https://nodejs.org elsewhere";

const PROMETHEUS: &str = "\
prometheus and promtool: `apt-get install prometheus` on Debian and Ubuntu, `brew install prometheus` on
  macOS, https://prometheus.io/download elsewhere";

impl Tools {
    /// A sentence on each thing that `scripts` need and that is not here.
    pub fn missing(&self, course: &Course, scripts: &[Script]) -> Result<Vec<String>> {
        let works = |program: &str, words: &[&str]| -> bool {
            let mut command = silent(program);
            let ended = course.children.run(command.args(words), course.limit);
            ended.is_ok_and(|it| it.status.is_some_and(|status| status.success()))
        };
        let mut missing = Vec::new();
        let needs = |language| scripts.iter().any(|script| script.needs(language));
        if needs(Language::Python) && !works(&self.python, &["-c", HAS_VENV]) {
            missing.push(PYTHON.to_owned());
        }
        let has_node =
            || works(&self.node, &["--eval", IS_NEW]) && works(&self.npm, &["--version"]);
        if needs(Language::Node) && !has_node() {
            missing.push(NODE.to_owned());
        }
        let mut others: Vec<&String> = scripts.iter().flat_map(|it| &it.needs).collect();
        others.sort();
        others.dedup();
        for program in others {
            let sentence = match program.as_str() {
                "buf" => continue,
                "prometheus" | "promtool" => PROMETHEUS,
                other => other,
            };
            let is_said = missing.iter().any(|it| it == sentence);
            if !is_said && !works(program, &["--version"]) {
                missing.push(sentence.to_owned());
            }
        }
        Ok(missing)
    }
}
