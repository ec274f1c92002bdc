//! The routes over a real hub, asked without a socket.

mod browsers;
mod page;
mod problems;
mod readiness;
mod routes;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header, request::Builder},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value as Json;
use tower::ServiceExt;

use super::*;
use crate::{
    access::Admission,
    delivery::{self, Delivery, SubscriptionLimits},
    hub::{self, FeedReport, Hub, Receipt, Refusal, Submission},
    market::{Breaker, Data, Decimal, State, Tick, Topic},
    protocol::code::{ErrorBody, ErrorCode},
    session::Settings,
    shutdown::{self, Tasks, Trigger},
    units::{Micros, now_us},
};

/// A server without a socket.
struct Site {
    hub: Arc<Hub>,
    feeds: Arc<Feeds>,
    trigger: Trigger,
    telemetry: Telemetry,
    router: Router,
    // The shards' threads end with it.
    _delivery: Arc<Delivery>,
}

/// A response that has been read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Feeds that are as a test says.
#[derive(Default)]
struct Feeds(Mutex<Vec<FeedReport>>);

/// Takes nothing: no push feed has a key.
struct Nobody;

impl Intake for Nobody {
    fn is_open(&self) -> bool {
        false
    }
    fn knows(&self, _: &str) -> bool {
        false
    }
    fn publish(&self, _: &str, _: &[Submission]) -> Result<Vec<Receipt>, Refusal> {
        Err(Refusal::WrongKey)
    }
}

/// Refuses every handshake, as a full server does, or panics when asked to.
struct Door;

impl FeedHealth for Feeds {
    fn feeds(&self, _: Micros) -> Vec<FeedReport> {
        self.0.lock().clone()
    }
}

impl Upgrade for Door {
    fn upgrade(&self, request: Request) -> Response {
        assert!(request.uri().query() != Some("panic"), "a secret detail");
        if request.uri().query() == Some("foreign") {
            return StatusCode::UPGRADE_REQUIRED.into_response();
        }
        let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
        let error = ErrorBody::new(ErrorCode::TooManyConnections, "no room");
        response.extensions_mut().insert(error);
        response
    }
}

fn site() -> Site {
    site_with(&[])
}

fn site_with(public_origins: &[&str]) -> Site {
    let telemetry = Telemetry::new().unwrap();
    let hub = Arc::new(Hub::new(hub::Config::default(), 1, Arc::from("e1"), &telemetry));
    let (trigger, shutdown) = shutdown::channel();
    let limits = SubscriptionLimits { topics: 8, matched_topics: 8 };
    let config = delivery::Config::default();
    let sessions = Tasks::default();
    let delivery =
        Arc::new(Delivery::start(&config, limits, &hub, &telemetry, &sessions, &shutdown).unwrap());
    let limits = Limits { topics_per_request: 4, ..Limits::default() };
    let feeds = Arc::new(Feeds::default());
    let public: Vec<String> = public_origins.iter().map(ToString::to_string).collect();
    let scrapes = telemetry.gauge("test_scrapes", &[]);
    let settings = Settings {
        compression: false,
        limits: limits.clone(),
        ping_interval: Duration::from_secs(20),
        write_deadline: Duration::from_secs(5),
        send_buffer: 1 << 16,
    };
    let admission = Admission::new(&limits);
    let sessions =
        Sessions::new(settings, delivery.clone(), admission, &telemetry, shutdown.clone());
    let router = router(Context {
        reader: delivery.reader().clone(),
        health: feeds.clone(),
        intake: Arc::new(Nobody),
        telemetry: telemetry.clone(),
        shutdown,
        origins: Origins::new("127.0.0.1:8080".parse().unwrap(), &public),
        limits,
        sessions,
        websocket: Arc::new(Door),
        files: Vec::new(),
        refresh: Some(Arc::new(move || scrapes.increment(1.0))),
    });
    Site { hub, feeds, trigger, telemetry, router, _delivery: delivery }
}

impl Site {
    fn publish(&self, topic: &str, price: &str) {
        let tick = Tick {
            topic: Topic::parse(topic).unwrap(),
            data: Data::new().with("price", Decimal::parse(price).unwrap()),
            ts: None,
        };
        self.hub.publish(&tick, &Arc::from("test"), now_us(), 60_000_000);
    }

    async fn send(&self, request: Builder) -> Answer {
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(get(uri)).await
    }

    /// How many errors of `code` were counted.
    fn errors(&self, code: &str) -> u64 {
        let line = format!("tickwire_errors_total{{code=\"{code}\"}} ");
        let text = self.telemetry.render();
        let count = text.lines().find_map(|row| row.strip_prefix(line.as_str()));
        count.unwrap().parse().unwrap()
    }
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The values of `Vary`, which several layers add to.
    fn varies_by(&self, name: &str) -> bool {
        let values = self.headers.get_all(header::VARY).iter();
        values
            .flat_map(|value| value.to_str().unwrap().split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(name))
    }
}

fn get(uri: &str) -> Builder {
    Request::get(uri).header(header::HOST, "localhost:8080")
}

/// A required feed.
fn feed(name: &str, state: State, last_success: Option<Micros>) -> FeedReport {
    FeedReport {
        paused: false,
        name: name.into(),
        provider: "json".into(),
        transport: None,
        state,
        required: true,
        last_success,
        age_ms: None,
        next_due: None,
        interval_ms: 1000,
        breaker: Breaker::Closed,
        budget: None,
        last_error: None,
    }
}
