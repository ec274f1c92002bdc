//! Reading the body of an answer, and saying what was wrong with one that cannot be read.

use serde::Deserialize;

use super::{DecodeError, Response};
use crate::market::Reason;

/// The most characters of an upstream's text that an error message holds.
const EXCERPT_CHARS: usize = 80;

/// Words by which an API says in an error text that we ask too much of it.
const LIMIT_WORDS: [&str; 9] =
    ["rate", "ratelimit", "limit", "limits", "limited", "credit", "credits", "quota", "throttled"];

impl DecodeError {
    /// An answer that is not what the API promises.
    pub(super) fn bad_body(message: impl Into<String>) -> Self {
        Self { reason: Reason::BadBody, message: message.into(), key_refused: false }
    }

    /// An answer to a request that this feed does not make. Cannot happen while the poll loop hands
    /// each answer back with its own request.
    pub(super) fn unasked() -> Self {
        Self::bad_body("an answer to a request that was not made")
    }

    /// An error that the API reports inside an answer with status 200. Its text decides whether we
    /// asked too much or the request was refused.
    pub(super) fn reported(limited: bool, text: &str) -> Self {
        let limited = limited || speaks_of_limits(text);
        Self {
            reason: if limited { Reason::RateLimited } else { Reason::BadBody },
            message: format!("the API reports: {}", excerpt(text.trim())),
            key_refused: !limited && speaks_of_keys(text),
        }
    }
}

/// Words by which an API says, without more, that it does not know who asks.
const STRANGER_WORDS: [&str; 4] =
    ["unauthorized", "unauthorised", "unauthenticated", "authentication"];

/// Words that say it together with one of [`KEY_WORDS`].
const REFUSAL_WORDS: [&str; 15] = [
    "bad",
    "disabled",
    "expired",
    "inactive",
    "incorrect",
    "invalid",
    "missing",
    "need",
    "no",
    "not",
    "provide",
    "required",
    "revoked",
    "unknown",
    "wrong",
];

const KEY_WORDS: [&str; 6] = ["key", "keys", "apikey", "api_key", "credential", "credentials"];

fn speaks_of_keys(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words = text.split(|ch: char| !(ch.is_ascii_alphanumeric() || ch == '_'));
    let has = |known: &[&str]| words.clone().any(|word| known.contains(&word));
    has(&STRANGER_WORDS) || (has(&KEY_WORDS) && has(&REFUSAL_WORDS))
}

fn speaks_of_limits(text: &str) -> bool {
    text.to_ascii_lowercase()
        .split(|ch: char| !ch.is_ascii_alphanumeric())
        .any(|word| LIMIT_WORDS.contains(&word))
}

/// The text of a body without byte order mark and surrounding white space.
///
/// # Errors
/// `bad_body` for an empty body, HTML, or what is not UTF-8.
pub(super) fn text(response: &Response) -> Result<&str, DecodeError> {
    let bytes = response.body.as_ref();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(bytes.trim_ascii()) else {
        return Err(DecodeError::bad_body(format!(
            "not UTF-8: {}",
            excerpt(&String::from_utf8_lossy(bytes))
        )));
    };
    match text.as_bytes().first() {
        None => Err(DecodeError::bad_body("empty body")),
        Some(b'<') => {
            Err(DecodeError::bad_body(format!("HTML where data was due: {}", excerpt(text))))
        }
        Some(_) => Ok(text),
    }
}

/// Reads a body as JSON of the shape `T`.
///
/// # Errors
/// As [`text`], and `bad_body` for truncated JSON, no JSON, or JSON of another shape.
pub(super) fn json<'a, T: Deserialize<'a>>(response: &'a Response) -> Result<T, DecodeError> {
    let text = text(response)?;
    serde_json::from_str(text).map_err(|error| {
        // serde_json's own text quotes the value that it met, at any length: only its kind is used.
        let what = match error.classify() {
            serde_json::error::Category::Eof => "truncated JSON",
            serde_json::error::Category::Data => "JSON of another shape than promised",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
        };
        let (line, column) = (error.line(), error.column());
        DecodeError::bad_body(format!("{what} at line {line} column {column}: {}", excerpt(text)))
    })
}

/// The beginning of an upstream's text, fit for one line of a log: printable ASCII only, at most
/// [`EXCERPT_CHARS`] characters, and `…` where there was more.
pub(in crate::upstream) fn excerpt(text: &str) -> String {
    let mut chars = text.chars().map(|ch| match ch {
        ' '..='~' => ch,
        _ => '·',
    });
    let mut excerpt: String = chars.by_ref().take(EXCERPT_CHARS).collect();
    if chars.next().is_some() {
        excerpt.pop();
        excerpt.push('…');
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt("a\r\n\u{1b}[31m\u{202e}é"), "a···[31m··");
        assert_eq!(excerpt(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(excerpt(&"x".repeat(81)), format!("{}…", "x".repeat(79)));
    }

    #[test]
    fn a_text_that_refuses_a_key_is_told_from_other_errors() {
        for text in [
            "Invalid API Key",
            "Missing/Invalid API Key",
            r#"{"error":"api_key is required"}"#,
            "EAPI:Invalid key",
            "Unauthorized",
        ] {
            assert!(DecodeError::reported(false, text).key_refused, "{text}");
        }
        for text in [
            "Invalid symbol.",
            "missing keyword",
            "Max rate limit reached, please use API Key for higher rate limit",
            "no such token",
            "",
        ] {
            assert!(!DecodeError::reported(false, text).key_refused, "{text}");
        }
    }

    #[test]
    fn a_text_that_speaks_of_limits_is_told_from_one_that_does_not() {
        for text in ["Rate limit exceeded", "monthly credits used", "QUOTA"] {
            assert!(speaks_of_limits(text), "{text}");
        }
        for text in ["Invalid api key", "could not generate", "delimiter", ""] {
            assert!(!speaks_of_limits(text), "{text}");
        }
    }
}
