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
use serde_json::value::RawValue;

use super::{
    super::{
        market::{Coin, Market, Quote, Venue},
        number::{digits, number},
        world::World,
    },
    Params, json, list, price_decimals,
};

const QUOTES: [&str; 6] = ["USD", "EUR", "USDT", "USDC", "BTC", "ETH"];

/// Assets whose pairs go by the old names, as `XXBTZUSD`.
const OLD: [&str; 7] = ["XBT", "ETH", "LTC", "XRP", "XLM", "ETC", "XMR"];

/// Kraken prints at least so many decimals of a price.
const DECIMALS_MIN: u8 = 5;

/// Trades of each pair in a day.
const TRADES_A_DAY: f64 = 40_000.0;

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
    t: [Box<RawValue>; 2],
    l: [String; 2],
    h: [String; 2],
    o: String,
}

/// One asset in one quote currency.
pub(in crate::sandbox) struct Pair<'a> {
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

impl<'a> Pair<'a> {
    /// The pair under its common name, as `BTC/USD`: what Kraken's newer APIs call it.
    pub(in crate::sandbox) fn find(market: &'a Market, name: &str) -> Option<Self> {
        let (base, quote) = name.split_once('/')?;
        let known = |currency: &&str| *currency == quote && *currency != base;
        let currency = QUOTES.into_iter().find(known)?;
        Some(Self { coin: market.coin(base)?, currency })
    }

    /// Its quote; `None` where its currency is not simulated.
    pub(in crate::sandbox) fn quote(&self, market: &Market) -> Option<Quote> {
        let unit = market.worth(self.currency)?;
        Some(self.coin.quote(Venue::Kraken, unit, self.decimals()))
    }

    /// Decimals of its price.
    pub(in crate::sandbox) fn decimals(&self) -> u8 {
        price_decimals(self.coin, self.currency)
    }

    /// Whole lots, 1 asked and 2 bid: others at each step.
    pub(in crate::sandbox) fn lots(quote: &Quote, which: u64) -> u64 {
        1 + (quote.step * 7_919 + which * 104_729) % 97
    }

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
        let (quote, decimals) = (self.quote(market)?, self.decimals());
        let price = |price: f64| digits(price, decimals.max(DECIMALS_MIN));
        let lots = |which| Self::lots(&quote, which);
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
            t: [number(TRADES_A_DAY * passed, 0), number(TRADES_A_DAY, 0)],
            l: [price(quote.low), price(quote.low)],
            h: [price(quote.high), price(quote.high)],
            o: price(quote.open),
        })
    }
}
