//! mempool.space: recommended fees and the height of the chain.

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
    Router::new().route("/v1/fees/recommended", get(fees)).route("/blocks/tip/height", get(height))
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
