//! Errors as RFC 9457 problem documents: one shape, one table of statuses, one place that counts.

use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header, response::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use metrics::Counter;
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, RequestId};
use crate::{
    protocol::{
        code::{ErrorBody, ErrorCode},
        event,
    },
    telemetry::Telemetry,
};

/// An error on its way to the client. Its document is written by the layer around all routes,
/// which knows the request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    error: ErrorBody,
    retry_after: Option<Duration>,
}

/// `application/problem+json`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document<'a> {
    /// The kind is told by `code`: with this type, the title is that of the status.
    r#type: &'static str,
    /// That of the status.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// What was wrong, for a person.
    detail: &'a str,
    /// Which kind.
    code: ErrorCode,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// With `unrecoverable`: the oldest sequence number that is still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<u64>,
    /// The id of the request, by which the server's log knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
}

/// `tickwire_errors_total`, a counter for each code.
pub(super) struct Errors(HashMap<ErrorCode, Counter>);

impl Problem {
    /// An error whose status says more than its code, such as an unknown path.
    pub fn new(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { status, error: ErrorBody::new(code, detail), retry_after: None }
    }

    /// Says with `Retry-After` when the same request may succeed: in whole seconds, at least one.
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The status of its response.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<ErrorBody> for Problem {
    fn from(error: ErrorBody) -> Self {
        Self { status: status(error.code), error, retry_after: None }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self.error);
        if let Some(wait) = self.retry_after {
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, secs.max(1).into());
        }
        response
    }
}

impl Errors {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let counter = |code: ErrorCode| {
            let labels = [("code", code.as_str())];
            (code, telemetry.counter("tickwire_errors_total", &labels))
        };
        Self(ErrorCode::ALL.into_iter().map(counter).collect())
    }

    fn count(&self, code: ErrorCode) {
        if let Some(counter) = self.0.get(&code) {
            counter.increment(1);
        }
    }
}

/// The status of each code.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadJson
        | ErrorCode::BadRequest
        | ErrorCode::BadTopic
        | ErrorCode::BadFilter
        | ErrorCode::FilterTooCostly
        | ErrorCode::TooManyTopics => StatusCode::BAD_REQUEST,
        ErrorCode::UnknownMethod => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::UnknownTopic => StatusCode::NOT_FOUND,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::Unauthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::TooManyConnections | ErrorCode::SlowConsumer | ErrorCode::Draining => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Unrecoverable => StatusCode::GONE,
        ErrorCode::StaleConnection => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers for a path that there is not.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(128).collect();
    let detail = format!("there is nothing at {path}");
    Problem::new(StatusCode::NOT_FOUND, ErrorCode::BadRequest, detail)
}

/// Answers for a method that a path does not have.
pub(super) async fn no_such_method(method: Method) -> Problem {
    let method: String = method.as_str().chars().take(32).collect();
    let detail = format!("{method} is not possible here; see the Allow header");
    ErrorBody::new(ErrorCode::UnknownMethod, detail).into()
}

/// Answers for a handler that panicked. What it said goes to the log alone.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("not a text");
    tracing::error!(panic = message, "a request could not be answered");
    let detail = "a fault of the server; its log knows this request by the id in `instance`";
    Problem::from(ErrorBody::new(ErrorCode::Internal, detail)).into_response()
}

/// Writes the document of an error that a route or a layer answered with, and counts it.
pub(super) async fn render(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let (mut parts, body) = next.run(request).await.into_parts();
    let Some(error) = error_of(&mut parts) else {
        return Response::from_parts(parts, body);
    };
    app.errors.count(error.code);
    let mut json = Vec::with_capacity(256);
    let document = Document {
        r#type: "about:blank",
        title: parts.status.canonical_reason().unwrap_or("Error"),
        status: parts.status.as_u16(),
        detail: &error.message,
        code: error.code,
        retryable: error.retryable,
        oldest: error.oldest,
        instance: id.as_ref().map(RequestId::as_str),
    };
    event::json(&mut json, &document);
    for (name, value) in
        [(header::CONTENT_TYPE, "application/problem+json"), (header::CACHE_CONTROL, "no-store")]
    {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    // That of the body which this one replaces.
    parts.headers.remove(header::CONTENT_LENGTH);
    if parts.status == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer");
        parts.headers.entry(header::WWW_AUTHENTICATE).or_insert(bearer);
    }
    Response::from_parts(parts, Body::from(json))
}

/// The error that a response carries. One of a layer that is not ours, which has a status and
/// nothing else, becomes one of ours.
fn error_of(parts: &mut Parts) -> Option<ErrorBody> {
    if let Some(error) = parts.extensions.remove::<ErrorBody>() {
        return Some(error);
    }
    let failed = parts.status.is_client_error() || parts.status.is_server_error();
    if !failed || parts.headers.contains_key(header::CONTENT_TYPE) {
        return None;
    }
    let code =
        if parts.status.is_server_error() { ErrorCode::Internal } else { ErrorCode::BadRequest };
    Some(ErrorBody::new(code, parts.status.canonical_reason().unwrap_or("refused")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_status_of_an_error() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&status(code).as_u16()), "{code:?}");
        }
    }
}
