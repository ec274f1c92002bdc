//! Secrets: named by where they are kept, never printed.

use std::{env, fmt, fs, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a secret is kept: `{ env = "NAME" }` or `{ file = "/run/secrets/x" }`. The secret itself
/// never stands in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "Form")]
#[schemars(rename = "Secret")]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file whose content, without trailing white space, is the secret.
    File(PathBuf),
}

/// As it is written. Untagged, because serde's error for a tagged form repeats what it found, which
/// may be a secret that somebody wrote in by mistake.
#[derive(Deserialize, JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "say where the secret is kept, as { env = \"NAME\" } or \
                 { file = \"/run/secrets/name\" }; the secret itself must not stand here"
)]
enum Form {
    Env { env: String },
    File { file: PathBuf },
}

impl From<Form> for SecretSource {
    fn from(form: Form) -> Self {
        match form {
            Form::Env { env } => Self::Env(env),
            Form::File { file } => Self::File(file),
        }
    }
}

/// A secret value. `Debug` and `Display` print a placeholder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// Says which variable or file is missing or empty; never what one holds.
    pub fn read(&self) -> Result<Secret, String> {
        self.read_with(|name| env::var(name).ok())
    }

    /// As [`SecretSource::read`], with the environment as an argument.
    ///
    /// # Errors
    /// As [`SecretSource::read`].
    pub fn read_with(
        &self,
        variable: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Secret, String> {
        let value = match self {
            Self::Env(name) => {
                variable(name).ok_or_else(|| format!("environment variable {name} is not set"))?
            }
            Self::File(path) => fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        };
        match value.trim_end() {
            "" => Err(format!("{self} is empty")),
            secret => Ok(Secret(secret.to_owned())),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl Secret {
    /// Wraps a value that must not be printed.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }

    #[test]
    fn a_file_secret_loses_its_trailing_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, "abc\n").unwrap();
        assert_eq!(SecretSource::File(path).read(), Ok(Secret::new("abc")));
    }

    #[test]
    fn a_secret_that_is_written_in_is_refused_and_not_repeated() {
        let good = serde_json::from_str::<SecretSource>("{\"env\":\"KEY\"}").unwrap();
        assert_eq!(good, SecretSource::Env("KEY".into()));
        for text in [
            "\"hunter2\"",
            "{\"value\":\"hunter2\"}",
            "{\"hunter2\":\"\"}",
            "{\"env\":\"KEY\",\"hunter2\":1}",
            "[\"hunter2\"]",
        ] {
            let error = serde_json::from_str::<SecretSource>(text).unwrap_err().to_string();
            assert!(error.contains("must not stand here"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = SecretSource::Env("TICKWIRE_TEST_UNSET".into()).read().unwrap_err();
        assert_eq!(error, "environment variable TICKWIRE_TEST_UNSET is not set");
    }
}
