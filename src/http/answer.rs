//! Bodies that a client may already have: each goes out with a tag of its bytes, and a client that
//! names the tag is told that nothing has changed.

use std::hash::{DefaultHasher, Hasher};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use crate::protocol::event;

/// `body` as JSON, or 304.
pub(super) fn json<T: Serialize>(asked: &HeaderMap, body: &T) -> Response {
    let mut json = Vec::with_capacity(4096);
    event::json(&mut json, body);
    tagged(asked, "application/json", json.into())
}

/// `body`, or 304. `asked` are the headers of the request.
pub(super) fn tagged(asked: &HeaderMap, content_type: &'static str, body: Bytes) -> Response {
    let tag = tag(&body);
    let known = known(asked, &tag);
    let (status, tag, body) = match known {
        Some(known) => (StatusCode::NOT_MODIFIED, known, Body::empty()),
        None => (StatusCode::OK, tag, Body::from(body)),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::OK {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// A strong tag promises the very bytes; those that gzip made are others.
pub(super) async fn weaken_encoded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(tag) = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok())
        && !tag.starts_with("W/")
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(header::ETAG, weak);
    }
    response
}

/// Fixed keys: every replica of one build gives the same bytes the same tag.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("\"{:016x}-{:x}\"", hasher.finish(), body.len())
}

/// What the client called the body, when it has it. Weak comparison, RFC 9110 section 13.1.2.
fn known(asked: &HeaderMap, tag: &str) -> Option<String> {
    let values = asked.get_all(header::IF_NONE_MATCH).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .find_map(|named| match named {
            "*" => Some(tag.to_owned()),
            _ => (named.strip_prefix("W/").unwrap_or(named) == tag).then(|| named.to_owned()),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &str, body: &'static str) -> StatusCode {
        let mut asked = HeaderMap::new();
        let value = HeaderValue::from_str(if_none_match).unwrap();
        asked.insert(header::IF_NONE_MATCH, value);
        tagged(&asked, "text/plain", Bytes::from_static(body.as_bytes())).status()
    }

    #[test]
    fn a_client_that_has_the_body_is_told_so() {
        let tag = tag(b"body");
        for named in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()]
        {
            assert_eq!(status(&named, "body"), StatusCode::NOT_MODIFIED, "{named}");
        }
        for named in ["", "\"other\"", tag.trim_matches('"')] {
            assert_eq!(status(named, "body"), StatusCode::OK, "{named}");
        }
        assert_eq!(status(&tag, "another body"), StatusCode::OK);
    }
}
