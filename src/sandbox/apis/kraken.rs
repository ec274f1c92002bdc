//! Kraken: the ticker, for pairs in USD, EUR, USDT, USDC, BTC and ETH.
//!
//! Errors come with status 200, and rows under Kraken's own names, however they were asked for.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde::Serialize;

use super::{
    super::{
        market::{Coin, Market, Venue},
        number::digits,
        world::World,
    },
    Params, json, list, price_decimals,
};

const QUOTES: [&str; 6] = ["USD", "EUR", "USDT", "USDC", "BTC", "ETH"];

/// Assets whose pairs go by the old names, as `XXBTZUSD`.
const OLD: [&str; 7] = ["XBT", "ETH", "LTC", "XRP", "XLM", "ETC", "XMR"];

/// Kraken prints at least so many decimals of a price.
const DECIMALS_MIN: u8 = 5;

/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/Ticker", get(ticker))
}

#[derive(Serialize)]
struct Answer<'a> {
    error: &'a [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<BTreeMap<String, Row>>,
}

/// Of two elements the first is of today, the second of the last 24 hours.
#[derive(Serialize)]
struct Row {
    a: [String; 3],
    b: [String; 3],
    c: [String; 2],
    v: [String; 2],
    p: [String; 2],
    t: [u64; 2],
    l: [String; 2],
    h: [String; 2],
    o: String,
}

/// One asset in one quote currency.
struct Pair<'a> {
    coin: &'a Coin,
    currency: &'static str,
}

async fn ticker(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    let result = world.see(|market| {
        let all: Vec<Pair<'_>> = market
            .coins()
            .iter()
            .flat_map(|coin| QUOTES.into_iter().map(move |currency| Pair { coin, currency }))
            .filter(|pair| pair.coin.asset.symbol != pair.currency)
            .collect();
        let row = |pair: &Pair<'_>| Some((pair.key(), pair.row(market)?));
        match params.get("pair") {
            None => Some(all.iter().filter_map(row).collect()),
            Some(names) => list(names)
                .map(|name| all.iter().find(|pair| pair.is(name)).and_then(row))
                .collect::<Option<BTreeMap<_, _>>>(),
        }
    });
    match result {
        Some(rows) => json(StatusCode::OK, &Answer { error: &[], result: Some(rows) }),
        None => {
            let error = &["EQuery:Unknown asset pair"];
            json(StatusCode::OK, &Answer { error, result: None })
        }
    }
}

impl Pair<'_> {
    fn names(&self) -> (&'static str, &'static str) {
        let name = |common| match common {
            "BTC" => "XBT",
            "DOGE" => "XDG",
            other => other,
        };
        (name(self.coin.asset.symbol), name(self.currency))
    }

    /// The name in an answer.
    fn key(&self) -> String {
        let (base, quote) = self.names();
        match quote {
            "USD" | "EUR" if OLD.contains(&base) => format!("X{base}Z{quote}"),
            "XBT" | "ETH" if OLD.contains(&base) => format!("X{base}X{quote}"),
            _ => format!("{base}{quote}"),
        }
    }

    /// Whether a request means it by `name`.
    fn is(&self, name: &str) -> bool {
        let (base, quote) = self.names();
        let common = (self.coin.asset.symbol, self.currency);
        [(base, quote), common].iter().any(|(base, quote)| {
            name == format!("{base}{quote}") || name == format!("{base}/{quote}")
        }) || name == self.key()
    }

    fn row(&self, market: &Market) -> Option<Row> {
        let decimals = price_decimals(self.coin, self.currency);
        let quote = self.coin.quote(Venue::Kraken, market.worth(self.currency)?, decimals);
        let price = |price: f64| digits(price, decimals.max(DECIMALS_MIN));
        // Another whole lot at each step.
        let lots = |which: u64| 1 + (quote.step * 7_919 + which * 104_729) % 97;
        let offer =
            |price: String, which| [price, lots(which).to_string(), digits(lots(which) as f64, 3)];
        let passed = market.time_of(quote.step).rem_euclid(DAY_US) as f64 / DAY_US as f64;
        let average = price(quote.average());
        Some(Row {
            a: offer(price(quote.ask), 1),
            b: offer(price(quote.bid), 2),
            c: [price(quote.price), digits(lots(0) as f64 / 64.0, 8)],
            v: [digits(quote.volume * passed, 8), digits(quote.volume, 8)],
            p: [average.clone(), average],
            t: [(40_000.0 * passed) as u64, 40_000],
            l: [price(quote.low), price(quote.low)],
            h: [price(quote.high), price(quote.high)],
            o: price(quote.open),
        })
    }
}
