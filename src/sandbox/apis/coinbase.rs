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

/// The last trade and the best bid and ask.
#[derive(Serialize)]
pub(in crate::sandbox) struct Ticker {
    pub(in crate::sandbox) ask: String,
    pub(in crate::sandbox) bid: String,
    pub(in crate::sandbox) volume: String,
    pub(in crate::sandbox) trade_id: u64,
    pub(in crate::sandbox) price: String,
    pub(in crate::sandbox) size: String,
    pub(in crate::sandbox) time: String,
    pub(in crate::sandbox) rfq_volume: String,
    pub(in crate::sandbox) conversions_volume: String,
}

/// The last 24 hours.
#[derive(Serialize)]
pub(in crate::sandbox) struct Stats {
    pub(in crate::sandbox) open: String,
    pub(in crate::sandbox) high: String,
    pub(in crate::sandbox) low: String,
    pub(in crate::sandbox) last: String,
    pub(in crate::sandbox) volume: String,
    pub(in crate::sandbox) volume_30day: String,
}

/// One asset in one quote currency.
pub(in crate::sandbox) struct Product<'a> {
    coin: &'a Coin,
    currency: &'static str,
}

async fn ticker(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    answer(&world, &id, |product, market| product.ticker(market))
}

async fn stats(State(world): State<Arc<World>>, Path(id): Path<String>) -> Response {
    answer(&world, &id, |product, market| product.stats(market))
}

/// What `row` writes of the product, or that there is none, in Coinbase's words.
fn answer<T: Serialize>(
    world: &World,
    id: &str,
    row: impl Fn(&Product<'_>, &Market) -> Option<T>,
) -> Response {
    #[derive(Serialize)]
    struct Refusal {
        message: &'static str,
    }
    match world.see(|market| row(&Product::find(market, id)?, market)) {
        Some(row) => json(StatusCode::OK, &row),
        None => json(StatusCode::NOT_FOUND, &Refusal { message: "NotFound" }),
    }
}

impl<'a> Product<'a> {
    /// The product with a name as `BTC-USD`.
    pub(in crate::sandbox) fn find(market: &'a Market, id: &str) -> Option<Self> {
        let (base, quote) = id.split_once('-')?;
        let known = |currency: &&str| *currency == quote && *currency != base;
        let currency = QUOTES.into_iter().find(known)?;
        Some(Self { coin: market.coin(base)?, currency })
    }

    /// Its quote; `None` where its currency is not simulated.
    pub(in crate::sandbox) fn quote(&self, market: &Market) -> Option<Quote> {
        let unit = market.worth(self.currency)?;
        Some(self.coin.quote(Venue::Coinbase, unit, self.decimals()))
    }

    /// A size worth some ten to some thousand dollars, another one at each step.
    pub(in crate::sandbox) fn size(quote: &Quote, which: u64) -> String {
        let spread = (quote.step * 7_919 + which * 104_729) % 997;
        digits((10 + spread) as f64 / quote.price, 8)
    }

    pub(in crate::sandbox) fn ticker(&self, market: &Market) -> Option<Ticker> {
        let quote = self.quote(market)?;
        Some(Ticker {
            ask: self.price(quote.ask),
            bid: self.price(quote.bid),
            volume: digits(quote.volume, 8),
            trade_id: quote.step * TRADES_PER_STEP + 1,
            price: self.price(quote.price),
            size: Self::size(&quote, 0),
            time: rfc3339(market.time_of(quote.step)),
            rfq_volume: digits(quote.volume / 1_000.0, 6),
            conversions_volume: "0".to_owned(),
        })
    }

    pub(in crate::sandbox) fn stats(&self, market: &Market) -> Option<Stats> {
        let quote = self.quote(market)?;
        Some(Stats {
            open: self.price(quote.open),
            high: self.price(quote.high),
            low: self.price(quote.low),
            last: self.price(quote.price),
            volume: digits(quote.volume, 8),
            volume_30day: digits(quote.volume * 30.0, 8),
        })
    }

    fn decimals(&self) -> u8 {
        price_decimals(self.coin, self.currency)
    }

    fn price(&self, price: f64) -> String {
        digits(price, self.decimals())
    }
}
