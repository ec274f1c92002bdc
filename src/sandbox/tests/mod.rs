//! The sandbox as a client sees it: most through the router with time standing still, some over a
//! real socket.

mod binance;
mod chains;
mod exchanges;
mod misbehaviour;
mod routes;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;
use tower::ServiceExt;

use super::{
    config::{Fault, FaultKind},
    *,
};
use crate::{market::Decimal, units::Span};

/// 2025-09-12T07:18:29.100Z.
const EPOCH: i64 = 1_757_661_509_100_000;

const PRICE: &str = "/binance/api/v3/ticker/price?symbol=BTCUSDT";
const FEES: &str = "/mempool/api/v1/fees/recommended";

struct Client {
    router: Router,
    switch: FaultSwitch,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

fn client() -> Client {
    let config = Config::default();
    let switch = FaultSwitch::new(config.seed, Vec::new());
    let world = Arc::new(World::new(&config, &assets::select(&[]).unwrap(), EPOCH));
    Client { router: apis::router(world, switch.clone()), switch }
}

impl Client {
    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    fn misbehave(&self, path: &str, kind: FaultKind) {
        self.switch.set(vec![fault(path, kind)]);
    }
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json; charset=utf-8");
        serde_json::from_str(&self.body).unwrap()
    }

    fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.json()
    }
}

fn fault(path: &str, kind: FaultKind) -> Fault {
    Fault { path: path.to_owned(), kind, probability: 1.0, retry_after: Some(Span::millis(4_200)) }
}

fn decimals(value: &Value) -> usize {
    let text = Decimal::parse(value.as_str().unwrap()).unwrap();
    text.as_str().split_once('.').map_or(0, |(_, fraction)| fraction.len())
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
