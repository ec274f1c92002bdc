//! Token Metrics: tokens, prices, trading signals (daily and hourly) and trader grades; the other
//! endpoints are in `more`.
//!
//! A key is not asked for. Ids other than those of BTC and ETH are made up, so a client must find
//! them through `/tokens`, as it must with the real API.

mod more;

use std::sync::Arc;

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
        date::{date, rfc3339},
        market::{Coin, Market, Venue, Worth},
        number::number,
        world::World,
    },
    Params, json, list,
};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 100;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/tokens", get(tokens))
        .route("/price", get(price))
        .route("/trading-signals", get(trading_signals))
        .route("/hourly-trading-signals", get(hourly_trading_signals))
        .route("/trader-grades", get(trader_grades))
        .merge(more::routes())
}

#[derive(Serialize)]
struct Envelope<T> {
    success: bool,
    message: &'static str,
    length: usize,
    data: Vec<T>,
}

fn refusal(message: &'static str) -> Response {
    let nothing: Vec<()> = Vec::new();
    let envelope = Envelope { success: false, message, length: 0, data: nothing };
    json(StatusCode::BAD_REQUEST, &envelope)
}

async fn tokens(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    struct Token {
        token_id: u32,
        token_name: &'static str,
        token_symbol: &'static str,
        exchange_list: [Exchange; 2],
        category_list: [Category; 1],
        tm_link: String,
    }
    #[derive(Serialize)]
    struct Exchange {
        exchange_id: &'static str,
        exchange_name: &'static str,
    }
    #[derive(Serialize)]
    struct Category {
        category_id: u32,
        category_name: &'static str,
        category_slug: &'static str,
    }
    answer(&world, &params, |_, coin| Token {
        token_id: coin.asset.token_metrics_id,
        token_name: coin.asset.name,
        token_symbol: coin.asset.symbol,
        exchange_list: [
            Exchange { exchange_id: "binance", exchange_name: "Binance" },
            Exchange { exchange_id: "gdax", exchange_name: "Coinbase Exchange" },
        ],
        category_list: [Category {
            category_id: 1,
            category_name: "Cryptocurrency",
            category_slug: "cryptocurrency",
        }],
        tm_link: link(coin),
    })
}

async fn price(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    struct Price {
        token_id: u32,
        token_name: &'static str,
        token_symbol: &'static str,
        current_price: Box<RawValue>,
    }
    if !params.contains_key("token_id") {
        return refusal("token_id is required");
    }
    answer(&world, &params, |_, coin| Price {
        token_id: coin.asset.token_metrics_id,
        token_name: coin.asset.name,
        token_symbol: coin.asset.symbol,
        current_price: current_price(coin),
    })
}

async fn trading_signals(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    struct Signal {
        token_id: u32,
        token_name: &'static str,
        token_symbol: &'static str,
        date: String,
        trading_signal: i8,
        token_trend: i8,
        trading_signals_returns: Box<RawValue>,
        holding_returns: Box<RawValue>,
        // The real answer has both spellings.
        #[serde(rename = "tm_link")]
        slug: &'static str,
        tm_trader_grade: Box<RawValue>,
        tm_investor_grade: Box<RawValue>,
        tm_link: String,
    }
    answer(&world, &params, |market, coin| {
        let rating = coin.rating();
        Signal {
            token_id: coin.asset.token_metrics_id,
            token_name: coin.asset.name,
            token_symbol: coin.asset.symbol,
            date: format!("{}T00:00:00.000Z", date(market.time_of(market.step()))),
            trading_signal: rating.signal,
            token_trend: rating.trend,
            trading_signals_returns: number(12.0 * rating.investor_grade, 4),
            holding_returns: number(4.0 * rating.investor_grade, 4),
            slug: coin.asset.coingecko_id,
            tm_trader_grade: number(rating.trader_grade, 2),
            tm_investor_grade: number(rating.investor_grade, 2),
            tm_link: link(coin),
        }
    })
}

async fn hourly_trading_signals(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    struct Hourly {
        timestamp: String,
        token_id: u32,
        token_name: &'static str,
        token_symbol: &'static str,
        close: Box<RawValue>,
        signal: String,
        position: String,
    }
    if !params.contains_key("token_id") {
        return refusal("token_id is required");
    }
    answer(&world, &params, |market, coin| {
        let now = market.time_of(market.step());
        let rating = coin.rating();
        Hourly {
            timestamp: rfc3339(now - now.rem_euclid(3_600_000_000)),
            token_id: coin.asset.token_metrics_id,
            token_name: coin.asset.name,
            token_symbol: coin.asset.symbol,
            close: current_price(coin),
            signal: rating.signal.to_string(),
            position: rating.trend.to_string(),
        }
    })
}

async fn trader_grades(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    struct Grade {
        token_id: u32,
        token_name: &'static str,
        token_symbol: &'static str,
        date: String,
        ta_grade: Box<RawValue>,
        quant_grade: Box<RawValue>,
        tm_trader_grade: Box<RawValue>,
        #[serde(rename = "TM_TRADER_GRADE_24H_PCT_CHANGE")]
        change: Box<RawValue>,
    }
    answer(&world, &params, |market, coin| {
        let rating = coin.rating();
        Grade {
            token_id: coin.asset.token_metrics_id,
            token_name: coin.asset.name,
            token_symbol: coin.asset.symbol,
            date: date(market.time_of(market.step())),
            ta_grade: number(rating.trader_grade * 0.9, 2),
            quant_grade: number(rating.investor_grade, 2),
            tm_trader_grade: number(rating.trader_grade, 2),
            change: number(rating.trader_grade_change, 2),
        }
    })
}

/// The rows that the filters leave, one page of them.
fn answer<T: Serialize>(
    world: &World,
    params: &Params,
    row: impl Fn(&Market, &Coin) -> T,
) -> Response {
    let count = |name: &str| params.get(name).map(|text| text.parse::<usize>()).transpose();
    let (Ok(limit), Ok(page)) = (count("limit"), count("page")) else {
        return refusal("limit and page must be positive integers");
    };
    let limit = limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    // Pages count from 1 now; older clients ask for page 0 and mean the first.
    let skipped = page.unwrap_or(1).saturating_sub(1).saturating_mul(limit);
    let data: Vec<T> = world.see(|market| {
        let kept = market.coins().iter().filter(|coin| is_wanted(coin, params));
        kept.skip(skipped).take(limit).map(|coin| row(market, coin)).collect()
    });
    let message = "Data fetched successfully";
    json(StatusCode::OK, &Envelope { success: true, message, length: data.len(), data })
}

fn is_wanted(coin: &Coin, params: &Params) -> bool {
    let among = |name: &str, fits: &dyn Fn(&str) -> bool| {
        params.get(name).is_none_or(|values| list(values).any(fits))
    };
    among("token_id", &|id| id.parse() == Ok(coin.asset.token_metrics_id))
        && among("symbol", &|symbol| symbol.eq_ignore_ascii_case(coin.asset.symbol))
        && among("signal", &|signal| signal.parse() == Ok(coin.rating().signal))
}

fn current_price(coin: &Coin) -> Box<RawValue> {
    let decimals = coin.asset.decimals;
    number(coin.quote(Venue::TokenMetrics, Worth::fixed(1.0), decimals).price, decimals)
}

fn link(coin: &Coin) -> String {
    format!("https://app.tokenmetrics.com/en/{}", coin.asset.coingecko_id)
}
