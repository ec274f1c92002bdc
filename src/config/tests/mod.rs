//! Tests of the whole: what is read, what is refused, and that the files in `config/` hold.

mod errors;
mod files;
mod json;
mod overrides;
mod providers;
mod push;
mod rules;
mod schema;

use std::path::PathBuf;

use super::{Config, ConfigErrors};

/// A feed that is right.
const FEED: &str = "[[feeds]]\nname = \"a\"\nprovider = \"binance\"\nsymbols = [\"BTC-USDT\"]\n";

fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), variables(env))
}

fn load(text: &str) -> Result<Config, ConfigErrors> {
    load_with(text, &[])
}

fn variables(env: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    env.iter().map(owned).collect::<Vec<_>>().into_iter()
}

/// What a text is refused for, a line each, without the directory of the file.
fn refusals(text: &str) -> Vec<String> {
    lines(&load(text).unwrap_err())
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    let line = |text: String| match text.split_once("x.toml") {
        Some((_, rest)) => format!("x.toml{rest}"),
        None => text,
    };
    errors.iter().map(|error| line(error.to_string())).collect()
}

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}
