//! The policies that a service config may name.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;

use super::{PolicyBuilder, PolicyConfig};

/// The policies that are known by name: those of this module, and your own.
#[derive(Clone)]
pub struct Registry {
    builders: Arc<BTreeMap<String, Arc<dyn PolicyBuilder>>>,
}

impl Registry {
    /// The policies of this module.
    pub fn new() -> Self {
        let mut all = Self::empty();
        for builder in super::built_in() {
            all.add(builder);
        }
        all
    }

    fn empty() -> Self {
        Self {
            builders: Arc::default(),
        }
    }

    /// With this one too, in place of one with the same name.
    pub fn with(mut self, builder: impl PolicyBuilder) -> Self {
        self.add(Arc::new(builder));
        self
    }

    fn add(&mut self, builder: Arc<dyn PolicyBuilder>) {
        let name = builder.name().to_owned();
        Arc::make_mut(&mut self.builders).insert(name, builder);
    }

    /// The policy of this name, with this config.
    ///
    /// # Errors
    ///
    /// The policy isn't known, or says what is wrong with its config, or panics.
    pub fn policy(&self, name: &str, config: &Value) -> Result<Chosen, String> {
        let builder = self.builders.get(name);
        let builder = builder.ok_or_else(|| {
            let names = self.names();
            format!("{name:?} is no policy that is known; known are {names}")
        })?;
        let policy = catch_unwind(AssertUnwindSafe(|| builder.parse_with(config, self)))
            .unwrap_or_else(|_| Err("it has panicked".into()))
            .map_err(|why| format!("{name}: {why}"))?;
        Ok(Chosen {
            name: name.to_owned(),
            text: config.clone(),
            config: policy,
        })
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.builders.keys().map(String::as_str).collect();
        names.join(", ")
    }

    /// The first policy of a `loadBalancingConfig` that is known: a list of objects with one key
    /// each, the policy's name, and its config as the value. Those before it aren't looked into.
    ///
    /// # Errors
    ///
    /// It isn't such a list, none of its policies is known, or the first that is known says what is
    /// wrong with its config (gRFC A24).
    pub fn choose(&self, list: &Value) -> Result<Chosen, String> {
        let Value::Array(list) = list else {
            return Err("it must be a list of policies".into());
        };
        for entry in list {
            let entry = entry.as_object().filter(|entry| entry.len() == 1);
            let entry = entry.and_then(|entry| entry.iter().next());
            let Some((name, config)) = entry else {
                return Err("each policy must be an object with one key, its name".into());
            };
            if self.builders.contains_key(name) {
                return self.policy(name, config);
            }
        }
        Err(format!(
            "none of its policies is known, only {}",
            self.names()
        ))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.builders.keys()).finish()
    }
}

/// A policy that was chosen, with its config.
///
/// Two are equal if their names and configs are: a config that says the same again changes nothing.
#[derive(Clone, Debug)]
pub struct Chosen {
    name: String,
    text: Value,
    config: Arc<dyn PolicyConfig>,
}

impl Chosen {
    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its config, which makes the policy.
    pub fn config(&self) -> &dyn PolicyConfig {
        &*self.config
    }
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text
    }
}
