//! What is wrong with a feed's configuration, as far as it can be known without asking anybody.

use std::fmt;

/// A mistake in a feed's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The way from the feed to the key that is wrong.
    pub at: Vec<At>,
    /// What is wrong with it.
    pub message: String,
}

/// One step of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// All that is wrong with one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistakes(pub(super) Vec<Mistake>);

impl Mistake {
    pub(super) fn at(key: &str, message: impl Into<String>) -> Self {
        Self { at: vec![At::Key(key.to_owned())], message: message.into() }
    }

    /// A mistake at `step` of the table or array at `key`.
    pub(super) fn below(key: &str, step: At, message: impl Into<String>) -> Self {
        Self { at: vec![At::Key(key.to_owned()), step], message: message.into() }
    }

    /// A mistake in the id of `symbol`.
    pub(super) fn id(symbol: &impl ToString, message: impl Into<String>) -> Self {
        Self::below("ids", At::Key(symbol.to_string()), message)
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.at.iter().map(|step| match step {
            At::Key(key) => key.clone(),
            At::Index(index) => index.to_string(),
        });
        write!(f, "`{}` {}", steps.collect::<Vec<_>>().join("."), self.message)
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

/// Every result, or all mistakes rather than the first.
///
/// # Errors
/// All mistakes in their order.
pub(super) fn all<T>(
    results: impl Iterator<Item = Result<T, Mistake>>,
) -> Result<Vec<T>, Mistakes> {
    let (mut good, mut mistakes) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() { Ok(good) } else { Err(Mistakes(mistakes)) }
}
