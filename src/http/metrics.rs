//! `/metrics`, for Prometheus.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::App;
use crate::telemetry::Telemetry;

/// The text format in which the exporter writes.
pub(super) const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

/// Registers what this module shows itself.
pub(super) fn describe(telemetry: &Telemetry) {
    telemetry.describe("tickwire_build_info", "Always 1; its label is the version");
    telemetry.describe("tickwire_errors_total", "Errors told to clients, by code");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    telemetry.gauge("tickwire_build_info", &version).set(1.0);
}

/// `GET /metrics`.
pub(super) async fn scrape(State(app): State<Arc<App>>) -> Response {
    if let Some(refresh) = &app.context.refresh {
        refresh();
    }
    let headers = [(header::CONTENT_TYPE, TEXT_FORMAT), (header::CACHE_CONTROL, "no-store")];
    (headers, app.context.telemetry.render()).into_response()
}
