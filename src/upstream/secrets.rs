//! What a feed sends that must not be told, read from where it is kept.

use std::collections::BTreeMap;

use super::{
    config::{FeedConfig, Setting},
    providers::Secrets,
};
use crate::units::Secret;

/// Reads the secrets of a feed.
///
/// # Errors
/// Names what is not there, or cannot be sent; never what one holds.
pub fn read(config: &FeedConfig) -> Result<Secrets, String> {
    let secrets = Secrets {
        api_key: config.api_key.as_ref().map(|source| source.read()).transpose()?,
        headers: named(&config.headers)?,
        query: named(&config.query)?,
    };
    for (name, secret) in &secrets.headers {
        if !secret.expose().bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(format!("the secret of header `{name}` cannot be sent in one"));
        }
    }
    Ok(secrets)
}

fn named(settings: &BTreeMap<String, Setting>) -> Result<Vec<(String, Secret)>, String> {
    let secrets = settings.iter().filter_map(|(name, setting)| match setting {
        Setting::Plain(_) => None,
        Setting::Secret(source) => Some(source.read().map(|secret| (name.clone(), secret))),
    });
    secrets.collect()
}
