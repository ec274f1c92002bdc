//! Coinbase Exchange: ticker and statistics of a product, for pairs in USD, EUR, USDT and BTC.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Serialize;

use super::{
    super::{
        date::rfc3339,
        market::{Coin, Market, Quote, Venue},
        number::digits,
        world::World,
    },
    json, price_decimals,
};

const QUOTES: [&str; 4] = ["USD", "EUR", "USDT", "BTC"];

/// Trades in a step, from which trade ids follow.
const TRADES_PER_STEP: u64 = 3;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/{id}/ticker", get(ticker)).route("/{id}/stats", get(stats))
}

#[derive(Serialize)]
struct Ticker {
    ask: String,
    bid: String,
    volume: String,
    trade_id: u64,
    price: String,
    size: String,
    time: String,
    rfq_volume: String,
    conversions_volume: String,
}

#[derive(Serialize)]
struct Stats {
    open: String,
    high: String,
    low: String,
    last: String,
    volume: String,
    volume_30day: String,
}

async fn ticker(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    answer(&world, &id, |market, quote, price| Ticker {
        ask: price(quote.ask),
        bid: price(quote.bid),
        volume: digits(quote.volume, 8),
        trade_id: quote.step * TRADES_PER_STEP + 1,
        price: price(quote.price),
        size: digits((10 + quote.step * 7_919 % 997) as f64 / quote.price, 8),
        time: rfc3339(market.time_of(quote.step)),
        rfq_volume: digits(quote.volume / 1_000.0, 6),
        conversions_volume: "0".to_owned(),
    })
}

async fn stats(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    answer(&world, &id, |_, quote, price| Stats {
        open: price(quote.open),
        high: price(quote.high),
        low: price(quote.low),
        last: price(quote.price),
        volume: digits(quote.volume, 8),
        volume_30day: digits(quote.volume * 30.0, 8),
    })
}

/// What `row` writes of the product, or that there is none, in Coinbase's words.
fn answer<T: Serialize>(
    world: &World,
    id: &str,
    row: impl Fn(&Market, Quote, &dyn Fn(f64) -> String) -> T,
) -> Response {
    #[derive(Serialize)]
    struct Refusal {
        message: &'static str,
    }
    let found = world.see(|market| {
        let (coin, currency) = product(market, id)?;
        let decimals = price_decimals(coin, currency);
        let quote = coin.quote(Venue::Coinbase, market.worth(currency)?, decimals);
        Some(row(market, quote, &|price| digits(price, decimals)))
    });
    match found {
        Some(row) => json(StatusCode::OK, &row),
        None => json(StatusCode::NOT_FOUND, &Refusal { message: "NotFound" }),
    }
}

fn product<'a>(market: &'a Market, id: &str) -> Option<(&'a Coin, &'static str)> {
    let (base, quote) = id.split_once('-')?;
    let currency = QUOTES.into_iter().find(|currency| *currency == quote && *currency != base)?;
    Some((market.coin(base)?, currency))
}
