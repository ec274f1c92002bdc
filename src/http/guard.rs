//! Lets a request in, or not, before anything else looks at it; and tells browsers which pages may
//! read the answer.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{App, Conn, Problem, origin::Refusal};

/// How long a browser may remember that it may ask: short enough that a change of
/// `server.public_origins` soon takes effect.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// Checks `Host` and `Origin`, and answers preflight requests.
pub(super) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if let Err(refusal) = judge(&app, &request) {
        let mut response = Problem::from(refusal).into_response();
        vary(response.headers_mut());
        return response;
    }
    let Some(origin) = origin else {
        let mut response = next.run(request).await;
        vary(response.headers_mut());
        return response;
    };
    let mut response = if is_preflight(&request) { preflight() } else { next.run(request).await };
    let headers = response.headers_mut();
    vary(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("etag, retry-after, x-request-id"),
    );
    response
}

fn judge(app: &App, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let host = once(headers, &header::HOST, "Host")?;
    let origin = once(headers, &header::ORIGIN, "Origin")?;
    if host.is_none() && request.version() >= Version::HTTP_11 {
        return Err(Refusal::NoHost);
    }
    // A request with a whole URL in its first line means that host, whatever `Host` says.
    let host = request.uri().authority().map_or(host, |authority| Some(authority.as_str()));
    let local = Conn::of(request).local.ip();
    app.context.origins.judge(host, origin, local)
}

/// The value of a header on which something depends. Of two, a proxy may have looked at the other.
fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let ambiguous = || Refusal::Ambiguous(shown);
    if values.next().is_some() {
        return Err(ambiguous());
    }
    value.to_str().map(Some).map_err(|_| ambiguous())
}

fn is_preflight(request: &Request) -> bool {
    let asks = header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method() == Method::OPTIONS && request.headers().contains_key(asks)
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD")),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, if-none-match, last-event-id, x-request-id"),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// A cache must not give one page's answer to another, also not that to a request without origin.
fn vary(headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
