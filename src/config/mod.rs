//! The whole configuration: lists the parts' own types, reads them from one TOML file with the
//! environment over it, and refuses what cannot work before anything is started.

mod document;
mod environment;
mod error;
mod key;
mod read;
#[cfg(test)]
mod tests;
mod validate;

use std::{collections::BTreeMap, fs, path::Path};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    access, delivery, hub, sandbox, server,
    upstream::config::{ConsolidateConfig, FeedConfig, UpstreamConfig},
};
pub use error::{ConfigError, ConfigErrors, Place};
pub use key::KeyPath;

use document::Document;

/// What runs when no file is given; it documents every key.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// How the embedded file is called in errors and reports.
pub const DEFAULT_NAME: &str = "built-in default.toml";

/// Everything that can be configured. Each section is its part's own type.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how to listen.
    pub server: server::Config,
    /// How much clients may use.
    pub limits: access::Limits,
    /// How updates wait and are written.
    pub delivery: delivery::Config,
    /// What the hub keeps.
    pub hub: hub::Config,
    /// The simulated market.
    pub sandbox: sandbox::config::Config,
    /// What concerns all upstreams.
    pub upstream: UpstreamConfig,
    /// The upstreams.
    pub feeds: Vec<FeedConfig>,
    /// How sources become one price.
    pub consolidate: ConsolidateConfig,
}

/// A value from the command line, which wins over the file and the environment.
#[derive(Debug, Clone)]
pub struct Override {
    /// The flag that brought it, for errors: `--listen`.
    pub flag: &'static str,
    /// The key without indices: `server.listen`.
    pub key: &'static str,
    /// The value, a string in the configuration.
    pub value: String,
}

impl Config {
    /// The built-in configuration: the sandbox market on 127.0.0.1:8080.
    ///
    /// # Errors
    /// None while the embedded file is right, which a test holds.
    pub fn embedded() -> Result<Self, ConfigErrors> {
        Self::load(None, std::iter::empty())
    }

    /// Reads a file, or the embedded one when there is none, with `env` over it. A file that is
    /// given supplies all feeds; other keys that it leaves out take their defaults.
    ///
    /// Variables named `TICKWIRE_<SECTION>__<KEY>` override keys; those that secrets name must be
    /// in `env` too.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key and its line or variable.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        Self::load_with(path, env, &[])
    }

    /// As [`Config::load`], with values from the command line over both.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        overrides: &[Override],
    ) -> Result<Self, ConfigErrors> {
        let environment: BTreeMap<String, String> = env.collect();
        let mut document = match path {
            None => Document::parse(DEFAULT_NAME, DEFAULT)?,
            Some(path) => Document::parse(&path.display().to_string(), &text(path)?)?,
        };
        let mut errors = environment::apply(&environment, &mut document);
        for set in overrides {
            let value = toml::Value::String(set.value.clone());
            let place = Place::Flag(set.flag);
            let key = KeyPath::dotted(set.key);
            if let Err(error) = document.set(&key, value, &set.value, &place) {
                errors.push(error);
            }
        }
        let reading = read::read(&document, &mut errors);
        errors.extend(validate::validate(&document, &environment, &reading, &errors));
        match reading.config {
            Some(config) if errors.is_empty() => {
                Ok(Self { feeds: reading.feeds.into_iter().flatten().collect(), ..config })
            }
            _ => Err(ConfigErrors::new(errors)),
        }
    }
}

fn text(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError {
        place: Place::Whole(path.display().to_string()),
        key: KeyPath::root(),
        message: format!("cannot read the configuration: {error}"),
    })
}
