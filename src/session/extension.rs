//! Negotiating permessage-deflate (RFC 7692). Pure.
//!
//! Both sides begin every message anew (`no_context_takeover`): the server because one compressed
//! update is shared by all its subscribers, the client so that no connection keeps a window.

use axum::http::HeaderValue;

use crate::protocol::deflate::Window;

const NAME: &str = "permessage-deflate";

/// What was agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The window in which the server compresses.
    pub window: Window,
    /// Whether the client has set it, and must be told that it is respected.
    window_asked: bool,
}

impl Agreed {
    /// The value of `Sec-WebSocket-Extensions` in the answer.
    pub fn answer(self) -> HeaderValue {
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        if !self.window_asked {
            return HeaderValue::from_static(both);
        }
        let answer = format!("{both}; server_max_window_bits={}", self.window.bits());
        HeaderValue::try_from(answer).unwrap_or(HeaderValue::from_static(both))
    }
}

/// The first offer that can be accepted, in the client's order. `headers` are the values of
/// `Sec-WebSocket-Extensions`; one that cannot be read offers nothing.
pub fn negotiate<'a>(mut headers: impl Iterator<Item = &'a str>) -> Option<Agreed> {
    headers.find_map(|header| split(header, b',')?.into_iter().find_map(accept))
}

/// An offer is declined for what it does not name: an unknown, repeated or ill-valued parameter.
fn accept(offer: &str) -> Option<Agreed> {
    let parts = split(offer, b';')?;
    let (name, parameters) = parts.split_first()?;
    if !name.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut agreed = Agreed { window: Window::LARGEST, window_asked: false };
    let mut seen = Vec::new();
    for parameter in parameters {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
            None => (*parameter, None),
        };
        let name = name.to_ascii_lowercase();
        match (name.as_str(), value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            ("server_max_window_bits", Some(value)) => {
                agreed.window = Window::new(bits(value)?)?;
                agreed.window_asked = true;
            }
            // The client may use less than the whole window: whatever it uses can be read.
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(value)) => drop(bits(value)?),
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(agreed)
}

/// 8 to 15, without leading zeros.
fn bits(value: &str) -> Option<u8> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|bits| digits && (8..=15).contains(bits))
}

/// The parts between separators that stand outside of quotes; nothing where a quote is left open.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(text.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    (!quoted).then_some(parts)
}

/// A value may be a quoted string; what is in it must be a token, which needs no escape.
fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(headers: &[&str]) -> Option<String> {
        let agreed = negotiate(headers.iter().copied())?;
        Some(agreed.answer().to_str().unwrap().to_owned())
    }

    const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn what_browsers_and_libraries_offer_is_accepted() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=15",
            "permessage-deflate; client_max_window_bits=8",
            "Permessage-Deflate; server_no_context_takeover ;  client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "other; a=\"b,c;permessage-deflate\", permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(BOTH), "{offer}");
        }
    }

    #[test]
    fn a_smaller_window_of_the_server_is_promised() {
        for (offer, bits) in [
            ("permessage-deflate; server_max_window_bits=15", 15),
            ("permessage-deflate; server_max_window_bits=9", 9),
            ("permessage-deflate; server_max_window_bits = \"10\"", 10),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; \
              server_max_window_bits=12",
                12,
            ),
        ] {
            let expected = format!("{BOTH}; server_max_window_bits={bits}");
            assert_eq!(answer(&[offer]), Some(expected), "{offer}");
        }
        let fallback = ["permessage-deflate; server_max_window_bits=8", "permessage-deflate"];
        assert_eq!(answer(&fallback).as_deref(), Some(BOTH));
    }

    #[test]
    fn an_offer_that_cannot_be_kept_is_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=1e1",
            "permessage-deflate; a=\"",
            "permessage-deflate;",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_panic(header in "[permsag\\-dflt;,=\"\\\\ 0-9é]{0,80}") {
            negotiate(std::iter::once(header.as_str()));
        }
    }
}
