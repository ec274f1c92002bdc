//! The imitated APIs, a file each. A handler reads the market and writes it down in one API's
//! shape; what it leaves out of the real API is said in its file.

pub(super) mod binance;
pub(super) mod coinbase;
mod coingecko;
mod defillama;
mod etherscan;
mod evm;
mod fear_greed;
pub(super) mod kraken;
mod mempool;
mod token_metrics;

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{faults::FaultSwitch, market::Coin, mishap, streams, world::World};

/// Parameters of a query; of a repeated one the last.
type Params = HashMap<String, String>;

/// Everything that the sandbox answers.
pub(super) fn router(world: Arc<World>, switch: FaultSwitch) -> Router {
    Router::new()
        .nest("/binance/api/v3", binance::routes())
        .nest("/coinbase/products", coinbase::routes())
        .nest("/kraken/0/public", kraken::routes())
        .nest("/defillama", defillama::routes())
        .nest("/coingecko/api/v3", coingecko::routes())
        .nest("/tokenmetrics/v2", token_metrics::routes())
        .nest("/mempool/api", mempool::routes())
        .nest("/etherscan", etherscan::routes())
        .merge(evm::routes())
        .nest("/fear_greed", fear_greed::routes())
        .merge(streams::routes())
        .route("/", get(index))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(switch, mishap::meet))
        .with_state(world)
}

/// What there is, for somebody who looks with a browser.
async fn index() -> Response {
    #[derive(Serialize)]
    struct Route {
        path: &'static str,
        imitates: &'static str,
    }
    let all = super::ROUTES.iter().chain(super::STREAMS);
    let routes = all.map(|(path, imitates)| Route { path, imitates });
    json(StatusCode::OK, &routes.collect::<Vec<_>>())
}

async fn not_found() -> Response {
    #[derive(Serialize)]
    struct Refusal {
        error: &'static str,
    }
    json(StatusCode::NOT_FOUND, &Refusal { error: "not found" })
}

/// A JSON answer.
fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let kind = HeaderValue::from_static("application/json; charset=utf-8");
            (status, [(CONTENT_TYPE, kind)], bytes).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The parts of a list separated by commas, without blanks.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Decimals of a price in a quote currency: more where it is worth thousands of dollars.
fn price_decimals(coin: &Coin, currency: &str) -> u8 {
    match currency {
        "BTC" | "ETH" => coin.asset.decimals.max(4) + 6,
        _ => coin.asset.decimals,
    }
}

/// True when a flag is set.
fn flag(params: &Params, name: &str) -> bool {
    params.get(name).is_some_and(|value| value == "true")
}
