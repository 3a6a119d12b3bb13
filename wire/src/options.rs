//! The options of the program.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;

use crate::tap::{After, Faults};

/// What `--help` prints.
pub const HELP: &str = "\
Shows gRPC calls on the wire, and passes them on.

Usage: cargo wire [OPTIONS]

  --listen ADDRESS    where clients connect            [127.0.0.1:50052]
  --to ADDRESS        the server                       [127.0.0.1:50051]

  --all               every frame as it is, and every header
  --bytes             the bytes of each frame, each part labelled
  --json              one JSON object a frame

  --delay TIME        passes on each byte later, in both directions: 200ms, 2s
  --reset-after N     resets each connection after N bytes; 3messages: messages
  --stall-after N     the same, but the connection stays open and falls silent

Colours are off when NO_COLOR is set, or when the output is no terminal.";

/// What the program was told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Where to listen.
    pub listen: String,
    /// Where the server is.
    pub to: String,
    /// Every frame, as it is.
    pub all: bool,
    /// The bytes too.
    pub bytes: bool,
    /// JSON in place of a ladder.
    pub json: bool,
    /// To print [`HELP`] and to do nothing else.
    pub help: bool,
    /// What to do besides passing on.
    pub faults: Faults,
}

impl Options {
    /// Reads the arguments of the program, without its name.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self {
            listen: "127.0.0.1:50052".to_owned(),
            to: "127.0.0.1:50051".to_owned(),
            all: false,
            bytes: false,
            json: false,
            help: false,
            faults: Faults::default(),
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        let sentence = |error: lexopt::Error| format!("{error}; --help lists what there is");
        while let Some(argument) = parser.next().map_err(sentence)? {
            let Long(name) = argument else {
                if argument == Short('h') {
                    options.help = true;
                    continue;
                }
                return Err(sentence(argument.unexpected()));
            };
            match name.to_owned().as_str() {
                "all" => options.all = true,
                "bytes" => options.bytes = true,
                "json" => options.json = true,
                "help" => options.help = true,
                "listen" => options.listen = text(&mut parser)?,
                "to" => options.to = text(&mut parser)?,
                "delay" => options.faults.delay = time(&text(&mut parser)?)?,
                "reset-after" => options.faults.reset_after = Some(after(&text(&mut parser)?)?),
                "stall-after" => options.faults.stall_after = Some(after(&text(&mut parser)?)?),
                _ => return Err(sentence(argument.unexpected())),
            }
        }
        for address in [&options.listen, &options.to] {
            is_address(address)?;
        }
        Ok(options)
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser
        .value()
        .map_err(|error| format!("{error}; --help lists what there is"))?;
    value
        .into_string()
        .map_err(|value| format!("{} is no text", value.display()))
}

/// A host and a port. Whether there is such a host is not asked here.
fn is_address(address: &str) -> Result<(), String> {
    let bare = address.strip_prefix("http://").unwrap_or(address);
    let bare = bare.trim_end_matches('/');
    let port = bare.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(()),
        _ => Err(format!(
            "{address} is no address: a host and a port are, such as 127.0.0.1:50051"
        )),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let duration = number.parse::<u32>().ok().and_then(|number| match unit {
        "ms" => Some(Duration::from_millis(number.into())),
        "s" => Some(Duration::from_secs(number.into())),
        _ => None,
    });
    duration.ok_or_else(|| format!("{text} is no time: 200ms is one, and 2s"))
}

fn after(text: &str) -> Result<After, String> {
    let (number, unit) = split(text);
    let after = number.parse().ok().and_then(|number| match unit.trim() {
        "" | "b" | "byte" | "bytes" => Some(After::Bytes(number)),
        "m" | "message" | "messages" => Some(After::Messages(number)),
        _ => None,
    });
    after.ok_or_else(|| format!("{text} is no amount: 100 is one, in bytes, and so is 3messages"))
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_option_is_understood() {
        let options = parse(
            "--listen 0.0.0.0:1 --to=http://[::1]:2/ --all --bytes --json --delay 200ms \
             --reset-after 3messages --stall-after 100",
        );
        let options = options.unwrap();
        assert_eq!(
            (options.listen.as_str(), options.to.as_str()),
            ("0.0.0.0:1", "http://[::1]:2/")
        );
        assert!(options.all && options.bytes && options.json && !options.help);
        assert_eq!(options.faults.delay, Duration::from_millis(200));
        assert_eq!(options.faults.reset_after, Some(After::Messages(3)));
        assert_eq!(options.faults.stall_after, Some(After::Bytes(100)));
        assert!(parse("-h").unwrap().help && parse("--help").unwrap().help);
        assert_eq!(
            parse("--delay 2s").unwrap().faults.delay,
            Duration::from_secs(2)
        );
    }

    #[test]
    fn what_is_wrong_is_named_in_one_sentence() {
        for (line, named) in [
            ("--every", "--every"),
            ("-x", "-x"),
            ("server", "server"),
            ("--to", "--to"),
            ("--to nowhere", "nowhere is no address"),
            ("--to :50051", ":50051 is no address"),
            ("--to host:99999", "host:99999 is no address"),
            ("--listen 50052", "50052 is no address"),
            ("--delay 200", "200 is no time"),
            ("--delay -1s", "-1s is no time"),
            ("--delay 99999999999s", "99999999999s is no time"),
            ("--reset-after many", "many is no amount"),
            ("--reset-after -3", "-3 is no amount"),
            ("--stall-after 3calls", "3calls is no amount"),
            ("--all=yes", "--all"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn the_help_fits_a_projector() {
        assert!(HELP.lines().all(|line| line.chars().count() <= 80));
    }
}
