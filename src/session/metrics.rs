//! What sessions count.

use metrics::{Counter, Gauge};

use crate::{
    protocol::{
        code::{Close, ErrorCode},
        command::Method,
    },
    telemetry::Telemetry,
};

pub(super) struct Metrics {
    connections: Gauge,
    requests: [Counter; Method::ALL.len()],
    errors: [Counter; ErrorCode::ALL.len()],
    closes: Vec<(Close, Counter)>,
}

/// Counts a session while it lasts.
pub(super) struct Connected(Gauge);

impl Metrics {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        for (name, text) in [
            ("tickwire_connections", "Sessions, by transport"),
            ("tickwire_requests_total", "Requests of clients, by method"),
            ("tickwire_errors_total", "Errors told to clients, by code"),
            ("tickwire_closes_total", "WebSockets closed, by status code"),
        ] {
            telemetry.describe(name, text);
        }
        Self {
            connections: telemetry.gauge("tickwire_connections", &[("transport", "ws")]),
            requests: Method::ALL.map(|method| {
                telemetry.counter("tickwire_requests_total", &[("method", method.as_str())])
            }),
            errors: ErrorCode::ALL
                .map(|code| telemetry.counter("tickwire_errors_total", &[("code", code.as_str())])),
            closes: Close::ALL
                .map(|close| {
                    let code = close.code().to_string();
                    (close, telemetry.counter("tickwire_closes_total", &[("code", &code)]))
                })
                .into(),
        }
    }

    pub(super) fn connected(&self) -> Connected {
        self.connections.increment(1.0);
        Connected(self.connections.clone())
    }

    pub(super) fn request(&self, method: Method) {
        if let Some(counter) = self.requests.get(method as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn error(&self, code: ErrorCode) {
        if let Some(counter) = self.errors.get(code as usize) {
            counter.increment(1);
        }
    }

    pub(super) fn closed(&self, close: Close) {
        if let Some((_, counter)) = self.closes.iter().find(|(known, _)| *known == close) {
            counter.increment(1);
        }
        if let Some(code) = close.error() {
            self.error(code);
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
