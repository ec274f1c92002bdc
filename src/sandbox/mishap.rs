//! The layer over all routes that lets requests meet their faults.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    config::FaultKind,
    faults::{FaultSwitch, Mishap},
    streams::is_handshake,
};

/// How late a slow answer is.
const SLOW: Duration = Duration::from_secs(3);

/// A hanging request that neither its client nor a shutdown has ended is let go after this long.
const HANG_MAX: Duration = Duration::from_secs(60);

/// No body here is larger: all of Binance's tickers take 40 kB.
const BODY_BYTES_MAX: usize = 1 << 20;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// Counts the request and answers it, well or badly.
pub(super) async fn meet(
    State(switch): State<FaultSwitch>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    switch.count(&path);
    let Some(mishap) = switch.strike(&path) else {
        return next.run(request).await;
    };
    // A stream hangs or breaks off once it stands, which its connection sees to.
    if matches!(mishap.kind, FaultKind::Truncated | FaultKind::Hang)
        && is_handshake(&path, request.headers())
    {
        request.extensions_mut().insert(mishap.kind);
        return next.run(request).await;
    }
    match mishap.kind {
        FaultKind::TooManyRequests => too_many(&path, mishap),
        FaultKind::ServerError => server_error(&path),
        FaultKind::Html => page(StatusCode::OK, "Just a moment..."),
        FaultKind::Slow => {
            let answer = next.run(request).await;
            tokio::time::sleep(SLOW).await;
            answer
        }
        FaultKind::Truncated => truncated(next.run(request).await).await,
        FaultKind::Hang => {
            tokio::time::sleep(HANG_MAX).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Each API says "too often" in its own words, mempool.space in HTML.
fn too_many(path: &str, mishap: Mishap) -> Response {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = match path.split('/').nth(1) {
        Some("mempool") => page(status, "429 Too Many Requests"),
        Some("binance") => json(status, r#"{"code":-1003,"msg":"Too many requests."}"#),
        Some("coingecko") => json(
            status,
            r#"{"status":{"error_code":429,"error_message":"You've exceeded the Rate Limit."}}"#,
        ),
        _ => json(status, r#"{"success":false,"message":"Too many requests"}"#),
    };
    if let Some(patience) = mishap.retry_after {
        // The header counts whole seconds: rounded up, nobody comes back too early.
        let seconds = patience.as_secs() + u64::from(patience.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn server_error(path: &str) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    if path.starts_with("/mempool/") {
        return page(status, "500 Internal Server Error");
    }
    json(status, r#"{"success":false,"message":"Internal Server Error"}"#)
}

/// The first half of an answer, as a whole answer: the HTTP is right, what is in it is not.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let half = whole.slice(..whole.len() / 2);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(half))
}

fn page(status: StatusCode, title: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head>\
         <body><h1>{title}</h1></body></html>\n"
    );
    (status, content_type(HTML), html).into_response()
}

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, content_type(JSON), body).into_response()
}

fn content_type(name: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(name))])
}
