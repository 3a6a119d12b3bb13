//! A value of the config's JSON together with the path that leads to it, and what can be wrong there.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};
use tonic::{Code, Status};

use crate::json_duration::{self, MAX_SECONDS};

/// How large a config may be.
pub const MAX_SIZE: usize = 256 * 1024;

/// What the path of the config as a whole is called.
const WHOLE: &str = "service config";

/// Makes the rules, and a list of them for the test of the page's table.
macro_rules! rules {
    ($($(#[$attribute:meta])* $Rule:ident => $sentence:literal,)*) => {
        /// Why a value is invalid.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) enum Rule {
            $($(#[$attribute])* $Rule,)*
            /// As serde_json says it.
            NotJson(String),
            /// As the load balancing policy says it.
            Policy(String),
        }

        impl Rule {
            #[cfg(test)]
            pub(super) const SENTENCES: &[&str] = &[$($sentence,)*];
        }

        impl fmt::Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$Rule => f.write_str($sentence),)*
                    Self::NotJson(why) => write!(f, "isn't JSON: {why}"),
                    Self::Policy(why) => f.write_str(why),
                }
            }
        }
    };
}

rules! {
    TooLarge => "is larger than 256 KiB",
    Missing => "is missing",
    Object => "must be an object",
    List => "must be a list",
    Text => "must be a string",
    Truth => "must be true or false",
    Bytes => "must be an integer from 0 to 4294967295",
    Attempts => "must be an integer above 1",
    Tokens => "must be an integer from 1 to 1000",
    Ratio => "must be a number of at least 0.001",
    Multiplier => "must be a number above 0",
    Span => "must be a number of seconds such as \"1.5s\", with up to nine decimals",
    Negative => "must not be negative",
    TooLong => "must be at most 315576000000s",
    Positive => "must be more than 0s",
    CodeList => "must be a list of status codes, not an empty one",
    StatusCode => "must be a status code, as a name or from 0 to 16",
    MethodAlone => "has a method but no service",
    Duplicate => "is there already",
    Both => "stands beside a retryPolicy: there may be one of the two",
    UnknownPolicy => "is no policy that is known",
}

/// Why a service config can't be used: where, and what is wrong there.
///
/// It reads `methodConfig[1].retryPolicy.maxAttempts: must be an integer above 1`. The [module](super)
/// has a table of them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidServiceConfig {
    path: String,
    rule: Rule,
}

impl InvalidServiceConfig {
    pub(super) fn whole(rule: Rule) -> Self {
        let path = WHOLE.to_owned();
        Self { path, rule }
    }

    /// Where it is wrong: `methodConfig[1].retryPolicy.maxAttempts`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for InvalidServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)
    }
}

impl Error for InvalidServiceConfig {}

/// gRFC A21: calls fail with UNAVAILABLE while there is no config to go on with.
impl From<InvalidServiceConfig> for Status {
    fn from(invalid: InvalidServiceConfig) -> Self {
        Status::unavailable(format!("the service config is invalid: {invalid}"))
    }
}

type Result<T> = std::result::Result<T, InvalidServiceConfig>;

/// How one comes to a value from the whole. Written down only if something is wrong.
#[derive(Clone, Copy)]
enum Path<'a> {
    Whole,
    Field(&'a Path<'a>, &'static str),
    Entry(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole => f.write_str(WHOLE),
            Self::Field(Self::Whole, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Entry(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value and its path.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: Path<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn whole(value: &'a Value) -> Self {
        let path = Path::Whole;
        Self { value, path }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn invalid(&self, rule: Rule) -> InvalidServiceConfig {
        let path = self.path.to_string();
        InvalidServiceConfig { path, rule }
    }

    fn wanted<T>(&self, value: Option<T>, rule: Rule) -> Result<T> {
        value.ok_or_else(|| self.invalid(rule))
    }

    pub(super) fn object(&self) -> Result<Fields<'_>> {
        let fields = self.wanted(self.value.as_object(), Rule::Object)?;
        let path = &self.path;
        Ok(Fields { fields, path })
    }

    pub(super) fn list(&self) -> Result<impl Iterator<Item = Node<'_>>> {
        self.entries(Rule::List)
    }

    fn entries(&self, rule: Rule) -> Result<impl Iterator<Item = Node<'_>>> {
        let list = self.wanted(self.value.as_array(), rule)?;
        Ok(list.iter().enumerate().map(|(index, value)| Node {
            value,
            path: Path::Entry(&self.path, index),
        }))
    }

    pub(super) fn text(&self) -> Result<&'a str> {
        self.wanted(self.value.as_str(), Rule::Text)
    }

    pub(super) fn truth(&self) -> Result<bool> {
        self.wanted(self.value.as_bool(), Rule::Truth)
    }

    /// A `uint32`, which proto3's JSON may also have as a string.
    pub(super) fn bytes(&self) -> Result<usize> {
        let number = match self.value.as_str() {
            Some(text) => plain(text),
            None => integer(self.value),
        };
        let bytes = number.and_then(|bytes| u32::try_from(bytes).ok());
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        self.wanted(bytes, Rule::Bytes)
    }

    pub(super) fn attempts(&self) -> Result<u32> {
        let attempts = integer(self.value).filter(|&attempts| attempts > 1);
        let attempts = self.wanted(attempts, Rule::Attempts)?;
        Ok(u32::try_from(attempts).unwrap_or(u32::MAX))
    }

    pub(super) fn tokens(&self) -> Result<u32> {
        let tokens = integer(self.value).filter(|tokens| (1..=1000).contains(tokens));
        let tokens = tokens.and_then(|tokens| u32::try_from(tokens).ok());
        self.wanted(tokens, Rule::Tokens)
    }

    /// A number in thousandths; more decimals are cut off.
    pub(super) fn ratio(&self) -> Result<u32> {
        let ratio = self.value.as_f64().filter(|ratio| *ratio > 0.0);
        let thousandths = ratio.map(thousandths).filter(|ratio| *ratio > 0);
        self.wanted(thousandths, Rule::Ratio)
    }

    pub(super) fn multiplier(&self) -> Result<f64> {
        let multiplier = self.value.as_f64().filter(|multiplier| *multiplier > 0.0);
        self.wanted(multiplier, Rule::Multiplier)
    }

    pub(super) fn duration(&self) -> Result<Duration> {
        let text = self.wanted(self.value.as_str(), Rule::Span)?;
        if text.starts_with('-') {
            return Err(self.invalid(Rule::Negative));
        }
        let duration = self.wanted(json_duration::parse(text), Rule::Span)?;
        if duration > Duration::from_secs(MAX_SECONDS) {
            return Err(self.invalid(Rule::TooLong));
        }
        Ok(duration)
    }

    pub(super) fn positive_duration(&self) -> Result<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            return Err(self.invalid(Rule::Positive));
        }
        Ok(duration)
    }

    /// Codes, none of them too.
    pub(super) fn codes(&self) -> Result<Vec<Code>> {
        self.list()?.map(|entry| entry.code()).collect()
    }

    pub(super) fn some_codes(&self) -> Result<Vec<Code>> {
        let codes = self.entries(Rule::CodeList)?;
        let codes: Vec<_> = codes.map(|entry| entry.code()).collect::<Result<_>>()?;
        match codes.is_empty() {
            true => Err(self.invalid(Rule::CodeList)),
            false => Ok(codes),
        }
    }

    fn code(&self) -> Result<Code> {
        let code = match self.value.as_str() {
            Some(name) => NAMES
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name)),
            None => integer(self.value).and_then(|number| usize::try_from(number).ok()),
        };
        let code = code.filter(|code| *code < NAMES.len());
        let code = code.and_then(|code| i32::try_from(code).ok());
        self.wanted(code, Rule::StatusCode).map(Code::from_i32)
    }
}

/// The names of the codes, each at its number.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The fields of an object. One that is `null` isn't there.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    path: &'a Path<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &'static str) -> Option<Node<'a>> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        let path = Path::Field(self.path, name);
        Some(Node { value, path })
    }

    /// What `read` makes of the field, if it's there.
    pub(super) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.get(name).map(|node| read(&node)).transpose()
    }

    /// What `read` makes of a field that has to be there.
    pub(super) fn require<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Node<'a>) -> Result<T>,
    ) -> Result<T> {
        let path = Path::Field(self.path, name).to_string();
        let missing = InvalidServiceConfig {
            path,
            rule: Rule::Missing,
        };
        self.read(name, read)?.ok_or(missing)
    }
}

/// A number without a fraction, also if it's written with one, as in `2.0`.
fn integer(value: &Value) -> Option<u64> {
    let whole = value
        .as_f64()
        .filter(|number| *number >= 0.0 && number.fract() == 0.0);
    // The cast stops at the largest number.
    value.as_u64().or(whole.map(|number| number as u64))
}

/// A number in digits alone.
fn plain(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

/// Cut off after the third decimal. Counted in text: 0.57 times 1000 is less than 570 in binary.
fn thousandths(number: f64) -> u32 {
    let text = format!("{number}");
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let decimals = format!("{decimals:0<3}");
    let digits = format!("{whole}{}", decimals.get(..3).unwrap_or_default());
    // What has more digits than fit is more than anybody needs.
    digits.parse().unwrap_or(u32::MAX)
}
