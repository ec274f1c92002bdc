//! Where a value stands in a configuration: `feeds[2].every`.

use std::fmt;

/// The way from the root of a configuration to one value. Prints as `feeds[2].every`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Vec<Step>);

/// One step of a [`KeyPath`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The configuration as a whole.
    pub fn root() -> Self {
        Self::default()
    }

    /// The way to a dotted name such as `server.listen`, which has no indices.
    pub fn dotted(name: &str) -> Self {
        name.split('.').fold(Self::root(), |path, key| path.key(key))
    }

    /// One table key further.
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// One array element further.
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Whether this is the configuration as a whole.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Where serde stood when it failed, below `self`.
    pub(super) fn join(&self, below: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        below.iter().fold(self.clone(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key),
            Segment::Enum { variant } => path.key(variant),
            Segment::Unknown => path,
        })
    }

    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    pub(super) fn parent(&self) -> Option<Self> {
        let (_, parent) = self.0.split_last()?;
        Some(Self(parent.to_vec()))
    }

    /// What the last step is called, where it is a table key.
    pub(super) fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The section that the value belongs to: the first table key.
    pub(super) fn section(&self) -> Option<&Step> {
        self.0.first()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    write_key(f, key)?;
                }
            }
        }
        Ok(())
    }
}

/// As TOML would write it: quoted when it is not a bare key.
fn write_key(f: &mut fmt::Formatter<'_>, key: &str) -> fmt::Result {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) { f.write_str(key) } else { write!(f, "{key:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_an_operator_would_write_it() {
        let feed = KeyPath::root().key("feeds").index(2);
        assert_eq!(feed.key("every").to_string(), "feeds[2].every");
        assert_eq!(feed.key("ids").key("BTC/USD").to_string(), "feeds[2].ids.\"BTC/USD\"");
        assert_eq!(KeyPath::dotted("server.listen").to_string(), "server.listen");
        assert_eq!(KeyPath::root().to_string(), "");
    }
}
