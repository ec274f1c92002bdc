//! CoinGecko: `/simple/price` and `/coins/markets`, in usd, eur, btc and eth.
//!
//! Numbers are JSON numbers with fixed digits. Values change every ten seconds, and an ETag tells a
//! client that asks more often that nothing has.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Query, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    super::{
        date::rfc3339,
        market::{Coin, Market, Quote, Venue, Worth},
        number::{literal, number},
        world::World,
    },
    Params, flag, json, list, price_decimals,
};

/// More decimals than any price here needs, even SHIB in BTC.
const DECIMALS_MAX: u8 = 18;

pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/simple/price", get(simple_price)).route("/coins/markets", get(markets))
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

fn refusal(error: &str) -> Response {
    json(StatusCode::UNPROCESSABLE_ENTITY, &Refusal { error: error.to_owned() })
}

async fn simple_price(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let (Some(ids), Some(currencies)) = (params.get("ids"), params.get("vs_currencies")) else {
        let missing = if params.contains_key("ids") { "vs_currencies" } else { "ids" };
        return refusal(&format!("Missing parameter {missing}"));
    };
    let precision = match params.get("precision").map(|text| (text.as_str(), text.parse())) {
        None => Precision::Usual,
        Some(("full", _)) => Precision::Full,
        Some((_, Ok(decimals))) if decimals <= DECIMALS_MAX => Precision::Fixed(decimals),
        Some(_) => return refusal("Invalid precision"),
    };
    let body = world.see(|market| {
        let row = |id| {
            let coin = by_id(market, id)?;
            Some((
                coin.asset.coingecko_id,
                simple_row(market, coin, currencies, precision, &params),
            ))
        };
        list(ids).filter_map(row).collect::<BTreeMap<_, _>>()
    });
    tagged(&body, &headers)
}

#[derive(Clone, Copy)]
enum Precision {
    Usual,
    Full,
    Fixed(u8),
}

impl Precision {
    fn decimals(self, coin: &Coin, currency: &str) -> u8 {
        let usual = price_decimals(coin, currency);
        match self {
            Self::Usual => usual,
            Self::Full => (usual + 4).min(DECIMALS_MAX),
            Self::Fixed(decimals) => decimals,
        }
    }
}

fn simple_row(
    market: &Market,
    coin: &Coin,
    currencies: &str,
    precision: Precision,
    params: &Params,
) -> BTreeMap<String, Box<RawValue>> {
    let mut row = BTreeMap::new();
    for name in list(currencies) {
        let (name, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
        // A currency that is not known is absent, as an unknown id is.
        let Some(unit) = worth(market, &upper) else {
            continue;
        };
        // Quoted fine and rounded after: `precision` is about what is shown, not about the market.
        let quote = coin.quote(Venue::CoinGecko, unit, Precision::Full.decimals(coin, &upper));
        let decimals = precision.decimals(coin, &upper);
        row.insert(name.clone(), number(quote.price, decimals));
        if flag(params, "include_market_cap") {
            row.insert(format!("{name}_market_cap"), number(quote.price * coin.asset.supply, 4));
        }
        if flag(params, "include_24hr_vol") {
            row.insert(format!("{name}_24h_vol"), number(traded(&quote), 6));
        }
        if flag(params, "include_24hr_change") {
            row.insert(format!("{name}_24h_change"), number(quote.change_pct(), 8));
        }
        if flag(params, "include_last_updated_at") {
            let seconds = market.time_of(quote.step) / 1_000_000;
            row.insert("last_updated_at".to_owned(), literal(seconds.to_string()));
        }
    }
    row
}

async fn markets(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let Some(currency) = params.get("vs_currency").map(|name| name.to_ascii_uppercase()) else {
        return refusal("Missing parameter vs_currency");
    };
    let at_least_one = |name: &str, default: usize| match params.get(name).map(|text| text.parse())
    {
        None => Some(default),
        Some(Ok(0)) | Some(Err(_)) => None,
        Some(Ok(number)) => Some(number),
    };
    let (Some(per_page), Some(page)) = (at_least_one("per_page", 100), at_least_one("page", 1))
    else {
        return refusal("Invalid pagination");
    };
    let rows = world.see(|market| {
        let unit = worth(market, &currency)?;
        let mut rows: Vec<Row> =
            market.coins().iter().map(|coin| Row::of(market, coin, unit, &currency)).collect();
        rows.sort_by(|one, other| other.cap.total_cmp(&one.cap));
        for (rank, row) in (1..).zip(&mut rows) {
            row.market_cap_rank = rank;
        }
        if let Some(ids) = params.get("ids") {
            rows.retain(|row| list(ids).any(|id| id == row.id));
        }
        let skipped = per_page.min(250).saturating_mul(page - 1);
        Some(rows.into_iter().skip(skipped).take(per_page.min(250)).collect::<Vec<_>>())
    });
    match rows {
        Some(rows) => tagged(&rows, &headers),
        None => refusal("invalid vs_currency"),
    }
}

#[derive(Serialize)]
struct Row {
    id: &'static str,
    symbol: String,
    name: &'static str,
    image: String,
    current_price: Box<RawValue>,
    market_cap: Box<RawValue>,
    market_cap_rank: u32,
    fully_diluted_valuation: Box<RawValue>,
    total_volume: Box<RawValue>,
    high_24h: Box<RawValue>,
    low_24h: Box<RawValue>,
    price_change_24h: Box<RawValue>,
    price_change_percentage_24h: Box<RawValue>,
    market_cap_change_24h: Box<RawValue>,
    market_cap_change_percentage_24h: Box<RawValue>,
    circulating_supply: Box<RawValue>,
    total_supply: Box<RawValue>,
    max_supply: Option<Box<RawValue>>,
    ath: Box<RawValue>,
    ath_change_percentage: Box<RawValue>,
    ath_date: &'static str,
    atl: Box<RawValue>,
    atl_change_percentage: Box<RawValue>,
    atl_date: &'static str,
    roi: Option<()>,
    last_updated: String,
    #[serde(skip)]
    cap: f64,
}

impl Row {
    fn of(market: &Market, coin: &Coin, unit: Worth, currency: &str) -> Self {
        let asset = coin.asset;
        let decimals = Precision::Usual.decimals(coin, currency);
        let quote = coin.quote(Venue::CoinGecko, unit, decimals);
        let cap = quote.price * asset.supply;
        let price = |price: f64| number(price, decimals);
        // Records of another age, far enough that no simulated price comes near them.
        let start = unit.buys(asset.start_usd);
        let (highest, lowest) = (start * 3.5, start / 80.0);
        Self {
            id: asset.coingecko_id,
            symbol: asset.symbol.to_ascii_lowercase(),
            name: asset.name,
            image: format!("https://coins.example/images/{}.png", asset.coingecko_id),
            current_price: price(quote.price),
            market_cap: number(cap, 0),
            market_cap_rank: 0,
            fully_diluted_valuation: number(cap, 0),
            total_volume: number(traded(&quote), 0),
            high_24h: price(quote.high),
            low_24h: price(quote.low),
            price_change_24h: price(quote.change()),
            price_change_percentage_24h: number(quote.change_pct(), 5),
            market_cap_change_24h: number(quote.change() * asset.supply, 0),
            market_cap_change_percentage_24h: number(quote.change_pct(), 5),
            circulating_supply: number(asset.supply, 1),
            total_supply: number(asset.supply, 1),
            max_supply: None,
            ath: price(highest),
            ath_change_percentage: number((quote.price / highest - 1.0) * 100.0, 5),
            ath_date: "2021-11-10T14:24:11.849Z",
            atl: price(lowest),
            atl_change_percentage: number((quote.price / lowest - 1.0) * 100.0, 5),
            atl_date: "2020-03-13T02:22:55.044Z",
            roi: None,
            last_updated: rfc3339(market.time_of(quote.step)),
            cap,
        }
    }
}

fn by_id<'a>(market: &'a Market, id: &str) -> Option<&'a Coin> {
    market.coins().iter().find(|coin| coin.asset.coingecko_id == id)
}

/// Value of what was traded in a day.
fn traded(quote: &Quote) -> f64 {
    quote.volume * quote.average()
}

/// The currencies that are offered; the dollar tokens are none here.
fn worth(market: &Market, currency: &str) -> Option<Worth> {
    matches!(currency, "USD" | "EUR" | "BTC" | "ETH").then(|| market.worth(currency))?
}

/// The answer with an ETag, or 304 when the client has it already.
fn tagged<T: Serialize>(body: &T, asked: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(body).unwrap_or_default().hash(&mut hasher);
    let Ok(tag) = HeaderValue::from_str(&format!("W/\"{:016x}\"", hasher.finish())) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = match asked.get(IF_NONE_MATCH) {
        Some(known) if known == tag => StatusCode::NOT_MODIFIED.into_response(),
        _ => json(StatusCode::OK, body),
    };
    response.headers_mut().insert(ETAG, tag);
    response
}
