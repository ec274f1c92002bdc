//! Sizes as they are written in a configuration: `512B`, `64KiB`, `256MiB`, `1GiB`.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes that reads and prints with a binary unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, JsonSchema)]
#[schemars(extend("pattern" = "^[0-9]+(B|KiB|MiB|GiB)$", "examples" = ["64KiB", "256MiB"]))]
pub struct ByteSize(#[schemars(with = "String")] pub usize);

/// Unit suffixes with their number of bytes, longest suffix first.
const UNITS: [(&str, usize); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

impl ByteSize {
    /// Whole kibibytes.
    pub const fn kib(kib: usize) -> Self {
        Self(kib << 10)
    }

    /// Whole mebibytes.
    pub const fn mib(mib: usize) -> Self {
        Self(mib << 20)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size such as 512B, 64KiB, 256MiB or 1GiB");
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(suffix, bytes)| Some((text.strip_suffix(suffix)?, *bytes)))
            .ok_or_else(wrong)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let count: usize = digits.parse().map_err(|_| wrong())?;
        count.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (suffix, bytes) = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes))
            .unwrap_or(("B", 1));
        write!(f, "{}{suffix}", self.0 / bytes)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_with_their_unit_and_print_the_same() {
        for (text, bytes) in [("0B", 0), ("64KiB", 65_536), ("256MiB", 268_435_456), ("1B", 1)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_size_without_a_known_unit_is_refused() {
        for text in ["", "64", "KiB", "64KB", "64 KiB", "-1B", "99999999999999999999B"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
