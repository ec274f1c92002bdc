//! Binance's messages: the fields of the REST answers under names of one letter.

use serde::Serialize;

use super::super::super::apis::binance::{Book, Full, Mini};

/// A message, in one-letter names.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Event {
    Full(Box<FullEvent>),
    Mini(MiniEvent),
    Book(BookEvent),
}

/// Best bid and ask, and the id of the book's update.
#[derive(Serialize)]
pub(super) struct BookEvent {
    u: u64,
    s: String,
    b: String,
    #[serde(rename = "B")]
    bid_qty: String,
    a: String,
    #[serde(rename = "A")]
    ask_qty: String,
}

/// Prices and volumes of the last 24 hours.
#[derive(Serialize)]
pub(super) struct MiniEvent {
    e: &'static str,
    #[serde(rename = "E")]
    at_ms: i64,
    s: String,
    c: String,
    o: String,
    h: String,
    l: String,
    v: String,
    q: String,
}

/// The same, and the best bid and ask.
#[derive(Serialize)]
pub(super) struct FullEvent {
    #[serde(flatten)]
    mini: MiniEvent,
    p: String,
    #[serde(rename = "P")]
    change_pct: String,
    w: String,
    x: String,
    #[serde(rename = "Q")]
    last_qty: String,
    b: String,
    #[serde(rename = "B")]
    bid_qty: String,
    a: String,
    #[serde(rename = "A")]
    ask_qty: String,
    #[serde(rename = "O")]
    open_time: i64,
    #[serde(rename = "C")]
    close_time: i64,
    #[serde(rename = "F")]
    first_id: u64,
    #[serde(rename = "L")]
    last_id: u64,
    n: u64,
}

impl BookEvent {
    pub(super) fn of(id: u64, book: Book) -> Self {
        Self {
            u: id,
            s: book.symbol,
            b: book.bid_price,
            bid_qty: book.bid_qty,
            a: book.ask_price,
            ask_qty: book.ask_qty,
        }
    }
}

impl MiniEvent {
    pub(super) fn of(e: &'static str, at_ms: i64, mini: Mini) -> Self {
        Self {
            e,
            at_ms,
            s: mini.symbol,
            c: mini.last_price,
            o: mini.open_price,
            h: mini.high_price,
            l: mini.low_price,
            v: mini.volume,
            q: mini.quote_volume,
        }
    }
}

impl FullEvent {
    pub(super) fn of(at_ms: i64, full: Full) -> Self {
        let Mini { open_time, close_time, first_id, last_id, count, .. } = full.mini;
        Self {
            p: full.price_change,
            change_pct: full.price_change_percent,
            w: full.weighted_avg_price,
            x: full.prev_close_price,
            last_qty: full.last_qty,
            b: full.bid_price,
            bid_qty: full.bid_qty,
            a: full.ask_price,
            ask_qty: full.ask_qty,
            open_time,
            close_time,
            first_id,
            last_id,
            n: count,
            mini: MiniEvent::of("24hrTicker", at_ms, full.mini),
        }
    }
}
