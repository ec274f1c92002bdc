//! Topic names and what a client may call them.

use std::{borrow::Borrow, fmt, sync::Arc};

use super::{Pattern, Symbol};

/// A dotted name of one stream, such as `price.BTC-USD`: at most [`Topic::MAX_TOKENS`] tokens of
/// `[A-Za-z0-9_-]+`, at most [`Topic::MAX_BYTES`] bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is neither a topic nor, where one is allowed, a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing, or a token between dots that is nothing.
    #[error("a topic is one or more tokens separated by single dots; a token here is empty")]
    EmptyToken,
    /// A character that is not in `[A-Za-z0-9_-]`, or a wildcard that is not a whole token.
    #[error("a token may hold only A-Z, a-z, 0-9, _ and -; `*` and a final `>` stand alone")]
    BadCharacter,
    /// More than [`Topic::MAX_TOKENS`] tokens.
    #[error("a topic has at most 8 tokens")]
    TooManyTokens,
    /// More than [`Topic::MAX_BYTES`] bytes.
    #[error("a topic has at most 128 bytes")]
    TooLong,
    /// A wildcard where one topic was due.
    #[error("a single topic is needed here, not a pattern")]
    Wildcard,
    /// `>` before the last token.
    #[error("`>` must be the last token")]
    TailNotLast,
}

impl Topic {
    /// The most tokens a topic has.
    pub const MAX_TOKENS: usize = 8;
    /// The most bytes a topic has.
    pub const MAX_BYTES: usize = 128;

    /// Reads a topic name exactly as it is written.
    ///
    /// # Errors
    /// [`TopicError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if Pattern::check(text)? {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first token: the kind of data.
    pub fn kind(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// `text` with the symbol in it in canonical form, where it names one differently: the second
    /// token of `price`, `candle` and `signal` topics. `None` when it is canonical already or has
    /// no symbol.
    pub fn canonical_text(text: &str) -> Option<String> {
        let (kind, rest) = text.split_once('.')?;
        if !matches!(kind, "price" | "candle" | "signal") {
            return None;
        }
        let (asked, tail) = match rest.split_once('.') {
            Some((asked, tail)) => (asked, Some(tail)),
            None => (rest, None),
        };
        let symbol = Symbol::parse(asked)?;
        if symbol.as_str() == asked {
            return None;
        }
        Some(match tail {
            Some(tail) => format!("{kind}.{symbol}.{tail}"),
            None => format!("{kind}.{symbol}"),
        })
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_holds() {
        for good in ["price.BTC-USD", "a", "a.b.c.d.e.f.g.h", "status.my_feed-1"] {
            assert!(Topic::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        let cases = [
            ("", TopicError::EmptyToken),
            ("nope.", TopicError::EmptyToken),
            (".a", TopicError::EmptyToken),
            ("a..b", TopicError::EmptyToken),
            ("price.BTC/USD", TopicError::BadCharacter),
            ("price.\u{0}", TopicError::BadCharacter),
            ("price.\u{202e}BTC", TopicError::BadCharacter),
            ("price.é", TopicError::BadCharacter),
            ("a.b.c.d.e.f.g.h.i", TopicError::TooManyTokens),
            ("price.*", TopicError::Wildcard),
            (&long, TopicError::TooLong),
        ];
        for (text, expected) in cases {
            assert_eq!(Topic::parse(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn aliases_become_canonical() {
        let cases = [
            ("price.btc-usd", Some("price.BTC-USD")),
            ("price.BTC/USD", Some("price.BTC-USD")),
            ("price.BTCUSD.binance", Some("price.BTC-USD.binance")),
            ("price.XBT-USD", Some("price.BTC-USD")),
            ("signal.ethusdt.>", Some("signal.ETH-USDT.>")),
            ("price.BTC-USD", None),
            ("price.*", None),
            ("price.>", None),
            ("status.btcusd", None),
            ("price", None),
        ];
        for (asked, canonical) in cases {
            assert_eq!(Topic::canonical_text(asked).as_deref(), canonical, "{asked}");
        }
    }
}
