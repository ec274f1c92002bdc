//! Binance Spot: the three tickers, for pairs in USDT and USDC.
//!
//! Weights are charged and told in `X-MBX-USED-WEIGHT-1M` but never enforced: a test may poll as
//! fast as it likes, and a limit that is hit is a fault to be configured.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
    routing::get,
};
use serde::Serialize;

use super::{
    super::{
        market::{Coin, Market, Quote, Venue},
        number::digits,
        path::DAY_STEPS,
        world::World,
    },
    Params, json,
};

const USED_WEIGHT: HeaderName = HeaderName::from_static("x-mbx-used-weight-1m");

/// Trades in a step, from which trade ids follow.
const TRADES_PER_STEP: u64 = 4;

const QUOTES: [&str; 2] = ["USDT", "USDC"];

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/ticker/24hr", get(ticker_24hr))
        .route("/ticker/price", get(ticker_price))
        .route("/ticker/bookTicker", get(book_ticker))
}

/// What a request asks for.
enum Wanted {
    One(String),
    Some(Vec<String>),
    All,
}

/// Why it is refused, in Binance's numbers and words.
#[derive(Serialize)]
struct Refusal {
    code: i32,
    msg: &'static str,
}

const INVALID_SYMBOL: Refusal = Refusal { code: -1121, msg: "Invalid symbol." };
const ILLEGAL_SYMBOL: Refusal = Refusal {
    code: -1100,
    msg: "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
};
const ILLEGAL_SYMBOLS: Refusal = Refusal {
    code: -1100,
    msg: "Illegal characters found in parameter 'symbols'; legal range is \
          '^\\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\\]$'.",
};
const BOTH: Refusal = Refusal { code: -1128, msg: "Combination of optional parameters invalid." };

/// One asset in one quote currency.
pub(in crate::sandbox) struct Pair<'a> {
    symbol: String,
    coin: &'a Coin,
    quote: Quote,
}

async fn ticker_24hr(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    let weight = |wanted: &Wanted| match wanted {
        Wanted::One(_) => 2,
        Wanted::Some(symbols) if symbols.len() <= 20 => 2,
        Wanted::Some(symbols) if symbols.len() <= 100 => 40,
        Wanted::Some(_) | Wanted::All => 80,
    };
    if params.get("type").is_some_and(|kind| kind == "MINI") {
        return answer(&world, &params, weight, Mini::of);
    }
    answer(&world, &params, weight, Full::of)
}

async fn ticker_price(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    #[derive(Serialize)]
    struct Price {
        symbol: String,
        price: String,
    }
    answer(&world, &params, light, |_, pair| {
        let price = pair.price(pair.quote.price);
        Price { symbol: pair.symbol, price }
    })
}

async fn book_ticker(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    answer(&world, &params, light, |_, pair| Book::of(pair))
}

fn light(wanted: &Wanted) -> u32 {
    match wanted {
        Wanted::One(_) => 2,
        Wanted::Some(_) | Wanted::All => 4,
    }
}

/// Best bid and ask.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sandbox) struct Book {
    pub(in crate::sandbox) symbol: String,
    pub(in crate::sandbox) bid_price: String,
    pub(in crate::sandbox) bid_qty: String,
    pub(in crate::sandbox) ask_price: String,
    pub(in crate::sandbox) ask_qty: String,
}

/// Prices and volumes of the last 24 hours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sandbox) struct Mini {
    pub(in crate::sandbox) symbol: String,
    pub(in crate::sandbox) open_price: String,
    pub(in crate::sandbox) high_price: String,
    pub(in crate::sandbox) low_price: String,
    pub(in crate::sandbox) last_price: String,
    pub(in crate::sandbox) volume: String,
    pub(in crate::sandbox) quote_volume: String,
    pub(in crate::sandbox) open_time: i64,
    pub(in crate::sandbox) close_time: i64,
    pub(in crate::sandbox) first_id: u64,
    pub(in crate::sandbox) last_id: u64,
    pub(in crate::sandbox) count: u64,
}

/// The same, and the best bid and ask.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::sandbox) struct Full {
    #[serde(flatten)]
    pub(in crate::sandbox) mini: Mini,
    pub(in crate::sandbox) price_change: String,
    pub(in crate::sandbox) price_change_percent: String,
    pub(in crate::sandbox) weighted_avg_price: String,
    pub(in crate::sandbox) prev_close_price: String,
    pub(in crate::sandbox) last_qty: String,
    pub(in crate::sandbox) bid_price: String,
    pub(in crate::sandbox) bid_qty: String,
    pub(in crate::sandbox) ask_price: String,
    pub(in crate::sandbox) ask_qty: String,
}

impl Book {
    pub(in crate::sandbox) fn of(pair: Pair<'_>) -> Self {
        Self {
            bid_price: pair.price(pair.quote.bid),
            bid_qty: pair.lot(1),
            ask_price: pair.price(pair.quote.ask),
            ask_qty: pair.lot(2),
            symbol: pair.symbol,
        }
    }
}

impl Mini {
    pub(in crate::sandbox) fn of(market: &Market, pair: Pair<'_>) -> Self {
        let quote = &pair.quote;
        let close_time = market.time_of(quote.step) / 1_000;
        let last_id = (quote.step + DAY_STEPS) * TRADES_PER_STEP;
        let first_id = last_id - DAY_STEPS * TRADES_PER_STEP + 1;
        Self {
            open_price: pair.price(quote.open),
            high_price: pair.price(quote.high),
            low_price: pair.price(quote.low),
            last_price: pair.price(quote.price),
            volume: digits(quote.volume, 5),
            quote_volume: digits(quote.volume * quote.average(), 8),
            open_time: close_time - 86_400_000,
            close_time,
            first_id,
            last_id,
            count: last_id - first_id + 1,
            symbol: pair.symbol,
        }
    }
}

impl Full {
    pub(in crate::sandbox) fn of(market: &Market, pair: Pair<'_>) -> Self {
        let quote = &pair.quote;
        Self {
            price_change: pair.price(quote.change()),
            price_change_percent: digits(quote.change_pct(), 3),
            weighted_avg_price: digits(quote.average(), 8),
            prev_close_price: pair.price(quote.open),
            last_qty: pair.lot(0),
            bid_price: pair.price(quote.bid),
            bid_qty: pair.lot(1),
            ask_price: pair.price(quote.ask),
            ask_qty: pair.lot(2),
            mini: Mini::of(market, pair),
        }
    }
}

impl<'a> Pair<'a> {
    /// The pair with a name in upper case, as `BTCUSDT`.
    pub(in crate::sandbox) fn find(market: &'a Market, symbol: &str) -> Option<Self> {
        QUOTES.iter().find_map(|quote| {
            let coin = market.coin(symbol.strip_suffix(quote)?)?;
            Self::of(market, coin, quote)
        })
    }

    fn of(market: &'a Market, coin: &'a Coin, currency: &str) -> Option<Self> {
        let unit = market.worth(currency)?;
        let quote = coin.quote(Venue::Binance, unit, coin.asset.decimals);
        Some(Self { symbol: format!("{}{currency}", coin.asset.symbol), coin, quote })
    }

    fn price(&self, price: f64) -> String {
        digits(price, self.coin.asset.decimals)
    }

    /// A quantity worth some hundred to some thousand dollars, another one at each step.
    fn lot(&self, which: u64) -> String {
        let spread = (self.quote.step * 7_919 + which * 104_729) % 997;
        digits((200 + 9 * spread) as f64 / self.quote.price, 5)
    }
}

fn answer<T: Serialize>(
    world: &World,
    params: &Params,
    weight: impl Fn(&Wanted) -> u32,
    row: impl Fn(&Market, Pair<'_>) -> T,
) -> Response {
    let (charged, mut response) = match wanted(params) {
        Ok(wanted) => (weight(&wanted), world.see(|market| rows(market, wanted, row))),
        Err(refusal) => (1, json(StatusCode::BAD_REQUEST, &refusal)),
    };
    let used = HeaderValue::from(world.charge(charged));
    response.headers_mut().insert(USED_WEIGHT, used);
    response
}

fn wanted(params: &Params) -> Result<Wanted, Refusal> {
    let legal = |symbol: &str| {
        let allowed = |byte: u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.');
        (1..=20).contains(&symbol.len()) && symbol.bytes().all(allowed)
    };
    match (params.get("symbol"), params.get("symbols")) {
        (Some(_), Some(_)) => Err(BOTH),
        (Some(symbol), None) if legal(symbol) => Ok(Wanted::One(symbol.clone())),
        (Some(_), None) => Err(ILLEGAL_SYMBOL),
        (None, Some(text)) => {
            let symbols: Vec<String> = serde_json::from_str(text).map_err(|_| ILLEGAL_SYMBOLS)?;
            if symbols.is_empty() || !symbols.iter().all(|symbol| legal(symbol)) {
                return Err(ILLEGAL_SYMBOLS);
            }
            Ok(Wanted::Some(symbols))
        }
        (None, None) => Ok(Wanted::All),
    }
}

/// One object, or an array in the order asked; one unknown symbol refuses all, as it really does.
fn rows<T: Serialize>(
    market: &Market,
    wanted: Wanted,
    row: impl Fn(&Market, Pair<'_>) -> T,
) -> Response {
    let pairs: Option<Vec<Pair<'_>>> = match wanted {
        Wanted::One(symbol) => {
            return match Pair::find(market, &symbol) {
                Some(pair) => json(StatusCode::OK, &row(market, pair)),
                None => json(StatusCode::BAD_REQUEST, &INVALID_SYMBOL),
            };
        }
        Wanted::Some(symbols) => symbols.iter().map(|name| Pair::find(market, name)).collect(),
        Wanted::All => {
            let of_coin =
                |coin| QUOTES.iter().filter_map(move |quote| Pair::of(market, coin, quote));
            Some(market.coins().iter().flat_map(of_coin).collect())
        }
    };
    match pairs {
        Some(pairs) => {
            let rows: Vec<T> = pairs.into_iter().map(|pair| row(market, pair)).collect();
            json(StatusCode::OK, &rows)
        }
        None => json(StatusCode::BAD_REQUEST, &INVALID_SYMBOL),
    }
}
