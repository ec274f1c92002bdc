//! A name for each request, by which a client's report and the log can be brought together.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use ulid::Ulid;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const ID_BYTES_MAX: usize = 64;

/// The id of a request, an extension of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// As it stands in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client's own id, which is written into logs and therefore must be plain; else a new one.
    fn of(request: &Request) -> Self {
        let asked = request.headers().get(X_REQUEST_ID);
        let asked = asked.and_then(|value| value.to_str().ok());
        match asked.filter(|id| is_plain(id)) {
            Some(id) => Self(Arc::from(id)),
            None => Self(Arc::from(Ulid::new().to_string())),
        }
    }
}

/// Gives the request its id, and the response the same.
pub(super) async fn assign(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let span = tracing::info_span!(
        "request",
        id = id.as_str(),
        method = %request.method(),
        path = request.uri().path(),
    );
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_ids_are_taken_from_clients() {
        let longest = "a".repeat(64);
        for good in ["a", "01J-x_Y", &longest] {
            assert!(is_plain(good), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in ["", "a b", "a\"b", "ä", "a.b", &too_long] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
