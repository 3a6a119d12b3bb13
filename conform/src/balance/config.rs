//! Fields of a policy's config, as proto3 JSON has them.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::json_duration::{self, MAX_SECONDS};

/// The fields of a policy's config. Nothing at all, `null`, is a config without fields.
pub(crate) struct Fields<'a>(Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    pub(crate) fn of(config: &'a Value) -> Result<Self, String> {
        match config {
            Value::Null => Ok(Self(None)),
            Value::Object(fields) => Ok(Self(Some(fields))),
            _ => Err("its config must be an object".into()),
        }
    }

    /// A field, unless it isn't there or `null`, which says the same.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<bool, String> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(format!("{name} must be true or false")),
        }
    }

    /// A whole number; proto3 JSON writes those of 64 bits as text.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(format!("{name} must be a whole number, at least 0")),
        }
    }

    /// A number that isn't negative; proto3 JSON may write it as text.
    pub(crate) fn amount(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let amount = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match amount.filter(|amount| *amount >= 0.0 && amount.is_finite()) {
            Some(amount) => Ok(Some(amount)),
            None => Err(format!("{name} must be a number, at least 0")),
        }
    }

    /// A time, as `"1.5s"`.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let longest = Duration::from_secs(MAX_SECONDS);
        let duration = value.as_str().and_then(json_duration::parse);
        match duration.filter(|duration| *duration <= longest) {
            Some(duration) => Ok(Some(duration)),
            None => Err(format!("{name} must be a time of at least 0, as \"1.5s\"")),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} must be a string")),
        }
    }
}
