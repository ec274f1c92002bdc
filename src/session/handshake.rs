//! The opening handshake of RFC 6455, made by hand so that codes, limits and the socket stay under
//! our control. Pure.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::extension;
use crate::protocol::{
    code::{ErrorBody, ErrorCode},
    encoding::{Encoding, Format},
};

/// An accepted handshake: the headers of the answer with status 101.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What was agreed upon.
    pub format: Format,
}

/// Why a handshake is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: StatusCode,
    /// What to tell.
    pub error: ErrorBody,
}

/// Checks a request for `/v1/ws`. permessage-deflate is agreed upon where `compression` allows it.
///
/// # Errors
/// 426 where no WebSocket of version 13 is asked for, 400 where it is asked for wrongly.
pub fn negotiate<B>(request: &Request<B>, compression: bool) -> Result<Accepted, Refused> {
    let headers = request.headers();
    let refuse = |status, message: &str| {
        Err(Refused { status, error: ErrorBody::new(ErrorCode::BadRequest, message) })
    };
    if request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return refuse(StatusCode::BAD_REQUEST, "a WebSocket begins with GET over HTTP/1.1");
    }
    if !has_token(headers, header::CONNECTION, "upgrade")
        || !has_token(headers, header::UPGRADE, "websocket")
    {
        let message = "this is a WebSocket endpoint: connect with a WebSocket client";
        return refuse(StatusCode::UPGRADE_REQUIRED, message);
    }
    if single(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return refuse(StatusCode::UPGRADE_REQUIRED, "`Sec-WebSocket-Version` must be 13");
    }
    let Some(key) = single(headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        let message = "`Sec-WebSocket-Key` must be 16 bytes in base64";
        return refuse(StatusCode::BAD_REQUEST, message);
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let Ok(accept) = accept else {
        return refuse(StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` cannot be answered");
    };
    let mut answer = vec![
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    let mut encoding = Encoding::default();
    let mut offered = tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).peekable();
    if offered.peek().is_some() {
        let known = |name| Encoding::ALL.into_iter().find(|known| known.subprotocol() == name);
        // In the client's order: its first is what it likes best.
        let Some(chosen) = offered.find_map(known) else {
            let spoken = Encoding::ALL.map(Encoding::subprotocol).join(" and ");
            let message = format!("the subprotocols spoken here are {spoken}");
            return refuse(StatusCode::BAD_REQUEST, &message);
        };
        encoding = chosen;
        let name = HeaderValue::from_static(chosen.subprotocol());
        answer.push((header::SEC_WEBSOCKET_PROTOCOL, name));
    }
    let extensions = values(headers, header::SEC_WEBSOCKET_EXTENSIONS);
    let agreed = compression.then(|| extension::negotiate(extensions)).flatten();
    answer.extend(agreed.map(|agreed| (header::SEC_WEBSOCKET_EXTENSIONS, agreed.answer())));
    let format = Format { encoding, deflate: agreed.map(|agreed| agreed.window) };
    Ok(Accepted { headers: answer, format })
}

fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    values(headers, name)
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

/// 16 bytes in base64 are 22 characters, of which the last holds 2 bits, and `==`.
fn is_key(key: &str) -> bool {
    let Some(body) = key.strip_suffix("==") else {
        return false;
    };
    body.len() == 22
        && body.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && body.ends_with(['A', 'Q', 'g', 'w'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&str, Option<&str>)]) -> Request<()> {
        let mut headers = vec![
            ("host", "localhost"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.retain(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        headers.extend(changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
        let mut request = Request::builder().uri("/v1/ws");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_6455_is_answered_as_there() {
        let accepted = negotiate(&request(&[]), true).unwrap();
        let accept = (header::SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(accepted.headers.contains(&(accept.0, HeaderValue::from_static(accept.1))));
    }

    #[test]
    fn the_first_known_subprotocol_is_chosen_and_only_unknown_ones_are_refused() {
        let offer = |offer| negotiate(&request(&[("sec-websocket-protocol", Some(offer))]), true);
        let chosen = offer("other, tickwire.v1.json").unwrap();
        let spoken = (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("tickwire.v1.json"));
        assert!(chosen.headers.contains(&spoken));
        let chosen = offer("tickwire.v9, tickwire.v1.msgpack, tickwire.v1.json").unwrap();
        assert_eq!(chosen.format.encoding, Encoding::MessagePack);
        assert_eq!(offer("tickwire.v9.json").unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn compression_is_agreed_upon_only_where_it_is_allowed() {
        let offer =
            [("sec-websocket-extensions", Some("permessage-deflate; client_max_window_bits"))];
        let named = |accepted: &Accepted| {
            accepted.headers.iter().any(|(name, _)| name == header::SEC_WEBSOCKET_EXTENSIONS)
        };
        for allowed in [true, false] {
            let accepted = negotiate(&request(&offer), allowed).unwrap();
            assert_eq!((named(&accepted), accepted.format.deflate.is_some()), (allowed, allowed));
        }
        assert!(!named(&negotiate(&request(&[]), true).unwrap()));
    }

    #[test]
    fn what_is_no_handshake_gets_the_status_that_says_why() {
        for (changes, status) in [
            (&[("upgrade", None)][..], 426),
            (&[("connection", Some("close"))], 426),
            (&[("sec-websocket-version", Some("8"))], 426),
            (&[("sec-websocket-version", None)], 426),
            (&[("sec-websocket-key", None)], 400),
            (&[("sec-websocket-key", Some("short=="))], 400),
            (&[("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZR=="))], 400),
            (
                &[
                    ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
                    ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
                ],
                400,
            ),
        ] {
            assert_eq!(
                negotiate(&request(changes), true).unwrap_err().status,
                status,
                "{changes:?}"
            );
        }
    }
}
