//! Which resolver resolves which targets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tonic::codegen::http::uri::Authority;

use super::fixed::{Ipv4, Ipv6, Unix, UnixAbstract};
use super::{Dns, InvalidTarget, Resolver, Target};

/// What resolves the targets of one scheme.
///
/// `ChannelBuilder::scheme` makes it known to a channel, [`Schemes::with`] to whoever has no channel.
pub trait Scheme: Send + Sync + 'static {
    /// The scheme's name: a letter, then letters, digits, `+`, `-` and `.`; upper and lower case
    /// are the same.
    fn name(&self) -> &str;

    /// A resolver for `target`, whose scheme is this one.
    ///
    /// # Errors
    ///
    /// A reason why `target` can't be resolved, ever, to follow "can't be used:". What may be mended
    /// later is no error of this kind: the resolver reports it as an update.
    fn resolver(&self, target: &Target) -> Result<Box<dyn Resolver>, String>;

    /// The host that calls to `target` name: in the header `:authority`, and to a server that has
    /// to show a certificate.
    ///
    /// By default the target's [`endpoint`](Target::endpoint). [`Schemes::authority`] takes
    /// `localhost` for what can't be an authority, such as a name with a `/` in it.
    fn authority(&self, target: &Target) -> String {
        target.endpoint().to_owned()
    }
}

/// The schemes that a channel knows. Clones are cheap.
#[derive(Clone)]
pub struct Schemes(BTreeMap<String, Arc<dyn Scheme>>);

impl Schemes {
    /// Those of naming.md: `dns`, `ipv4`, `ipv6`, `unix`, `unix-abstract`.
    pub fn new() -> Self {
        Self(BTreeMap::new())
            .with(Dns::new())
            .with(Ipv4)
            .with(Ipv6)
            .with(Unix)
            .with(UnixAbstract)
    }

    /// With one more. It replaces one of the same name, built in or not.
    pub fn with(mut self, scheme: impl Scheme) -> Self {
        let name = scheme.name().to_ascii_lowercase();
        self.0.insert(name, Arc::new(scheme));
        self
    }

    /// What `text` names, by these schemes: what doesn't begin with one of them is the name of a
    /// host, as in `localhost:50051`.
    ///
    /// # Errors
    ///
    /// If it's malformed, or has an unknown scheme and `//` after it. By naming.md that is a name
    /// for DNS as well; it's never one that could be found.
    pub fn target(&self, text: &str) -> Result<Target, InvalidTarget> {
        let target = Target::parse(text, |scheme| self.0.contains_key(scheme))?;
        self.scheme(&target)?;
        Ok(target)
    }

    /// A resolver for `target`. It does nothing until it runs.
    ///
    /// # Errors
    ///
    /// If the scheme is unknown, or has no use for the rest of the target.
    pub fn build(&self, target: &Target) -> Result<Box<dyn Resolver>, InvalidTarget> {
        let scheme = self.scheme(target)?;
        scheme
            .resolver(target)
            .map_err(|reason| InvalidTarget::new(target, reason))
    }

    /// The host that calls to `target` name, as its scheme has it. It's always one that HTTP/2 can
    /// carry.
    ///
    /// # Errors
    ///
    /// If the scheme is unknown.
    pub fn authority(&self, target: &Target) -> Result<String, InvalidTarget> {
        let authority = self.scheme(target)?.authority(target);
        let can_travel = !authority.contains('@') && Authority::try_from(&*authority).is_ok();
        Ok(match can_travel {
            true => authority,
            false => "localhost".to_owned(),
        })
    }

    fn scheme(&self, target: &Target) -> Result<&Arc<dyn Scheme>, InvalidTarget> {
        self.0.get(target.scheme()).ok_or_else(|| {
            let reason = match target.scheme() {
                "http" | "https" => "it is a URL; write host:port, or dns:///host:port".to_owned(),
                scheme => {
                    let known: Vec<_> = self.0.keys().map(String::as_str).collect();
                    format!("nobody resolves `{scheme}`, only {}", known.join(", "))
                }
            };
            InvalidTarget::new(target, reason)
        })
    }
}

impl Default for Schemes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
