//! The options of the program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::proxy::{After, Faults};
use crate::view::Only;

/// What `--help` prints.
pub const HELP: &str = "\
Shows gRPC calls on the wire, and passes them on.

Usage: cargo wire [OPTIONS]    (installed: wire [OPTIONS])

  --listen ADDRESS       where clients connect               [127.0.0.1:50052]
  --to ADDRESS           the server                          [127.0.0.1:50051]

What is shown:
  --all                  every frame as it is, and every header
  --bytes                the bytes of each frame, each part labelled
  --json                 one JSON object per event
  --secrets              tokens too; otherwise their lengths are shown
  --only Greeter/SayHello
                         this method only; Greeter/* is all of a service.
                         Can be repeated

How messages get the names of their fields:
  --protos FOLDER        from the .proto files in this folder
  --descriptor-set FILE  from a file that protoc has written
                         Otherwise the server is asked, by gRPC reflection

Recordings:
  --save FILE            keeps all traffic, also what isn't shown, up to 1 GiB
  --open FILE            shows such a file, with all options above

TLS, for whoever has a key that the client trusts:
  --cert FILE --key FILE what clients are shown
  --ca FILE              whose servers are trusted
  --client-cert FILE --client-key FILE
                         what the server is shown, if it asks

Faults:
  --delay TIME           passes on each byte later, in both directions: 200ms,
                         2s. At most 8 MiB are on their way in each; after
                         that the sender waits
  --reset-after N        resets each connection after N bytes; 3messages: after
                         the frame in which its third message ends
  --stall-after N        the same, but the connection stays open and silent

Colours are off when NO_COLOR is set, or when the output isn't a terminal.";

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
    /// Tokens too.
    pub secrets: bool,
    /// To print [`HELP`] and to do nothing else.
    pub help: bool,
    /// Which methods are shown.
    pub only: Only,
    /// Folders of protos.
    pub protos: Vec<PathBuf>,
    /// Files with compiled protos.
    pub descriptor_sets: Vec<PathBuf>,
    /// Where to keep what was seen.
    pub save: Option<PathBuf>,
    /// A recording to be shown, in place of a server.
    pub open: Option<PathBuf>,
    /// The certificate for clients, its key, and the authority for servers: what it takes to read TLS.
    pub tls: Option<[PathBuf; 3]>,
    /// The certificate for the server, and its key.
    pub client_tls: Option<[PathBuf; 2]>,
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
            secrets: false,
            help: false,
            only: Only::default(),
            protos: Vec::new(),
            descriptor_sets: Vec::new(),
            save: None,
            open: None,
            tls: None,
            client_tls: None,
            faults: Faults::default(),
        };
        let [mut cert, mut key, mut ca] = [None, None, None];
        let [mut client_cert, mut client_key] = [None, None];
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
                "secrets" => options.secrets = true,
                "help" => options.help = true,
                "listen" => options.listen = text(&mut parser)?,
                "to" => options.to = text(&mut parser)?,
                "only" => options.only.add(&text(&mut parser)?)?,
                "protos" => options.protos.push(path(&mut parser)?),
                "descriptor-set" => options.descriptor_sets.push(path(&mut parser)?),
                "cert" => cert = Some(path(&mut parser)?),
                "key" => key = Some(path(&mut parser)?),
                "ca" => ca = Some(path(&mut parser)?),
                "client-cert" => client_cert = Some(path(&mut parser)?),
                "client-key" => client_key = Some(path(&mut parser)?),
                "save" => options.save = Some(path(&mut parser)?),
                "open" => options.open = Some(path(&mut parser)?),
                "delay" => options.faults.delay = time(&text(&mut parser)?)?,
                "reset-after" => options.faults.reset_after = Some(after(&text(&mut parser)?)?),
                "stall-after" => options.faults.stall_after = Some(after(&text(&mut parser)?)?),
                _ => return Err(sentence(argument.unexpected())),
            }
        }
        options.tls = match (cert, key, ca) {
            (None, None, None) => None,
            (Some(cert), Some(key), Some(ca)) => Some([cert, key, ca]),
            _ => return Err("to read TLS it takes --cert, --key and --ca together".to_owned()),
        };
        options.client_tls = match (client_cert, client_key) {
            (None, None) => None,
            (Some(cert), Some(key)) if options.tls.is_some() => Some([cert, key]),
            _ => {
                let sentence = "--client-cert and --client-key go together, and with --cert";
                return Err(sentence.to_owned());
            }
        };
        for address in [&options.listen, &options.to] {
            is_address(address)?;
        }
        if options.open.is_some() && (options.save.is_some() || options.faults != Faults::default())
        {
            return Err("--open shows what was; it takes neither --save nor faults".to_owned());
        }
        Ok(options)
    }
}

fn path(parser: &mut lexopt::Parser) -> Result<PathBuf, String> {
    let value = parser.value();
    let value = value.map_err(|error| format!("{error}; --help lists what there is"))?;
    Ok(value.into())
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    let value = parser
        .value()
        .map_err(|error| format!("{error}; --help lists what there is"))?;
    value
        .into_string()
        .map_err(|value| format!("{} isn't text", value.display()))
}

/// A host and a port. Whether there is such a host is not asked here.
fn is_address(address: &str) -> Result<(), String> {
    let bare = address.strip_prefix("http://");
    let bare = bare.or_else(|| address.strip_prefix("https://"));
    let bare = bare.unwrap_or(address);
    let bare = bare.trim_end_matches('/');
    let port = bare.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(()),
        _ => Err(format!(
            "{address} isn't an address; expected host:port, such as 127.0.0.1:50051"
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
    duration.ok_or_else(|| format!("{text} isn't a time; expected 200ms or 2s"))
}

fn after(text: &str) -> Result<After, String> {
    let (number, unit) = split(text);
    let after = number.parse().ok().and_then(|number| match unit.trim() {
        "" | "b" | "byte" | "bytes" => Some(After::Bytes(number)),
        "m" | "message" | "messages" => Some(After::Messages(number)),
        _ => None,
    });
    after.ok_or_else(|| format!("{text} isn't an amount; expected 100, in bytes, or 3messages"))
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
            "--listen 0.0.0.0:1 --to=http://[::1]:2/ --all --bytes --json --secrets --delay 200ms \
             --reset-after 3messages --stall-after 100 --only Greeter/SayHello --only a.B/* \
             --protos a --protos=b --descriptor-set c --save d --cert e --key f --ca g \
             --client-cert h --client-key i",
        );
        let options = options.unwrap();
        assert_eq!(
            (options.listen.as_str(), options.to.as_str()),
            ("0.0.0.0:1", "http://[::1]:2/")
        );
        assert!(options.all && options.bytes && options.json && !options.help);
        assert!(options.secrets);
        assert_eq!(options.tls, Some(["e", "f", "g"].map(PathBuf::from)));
        assert_eq!(options.client_tls, Some(["h", "i"].map(PathBuf::from)));
        assert_eq!(options.faults.delay, Duration::from_millis(200));
        assert_eq!(options.faults.reset_after, Some(After::Messages(3)));
        assert_eq!(options.faults.stall_after, Some(After::Bytes(100)));
        let folders = [PathBuf::from("a"), PathBuf::from("b")];
        assert_eq!(options.protos, folders);
        assert_eq!(options.descriptor_sets, [PathBuf::from("c")]);
        assert_eq!(options.save, Some(PathBuf::from("d")));
        let mut only = Only::default();
        only.add("Greeter/SayHello").unwrap();
        only.add("/a.B/*").unwrap();
        assert_eq!(options.only, only);
        let open = parse("--open d --json").unwrap();
        assert_eq!(open.open, Some(PathBuf::from("d")));
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
            ("--to nowhere", "nowhere isn't an address"),
            ("--to :50051", ":50051 isn't an address"),
            ("--to host:99999", "host:99999 isn't an address"),
            ("--listen 50052", "50052 isn't an address"),
            ("--delay 200", "200 isn't a time"),
            ("--delay -1s", "-1s isn't a time"),
            ("--delay 99999999999s", "99999999999s isn't a time"),
            ("--reset-after many", "many isn't an amount"),
            ("--reset-after -3", "-3 isn't an amount"),
            ("--stall-after 3calls", "3calls isn't an amount"),
            ("--all=yes", "--all"),
            ("--only SayHello", "SayHello isn't a method"),
            ("--only /Greeter/", "/Greeter/ isn't a method"),
            (
                "--cert a --key b",
                "to read TLS it takes --cert, --key and --ca",
            ),
            ("--client-cert a --client-key b", "and with --cert"),
            (
                "--cert a --key b --ca c --client-key d",
                "--client-cert and --client-key go together",
            ),
            ("--open a --save b", "--open shows what was"),
            ("--open a --delay 1s", "--open shows what was"),
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
