//! A server in this process, a client that others could have written, and an upstream that does as
//! it is told.

pub mod bad_upstream;
mod client;
mod events;
pub mod process;
pub mod raw;
pub mod schemas;
mod server;
mod upstream;
mod venue;

pub use bad_upstream::BadUpstream;
pub use client::{Client, Ended};
pub use events::{Event, Events};
pub use process::Process;
pub use raw::RawEnd;
pub use server::{Builder, Server, server};
pub use upstream::Upstream;
pub use venue::Venue;

use std::{future::Future, time::Duration};

/// What a test waits for at most. Long, since the machine may be busy: a test that needs it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

const DOLLARS: &str = "symbols = [\"BTC-USDT\", \"ETH-USDC\"]";
const MARKETS: &str = "symbols = [\"BTC-USD\", \"DOGE-USD\", \"ETH-USD\"]";

/// Every endpoint of the exchanges that the sandbox imitates, for polls and for streams: the
/// provider, the endpoint, and the symbols of a feed of it.
pub const EXCHANGES: [(&str, &str, &str); 6] = [
    ("binance", "ticker_24hr", DOLLARS),
    ("binance", "ticker_price", DOLLARS),
    ("binance", "book_ticker", DOLLARS),
    ("coinbase", "ticker", MARKETS),
    ("coinbase", "stats", MARKETS),
    ("kraken", "ticker", MARKETS),
];

/// Waits for `future`, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks again and again until `probe` gives something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    soon(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
