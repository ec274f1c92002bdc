//! `/`: a live view of everything, in one page without a build step.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
    routing::get,
};
use bytes::Bytes;

use super::{App, answer};

/// One file of the page.
#[derive(Clone, Copy)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

/// All of them. They are asked anew each time and answered by 304, so that a new version of the
/// server never runs with an old page.
const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        bytes: include_bytes!("page/index.html"),
    },
    Asset {
        path: "/app.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("page/app.js"),
    },
    Asset {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("page/style.css"),
    },
    Asset {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("page/icon.svg"),
    },
];

/// The page loads nothing from elsewhere, is not framed, and cannot turn data into markup.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'; \
                      require-trusted-types-for 'script'";

/// The page and its assets.
pub(super) fn routes() -> Router<Arc<App>> {
    ASSETS.into_iter().fold(Router::new(), |router, asset| {
        let Asset { path, .. } = asset;
        let serve = move |headers: HeaderMap| {
            let response = serve(&asset, &headers);
            async move { response }
        };
        router.route(path, get(serve))
    })
}

fn serve(asset: &Asset, asked: &HeaderMap) -> Response {
    let body = Bytes::from_static(asset.bytes);
    let mut response = answer::tagged(asked, asset.content_type, body);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
