//! Further endpoints of Token Metrics: grades, candles, and the market as a whole.
//!
//! Candles are those that are still open; that of the hour has the extremes of the day.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
    routing::get,
};
use serde_json::value::RawValue;

use super::{
    super::super::{
        date::{date, rfc3339},
        market::{Coin, Market, Venue, Worth},
        number::{literal, number},
        world::World,
    },
    Envelope, Params, answer, json,
};
use crate::units::Micros;

type Row = BTreeMap<&'static str, Box<RawValue>>;

const HOUR: Micros = 3_600_000_000;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/investor-grades", get(investor_grades))
        .route("/tm-grade", get(tm_grade))
        .route("/hourly-ohlcv", get(hourly_ohlcv))
        .route("/daily-ohlcv", get(daily_ohlcv))
        .route("/market-metrics", get(market_metrics))
        .route("/indices", get(indices))
        .route("/sentiments", get(sentiments))
}

fn text(text: &str) -> Box<RawValue> {
    literal(serde_json::Value::from(text).to_string())
}

fn row(coin: &Coin) -> Row {
    Row::from([
        ("TOKEN_ID", literal(coin.asset.token_metrics_id.to_string())),
        ("TOKEN_NAME", text(coin.asset.name)),
        ("TOKEN_SYMBOL", text(coin.asset.symbol)),
    ])
}

fn now(market: &Market) -> Micros {
    market.time_of(market.step())
}

async fn investor_grades(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
) -> Response {
    answer(&world, &params, |market, coin| {
        let grade = coin.rating().investor_grade;
        let mut row = row(coin);
        row.extend([
            ("DATE", text(&date(now(market)))),
            ("TM_INVESTOR_GRADE", number(grade, 2)),
            ("TM_INVESTOR_GRADE_7D_PCT_CHANGE", number(grade / 20.0 - 2.5, 2)),
            ("FUNDAMENTAL_GRADE", number(grade * 0.9, 2)),
            ("TECHNOLOGY_GRADE", number(grade * 0.8, 2)),
            ("VALUATION_GRADE", number(grade * 0.7, 2)),
            ("DEFI_USAGE_SCORE", RawValue::NULL.to_owned()),
            ("VC_SCORE", RawValue::NULL.to_owned()),
        ]);
        for score in [
            "COMMUNITY_SCORE",
            "EXCHANGE_SCORE",
            "TOKENOMICS_SCORE",
            "DEFI_SCANNER_SCORE",
            "ACTIVITY_SCORE",
            "SECURITY_SCORE",
            "REPOSITORY_SCORE",
            "COLLABORATION_SCORE",
        ] {
            row.insert(score, number(grade, 1));
        }
        row
    })
}

async fn tm_grade(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    answer(&world, &params, |_, coin| {
        let rating = coin.rating();
        let mut row = row(coin);
        row.extend([
            ("TM_GRADE", number((rating.trader_grade + rating.investor_grade) / 2.0, 2)),
            ("TM_GRADE_24h_PCT_CHANGE", number(rating.trader_grade_change / 2.0, 2)),
            ("TM_TRADER_GRADE_24H_CHANGE", number(rating.trader_grade_change, 2)),
            ("FUNDAMENTAL_GRADE", number(rating.investor_grade * 0.9, 2)),
            ("FUNDAMENTAL_GRADE_CLASS", text("Neutral")),
            ("TM_GRADE_SIGNAL", literal(rating.trend.to_string())),
            ("MOMENTUM", text(if rating.signal < 0 { "Bearish" } else { "Bullish" })),
        ]);
        row
    })
}

async fn hourly_ohlcv(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    answer(&world, &params, |market, coin| candle(market, coin, HOUR))
}

async fn daily_ohlcv(State(world): State<Arc<World>>, Query(params): Query<Params>) -> Response {
    answer(&world, &params, |market, coin| candle(market, coin, 24 * HOUR))
}

fn candle(market: &Market, coin: &Coin, length: Micros) -> Row {
    let decimals = coin.asset.decimals;
    let quote = coin.quote(Venue::TokenMetrics, Worth::fixed(1.0), decimals);
    let days = if length == HOUR { 1.0 / 24.0 } else { 1.0 };
    let now = now(market);
    let mut row = row(coin);
    row.extend([
        ("TIMESTAMP", text(&rfc3339(now - now.rem_euclid(length)))),
        ("OPEN", number(quote.open, decimals)),
        ("HIGH", number(quote.high, decimals)),
        ("LOW", number(quote.low, decimals)),
        ("CLOSE", number(quote.price, decimals)),
        ("VOLUME", number(quote.volume * quote.price * days, 2)),
    ]);
    row
}

fn envelope(row: Row) -> Response {
    let message = "Data fetched successfully";
    json(StatusCode::OK, &Envelope { success: true, message, length: 1, data: vec![row] })
}

/// The value of all coins, and the mean of their trader grades.
fn sums(market: &Market) -> (f64, f64) {
    let coins = market.coins().iter();
    let (cap, grades, count) = coins.fold((0.0, 0.0, 0.0_f64), |(cap, grades, count), coin| {
        let quote = coin.quote(Venue::TokenMetrics, Worth::fixed(1.0), coin.asset.decimals);
        let grade = coin.rating().trader_grade;
        (cap + quote.price * coin.asset.supply, grades + grade, count + 1.0)
    });
    (cap, grades / count.max(1.0))
}

async fn market_metrics(State(world): State<Arc<World>>) -> Response {
    envelope(world.see(|market| {
        let (cap, grade) = sums(market);
        let signal = if grade < 50.0 { "-1" } else { "1" };
        Row::from([
            ("DATE", text(&rfc3339(now(market)))),
            ("TOTAL_CRYPTO_MCAP", number(cap, 2)),
            ("TM_GRADE_PERC_HIGH_COINS", number(grade / 2.0, 2)),
            ("TM_GRADE_SIGNAL", literal(signal.to_owned())),
            ("LAST_TM_GRADE_SIGNAL", literal(signal.to_owned())),
        ])
    }))
}

async fn indices(State(world): State<Arc<World>>) -> Response {
    envelope(world.see(|market| {
        let (cap, grade) = sums(market);
        Row::from([
            ("ID", literal("1".to_owned())),
            ("NAME", text("TM Global 100")),
            ("TICKER", text("TM100")),
            ("PRICE", number(cap / 1e10, 2)),
            ("COINS", literal(market.coins().len().to_string())),
            ("24H", number(grade / 10.0 - 5.0, 2)),
            ("24H_VOLUME", number(cap / 40.0, 2)),
            ("MARKET_CAP", number(cap, 2)),
            ("INDEX_GRADE", number(grade, 2)),
        ])
    }))
}

async fn sentiments(State(world): State<Arc<World>>) -> Response {
    envelope(world.see(|market| {
        let (_, grade) = sums(market);
        let now = now(market);
        let mut row = Row::from([("DATETIME", text(&rfc3339(now - now.rem_euclid(HOUR))))]);
        for (score, label) in [
            ("MARKET_SENTIMENT_GRADE", "MARKET_SENTIMENT_LABEL"),
            ("NEWS_SENTIMENT_GRADE", "NEWS_SENTIMENT_LABEL"),
            ("REDDIT_SENTIMENT_GRADE", "REDDIT_SENTIMENT_LABEL"),
            ("TWITTER_SENTIMENT_GRADE", "TWITTER_SENTIMENT_LABEL"),
        ] {
            row.insert(score, number(grade, 2));
            row.insert(label, text(if grade < 50.0 { "negative" } else { "positive" }));
        }
        row
    }))
}
