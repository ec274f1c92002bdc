//! mempool.space: recommended fees, the height of the chain, and what waits for a block.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{number::number, world::World},
    json,
};

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/v1/fees/recommended", get(fees))
        .route("/blocks/tip/height", get(height))
        .route("/mempool", get(mempool))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fees {
    fastest_fee: Box<RawValue>,
    half_hour_fee: Box<RawValue>,
    hour_fee: Box<RawValue>,
    economy_fee: Box<RawValue>,
    minimum_fee: Box<RawValue>,
}

async fn fees(State(world): State<Arc<World>>) -> Response {
    let fees = world.see(|market| market.chain().fees());
    let body = Fees {
        fastest_fee: number(fees.fastest, 0),
        half_hour_fee: number(fees.half_hour, 0),
        hour_fee: number(fees.hour, 0),
        economy_fee: number(fees.economy, 0),
        minimum_fee: number(fees.minimum, 0),
    };
    json(StatusCode::OK, &body)
}

/// A bare number as text, as the real one is.
async fn height(State(world): State<Arc<World>>) -> Response {
    world.see(|market| market.chain().height()).to_string().into_response()
}

#[derive(Serialize)]
struct Backlog {
    count: u64,
    vsize: u64,
    total_fee: u64,
    /// Fees with the size of what pays so much or more up to the one before.
    fee_histogram: Vec<(Box<RawValue>, u64)>,
}

/// The transactions that wait.
async fn mempool(State(world): State<Arc<World>>) -> Response {
    let (fees, backlog) = world.see(|market| (market.chain().fees(), market.chain().backlog()));
    let steps = [fees.fastest, fees.half_hour, fees.hour, fees.economy, fees.minimum];
    let part = backlog.vsize / 5;
    let body = Backlog {
        count: backlog.count,
        vsize: backlog.vsize,
        total_fee: backlog.total_fee,
        fee_histogram: steps.iter().map(|fee| (number(*fee, 1), part)).collect(),
    };
    json(StatusCode::OK, &body)
}
