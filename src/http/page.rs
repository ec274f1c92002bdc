//! `/`: a live view of everything, in one page without a build step; and the other files that are
//! the same for everybody.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use bytes::Bytes;

use super::{App, Problem, answer, problem};

/// A file that is the same for everybody.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Where it is served.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Makes it, when it is first asked for.
    pub make: fn() -> Bytes,
}

/// Files, each made once.
pub(super) struct Files(Vec<(File, OnceLock<Bytes>)>);

/// The live view. Files are asked anew each time and answered by 304, so that a new version of the
/// server never runs with an old page.
const PAGE: [File; 4] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        make: || Bytes::from_static(include_bytes!("page/index.html")),
    },
    File {
        path: "/app.js",
        content_type: "text/javascript; charset=utf-8",
        make: || Bytes::from_static(include_bytes!("page/app.js")),
    },
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        make: || Bytes::from_static(include_bytes!("page/style.css")),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        make: || Bytes::from_static(include_bytes!("page/icon.svg")),
    },
];

/// The pages load nothing from elsewhere, are not framed, and cannot turn data into markup.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; object-src 'none'; \
                      require-trusted-types-for 'script'";

impl Files {
    /// Those of the live view, and `more`.
    pub(super) fn new(more: Vec<File>) -> Self {
        Self(PAGE.into_iter().chain(more).map(|file| (file, OnceLock::new())).collect())
    }

    fn find(&self, path: &str) -> Option<(&'static str, Bytes)> {
        let (file, made) = self.0.iter().find(|(file, _)| file.path == path)?;
        Some((file.content_type, made.get_or_init(file.make).clone()))
    }
}

/// `GET` of any of the files.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    uri: Uri,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let Some((content_type, body)) = app.files.find(uri.path()) else {
        return Err(problem::no_such_path(uri).await);
    };
    let mut response = answer::tagged(&asked, content_type, body);
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
