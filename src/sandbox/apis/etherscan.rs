//! Etherscan: the gas oracle of API V2. A key is not asked for; every chain has the same prices.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Serialize;

use super::{super::world::World, Params, json};

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/v2/api", get(api))
}

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    message: &'static str,
    result: T,
}

/// Prices are gwei as text.
#[derive(Serialize)]
struct Oracle {
    #[serde(rename = "LastBlock")]
    last_block: String,
    #[serde(rename = "SafeGasPrice")]
    safe: String,
    #[serde(rename = "ProposeGasPrice")]
    propose: String,
    #[serde(rename = "FastGasPrice")]
    fast: String,
    #[serde(rename = "suggestBaseFee")]
    base: String,
    #[serde(rename = "gasUsedRatio")]
    used: &'static str,
}

/// Whatever is wrong comes with status 200, as it does there.
async fn api(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    let is = |name: &str, value: &str| params.get(name).is_some_and(|text| text == value);
    let refuse = |result| json(StatusCode::OK, &Envelope { status: "0", message: "NOTOK", result });
    if params.get("chainid").is_none_or(|id| id.parse::<u64>().is_err()) {
        return refuse("Missing or unsupported chainid parameter");
    }
    if !(is("module", "gastracker") && is("action", "gasoracle")) {
        return refuse("Error! Missing Or invalid Action name");
    }
    let (gas, height) = world.see(|market| (market.chain().gas(), market.chain().evm_height()));
    let gwei = |wei: u64| format!("{}.{:09}", wei / 1_000_000_000, wei % 1_000_000_000);
    let result = Oracle {
        last_block: height.to_string(),
        safe: gwei(gas.base_fee + gas.slow_tip),
        propose: gwei(gas.base_fee + gas.standard_tip),
        fast: gwei(gas.base_fee + gas.fast_tip),
        base: gwei(gas.base_fee),
        used: "0.4059,0.5120,0.3311,0.6027,0.4480",
    };
    json(StatusCode::OK, &Envelope { status: "1", message: "OK", result })
}
