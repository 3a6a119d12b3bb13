//! The name that a channel is made of.

use std::error::Error;
use std::fmt::{self, Write};
use std::str::FromStr;

/// The name of one scheme, which is taken where none is named.
pub(super) const DEFAULT_SCHEME: &str = "dns";

/// The schemes that [`Schemes::new`](super::Schemes::new) knows.
pub(super) const BUILT_IN: [&str; 5] = ["dns", "ipv4", "ipv6", "unix", "unix-abstract"];

/// What a channel is to be connected to, as [naming.md] writes it: `dns:///greeter.example:50051`.
///
/// `scheme:path` or `scheme://authority/path`, a URI of RFC 3986. The scheme says who resolves it;
/// the path is what is resolved; the authority, mostly empty, is who is asked. In authority and path
/// `%2F` stands for `/`, and so on; `?` and `#` have to be written so, since a target has neither
/// query nor fragment.
///
/// Text without a scheme is the name of a host: `localhost:50051` is `dns:///localhost:50051`.
/// Whether `greeter:50051` has a scheme depends on which schemes there are, so:
///
/// * [`str::parse`] knows those that are built in, and takes any other for one if `//` follows it;
/// * [`Schemes::target`](super::Schemes::target) knows your own too, and refuses one that is
///   unknown.
///
/// ```
/// use conform::resolver::Target;
///
/// let target: Target = "localhost:50051".parse()?;
/// assert_eq!(target.scheme(), "dns");
/// assert_eq!(target.endpoint(), "localhost:50051");
///
/// let target: Target = "unix:///run/my%20server.sock".parse()?;
/// assert_eq!(target.path(), "/run/my server.sock");
/// # Ok::<(), conform::resolver::InvalidTarget>(())
/// ```
///
/// [naming.md]: https://github.com/grpc/grpc/blob/master/doc/naming.md
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: String,
    authority: String,
    path: String,
}

impl Target {
    /// Who resolves it, in lower case: `dns`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Who is asked, between `//` and the next `/`; mostly empty. Escapes are resolved.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What is resolved, with the `/` that stands in front of it after an authority. Escapes are
    /// resolved.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path without the `/` in front of it: for all names but those of files.
    pub fn endpoint(&self) -> &str {
        self.path.strip_prefix('/').unwrap_or(&self.path)
    }

    /// Parses `text`, given the names of the schemes that need no `//` after them.
    pub(super) fn parse(text: &str, known: impl Fn(&str) -> bool) -> Result<Self, InvalidTarget> {
        read(text, known).map_err(|reason| InvalidTarget::new(text, reason))
    }
}

fn read(text: &str, known: impl Fn(&str) -> bool) -> Result<Target, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains(['?', '#']) {
        return Err("write %3F for `?` and %23 for `#`: a target has no query and no fragment");
    }
    let (scheme, rest) = match scheme_of(text) {
        Some((scheme, rest)) if known(&scheme) || rest.starts_with("//") => (scheme, rest),
        _ => {
            return Ok(Target {
                scheme: DEFAULT_SCHEME.to_owned(),
                authority: String::new(),
                path: format!("/{}", decode(text)?),
            });
        }
    };
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        },
        None => ("", rest),
    };
    Ok(Target {
        scheme,
        authority: decode(authority)?,
        path: decode(path)?,
    })
}

/// The scheme in lower case, and what follows its colon (RFC 3986, 3.1).
fn scheme_of(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let begins_well = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let goes_on_well = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme = begins_well && scheme.bytes().all(goes_on_well);
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// `text` with its escapes resolved (RFC 3986, 2.1).
fn decode(text: &str) -> Result<String, &'static str> {
    const ESCAPE: &str = "two hexadecimal digits have to follow `%`; `%` itself is %25";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|&byte| (byte as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(ESCAPE);
        };
        // Less than 256, since each digit is less than 16.
        bytes.push((16 * high + low) as u8);
        rest = &after[2..];
    }
    let decoded = String::from_utf8(bytes).map_err(|_| "what its escapes stand for isn't UTF-8")?;
    if decoded.contains(char::is_control) {
        return Err("there is a control character in it");
    }
    Ok(decoded)
}

/// By naming.md, with the schemes that are built in; any other has to be followed by `//`.
impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Self::parse(text, |scheme| BUILT_IN.contains(&scheme))
    }
}

/// With its scheme, and with escapes where they are needed: whoever parsed it gets the same again.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        let has_slashes = self.path.is_empty() || self.path.starts_with('/');
        if has_slashes || !self.authority.is_empty() {
            f.write_str("//")?;
            encode(f, &self.authority, "%?#/ ")?;
        }
        encode(f, &self.path, "%?# ")
    }
}

fn encode(f: &mut fmt::Formatter<'_>, text: &str, special: &str) -> fmt::Result {
    for char in text.chars() {
        if special.contains(char) {
            write!(f, "%{:02X}", char as u32)?;
        } else {
            f.write_char(char)?;
        }
    }
    Ok(())
}

/// Why a target can't be used, in one sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTarget(String);

impl InvalidTarget {
    pub(super) fn new(target: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self(format!("the target `{target}` can't be used: {reason}"))
    }
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidTarget {}
