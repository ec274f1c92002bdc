//! What sessions count.

use metrics::{Counter, Gauge};

use crate::{
    delivery::TransportKind,
    protocol::{
        code::{Close, ErrorCode},
        command::Method,
    },
    telemetry::Telemetry,
};

pub(super) struct Metrics {
    connections: [Gauge; TransportKind::ALL.len()],
    requests: [Counter; Method::ALL.len()],
    errors: [Counter; ErrorCode::ALL.len()],
    closes: Vec<(Close, Counter)>,
}

/// Counts a session while it lasts.
pub(super) struct Connected(Option<Gauge>);

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
            connections: TransportKind::ALL.map(|transport| {
                telemetry.gauge("tickwire_connections", &[("transport", transport.as_str())])
            }),
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

    pub(super) fn connected(&self, transport: TransportKind) -> Connected {
        let gauge = self.connections.get(transport as usize).cloned();
        if let Some(gauge) = &gauge {
            gauge.increment(1.0);
        }
        Connected(gauge)
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
        if let Some(gauge) = &self.0 {
            gauge.decrement(1.0);
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
