//! alternative.me: the fear and greed index. A new one comes every simulated minute instead of
//! every day, so that somebody who watches sees one.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Serialize;

use super::{
    super::{market::Market, world::World},
    Params, json,
};
use crate::units::Micros;

/// Time between two values.
const PERIOD: Micros = 60_000_000;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/fng/", get(index))
}

/// Every number is text, as in the real answer.
#[derive(Serialize)]
struct Answer {
    name: &'static str,
    data: [Entry; 1],
    metadata: Metadata,
}

#[derive(Serialize)]
struct Entry {
    value: String,
    value_classification: &'static str,
    timestamp: String,
    time_until_update: String,
}

#[derive(Serialize)]
struct Metadata {
    error: Option<&'static str>,
}

async fn index(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    // Only the newest is imitated: `limit` is read and not followed.
    let refused = params.get("limit").is_some_and(|limit| limit.parse::<u32>().is_err());
    if refused {
        let refusal = serde_json::json!({"data": [], "metadata": {"error": "Invalid limit"}});
        return json(StatusCode::OK, &refusal);
    }
    let (index, now) = world.see(|market| (greed(market), market.time_of(market.step())));
    let since = now - now.rem_euclid(PERIOD);
    let seconds = |us: Micros| (us / 1_000_000).to_string();
    let entry = Entry {
        value: index.to_string(),
        value_classification: label(index),
        timestamp: seconds(since),
        time_until_update: seconds(since + PERIOD - now + 999_999),
    };
    let body =
        Answer { name: "Fear and Greed Index", data: [entry], metadata: Metadata { error: None } };
    json(StatusCode::OK, &body)
}

/// The mood of the market: the mean of what its coins are graded, in whole points.
fn greed(market: &Market) -> u8 {
    let grades = market.coins().iter().map(|coin| coin.rating().trader_grade);
    let (sum, count) = grades.fold((0.0, 0.0), |(sum, count), grade| (sum + grade, count + 1.0));
    let mean = if count > 0.0 { sum / count } else { 50.0_f64 };
    (0..=100).rev().find(|point| f64::from(*point) <= mean).unwrap_or(0)
}

fn label(index: u8) -> &'static str {
    match index {
        0..=24 => "Extreme Fear",
        25..=46 => "Fear",
        47..=54 => "Neutral",
        55..=74 => "Greed",
        _ => "Extreme Greed",
    }
}
