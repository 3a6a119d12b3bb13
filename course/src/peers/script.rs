//! A script in `peers`, and what its head says that it needs.

use std::path::Path;

use crate::lesson::Lesson;

/// How many lines at the beginning of a script are its head.
const HEAD: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Language {
    Python,
    Node,
}

/// Lines like `# before: certs` say what is not as usual.
#[derive(Debug)]
pub struct Script<'a> {
    /// `16_health.py`
    pub name: String,
    /// None: it is for the whole course.
    pub lesson: Option<&'a Lesson>,
    pub language: Language,
    /// Programs of the lesson that are run to their end first, with their arguments.
    pub before: Vec<Vec<String>>,
    /// The arguments of each server that runs beside the script.
    pub servers: Vec<Vec<String>>,
    /// Other programs that must be on the machine.
    pub needs: Vec<String>,
}

impl<'a> Script<'a> {
    pub fn new(name: String, lesson: Option<&'a Lesson>, language: Language, text: &str) -> Self {
        let mut script = Self {
            name,
            lesson,
            language,
            before: Vec::new(),
            servers: Vec::new(),
            needs: Vec::new(),
        };
        let mut has_server = lesson.is_some();
        for line in text.lines().take(HEAD) {
            let fact = line.strip_prefix(language.comment());
            let Some((name, value)) = fact.and_then(|it| it.trim().split_once(": ")) else {
                continue;
            };
            let words = value.split_whitespace().map(str::to_owned);
            match name {
                "before" => script.before.push(words.collect()),
                "server" if value == "none" => has_server = false,
                "server" => script.servers.push(words.collect()),
                "needs" => script.needs.extend(words),
                _ => {}
            }
        }
        if has_server && script.servers.is_empty() {
            script.servers.push(vec!["{address}".to_owned()]);
        }
        script
    }

    /// Whether this is what it runs on, or one of the programs that it calls.
    pub fn needs(&self, language: Language) -> bool {
        // buf comes from npm.
        let calls = language == Language::Node && self.needs.iter().any(|it| it == "buf");
        self.language == language || calls
    }
}

impl Language {
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "py" => Some(Self::Python),
            "mjs" => Some(Self::Node),
            _ => None,
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Python => "#",
            Self::Node => "//",
        }
    }
}
