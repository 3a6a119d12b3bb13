//! Which config a channel has: the resolver's, or its own.

use tonic::Status;

use super::ServiceConfig;
use crate::balance::Registry;

/// The service config of a channel, and what becomes of it with each answer of its resolver.
///
/// | the resolver brings | the channel has chosen before | then |
/// |---|---|---|
/// | a valid config | nothing, or any | that one |
/// | none | nothing, or any | the default; without one the empty config |
/// | an invalid one, or an error in its place | any | what it was |
/// | an invalid one, or an error in its place | nothing | the default; without one no config: calls fail |
///
/// [gRFC A21], "Behavior on receiving a new gRPC Config" and "Service Config Channel Arguments".
///
/// ```
/// use conform::balance::Registry;
/// use conform::service_config::{Selection, ServiceConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut selection = Selection::new(None, Registry::new());
/// let selected = selection.from_resolver(Some(Ok(r#"{ "methodConfig": [] }"#)));
/// assert_eq!(selected.new, Some(ServiceConfig::default()));
///
/// let selected = selection.from_resolver(Some(Ok(r#"{ "methodConfig": 7 }"#)));
/// assert!(selected.new.is_none());
/// let why = "the service config is invalid: methodConfig: must be a list";
/// assert_eq!(selected.refused.ok_or("it wasn't refused")?.message(), why);
/// assert_eq!(selection.current(), Some(&ServiceConfig::default()));
/// # Ok(())
/// # }
/// ```
///
/// [gRFC A21]: https://github.com/grpc/proposal/blob/master/A21-service-config-error-handling.md
#[derive(Clone, Debug)]
pub struct Selection {
    default: Option<ServiceConfig>,
    registry: Registry,
    ignores_resolver: bool,
    current: Option<ServiceConfig>,
}

/// What has become of a channel's config.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Selected {
    /// The config from now on, if it isn't the one from before.
    pub new: Option<ServiceConfig>,
    /// Why the resolver's config can't be used. It should be reported, and the resolver be asked
    /// again, with backoff. Without a [current](Selection::current) config calls fail with this.
    pub refused: Option<Status>,
}

impl Selection {
    /// Nothing is chosen yet. The default is what the channel's maker gives it; the resolver's configs
    /// may name the policies of `registry`.
    pub fn new(default: Option<ServiceConfig>, registry: Registry) -> Self {
        Self {
            default,
            registry,
            ignores_resolver: false,
            current: None,
        }
    }

    /// Takes what the resolver brings for none.
    pub fn ignoring_resolver(mut self) -> Self {
        self.ignores_resolver = true;
        self
    }

    /// The config that calls go by. `None` before the resolver's first answer, and until there is one
    /// that can be used: calls wait in the first case, and fail in the second.
    pub fn current(&self) -> Option<&ServiceConfig> {
        self.current.as_ref()
    }

    /// What the resolver has answered: JSON, why it has none although there should be one, or that
    /// there is none.
    pub fn from_resolver(&mut self, brought: Option<Result<&str, Status>>) -> Selected {
        let brought = brought.filter(|_| !self.ignores_resolver);
        let parsed = brought.map(|json| {
            let config = ServiceConfig::parse_with(json?, &self.registry);
            config.map_err(Status::from)
        });
        match parsed {
            None => {
                let config = self.default.clone().unwrap_or_default();
                self.select(Some(config), None)
            }
            Some(Ok(config)) => self.select(Some(config), None),
            Some(Err(why)) => {
                let config = match self.current {
                    Some(_) => None,
                    None => self.default.clone(),
                };
                self.select(config, Some(why))
            }
        }
    }

    fn select(&mut self, config: Option<ServiceConfig>, refused: Option<Status>) -> Selected {
        let new = config.filter(|config| self.current.as_ref() != Some(config));
        let new = new.map(|config| match &self.current {
            Some(current) => config.with_tokens_of(current),
            None => config,
        });
        if new.is_some() {
            self.current.clone_from(&new);
        }
        Selected { new, refused }
    }
}
