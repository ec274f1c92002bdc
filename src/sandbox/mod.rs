//! A simulated upstream: a real HTTP server with a seeded market behind it, which answers in the
//! exact shapes of the real APIs. The same providers work against it and against the real hosts;
//! only `base_url` differs:
//!
//! | here | there |
//! |---|---|
//! | `sandbox:/binance` | `https://api.binance.com` |
//! | `sandbox:/coinbase` | `https://api.exchange.coinbase.com` |
//! | `sandbox:/kraken` | `https://api.kraken.com` |
//! | `sandbox:/defillama` | `https://coins.llama.fi` and `https://api.llama.fi` |
//! | `sandbox:/coingecko/api/v3` | `https://api.coingecko.com/api/v3` |
//! | `sandbox:/tokenmetrics/v2` | `https://api.tokenmetrics.com/v2` |
//! | `sandbox:/mempool` | `https://mempool.space` |
//! | `sandbox:/etherscan` | `https://api.etherscan.io` |
//! | `sandbox:/evm` | a node's JSON-RPC |
//! | `sandbox:/fear_greed` | `https://api.alternative.me` |
//! | `sandbox:/binance/stream`, `sandbox:/binance/ws` | `wss://stream.binance.com:9443/…` |
//! | `sandbox:/coinbase/ws` | `wss://ws-feed.exchange.coinbase.com` |
//! | `sandbox:/kraken/v2` | `wss://ws.kraken.com/v2` |
//!
//! One seed gives one market, whoever asks for what and when: prices are functions of seed, asset
//! and step, and only `world` reads a clock. Misbehaviour is configured (`[[sandbox.faults]]`) or
//! switched by a test through [`FaultSwitch`].

mod apis;
mod assets;
mod chain;
pub mod config;
mod date;
mod dice;
mod faults;
mod market;
mod mishap;
mod number;
mod path;
mod streams;
mod world;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    shutdown::{Shutdown, Stage, Tasks},
    units::now_us,
};

use config::Config;
pub use faults::FaultSwitch;
use world::World;

/// What the sandbox answers: a path, and what it imitates.
pub const ROUTES: &[(&str, &str)] = &[
    ("/binance/api/v3/ticker/24hr", "Binance: statistics of the last 24 hours"),
    ("/binance/api/v3/ticker/price", "Binance: last price"),
    ("/binance/api/v3/ticker/bookTicker", "Binance: best bid and ask"),
    ("/coinbase/products/BTC-USD/ticker", "Coinbase Exchange: last trade of a product"),
    ("/coinbase/products/BTC-USD/stats", "Coinbase Exchange: last 24 hours of a product"),
    ("/kraken/0/public/Ticker", "Kraken: tickers of pairs"),
    ("/defillama/prices/current/coingecko:bitcoin", "DefiLlama: prices of tokens"),
    ("/defillama/v2/chains", "DefiLlama: value locked on each chain"),
    ("/coingecko/api/v3/simple/price", "CoinGecko: prices by coin id"),
    ("/coingecko/api/v3/coins/markets", "CoinGecko: coins with their market data"),
    ("/tokenmetrics/v2/tokens", "Token Metrics: tokens and their ids"),
    ("/tokenmetrics/v2/price", "Token Metrics: prices by token id"),
    ("/tokenmetrics/v2/trading-signals", "Token Metrics: trading signals of the day"),
    ("/tokenmetrics/v2/hourly-trading-signals", "Token Metrics: trading signals of the hour"),
    ("/tokenmetrics/v2/trader-grades", "Token Metrics: trader grades"),
    ("/tokenmetrics/v2/investor-grades", "Token Metrics: investor grades"),
    ("/tokenmetrics/v2/tm-grade", "Token Metrics: TM grades"),
    ("/tokenmetrics/v2/hourly-ohlcv", "Token Metrics: candle of the hour"),
    ("/tokenmetrics/v2/daily-ohlcv", "Token Metrics: candle of the day"),
    ("/tokenmetrics/v2/market-metrics", "Token Metrics: the market as a whole"),
    ("/tokenmetrics/v2/indices", "Token Metrics: indices"),
    ("/tokenmetrics/v2/sentiments", "Token Metrics: sentiment of the market"),
    ("/mempool/api/v1/fees/recommended", "mempool.space: recommended fees"),
    ("/mempool/api/mempool", "mempool.space: what waits for a block"),
    ("/mempool/api/blocks/tip/height", "mempool.space: height of the chain"),
    ("/etherscan/v2/api", "Etherscan: gas oracle"),
    ("/evm", "a node: height and fee history, by POST"),
    ("/fear_greed/fng/", "alternative.me: fear and greed index"),
];

/// What the sandbox streams by WebSocket: a path, and what it imitates.
pub const STREAMS: &[(&str, &str)] = &[
    ("/binance/stream", "Binance: combined streams, named by `?streams=` or SUBSCRIBE"),
    ("/binance/ws", "Binance: raw streams, named by SUBSCRIBE"),
    ("/binance/ws/btcusdt@ticker", "Binance: a raw stream named by the path"),
    ("/coinbase/ws", "Coinbase Exchange: channels ticker and heartbeat"),
    ("/kraken/v2", "Kraken: channel ticker"),
];

/// Connections served at once. Further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 1_024;

/// What a connection may still take to end its answer once the server closes.
const GRACE: Duration = Duration::from_millis(500);

/// Pause after a failed accept, for example when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The simulated upstream, bound and not yet serving.
#[derive(Debug)]
pub struct Sandbox {
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
    switch: FaultSwitch,
}

/// Takes the listening address of `config` and sets the market up. Simulated time begins here.
///
/// # Errors
/// When the address cannot be bound; `InvalidInput` when a configured symbol is not known.
pub async fn bind(config: &Config) -> io::Result<Sandbox> {
    let assets = assets::select(&config.symbols).map_err(|name| {
        let message = format!("sandbox.symbols: `{name}` is not simulated");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })?;
    let listener = TcpListener::bind(config.listen).await?;
    let addr = listener.local_addr()?;
    let switch = FaultSwitch::new(config.seed, config.faults.clone());
    let world = Arc::new(World::new(config, &assets, now_us()));
    let router = apis::router(world, switch.clone());
    Ok(Sandbox { listener, addr, router, switch })
}

impl Sandbox {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What stands for `sandbox:` in a feed's `base_url`: `http://127.0.0.1:PORT`, also when it
    /// listens on every address.
    pub fn base_url(&self) -> String {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{addr}")
    }

    /// Switches its faults and counts its requests, also while it serves.
    pub fn faults(&self) -> FaultSwitch {
        self.switch.clone()
    }

    /// Serves until [`Stage::Closing`], then returns within about half a second, whatever its
    /// clients do.
    pub async fn serve(self, shutdown: Shutdown) {
        let tasks = Tasks::default();
        let mut closing = shutdown.clone();
        let upgrades = streams::Upgrades::new(tasks.clone(), shutdown.clone());
        let router = self.router.clone().layer(Extension(upgrades));
        tokio::select! {
            () = self.accept(&router, &tasks, &shutdown) => {}
            () = closing.reached(Stage::Closing) => {}
        }
        // Each connection keeps a deadline of its own; the margin is for the scheduler.
        if !tasks.join(GRACE * 2).await {
            tracing::warn!(left = tasks.len(), "sandbox connections did not end in time");
        }
    }

    async fn accept(&self, router: &Router, tasks: &Tasks, shutdown: &Shutdown) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        // The semaphore is never closed: this loop ends by being dropped.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let serving = connection(stream, router.clone(), shutdown.clone());
                    tasks.spawn("sandbox connection", async move {
                        serving.await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the sandbox cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One client. At the close its answer in flight may end, then it is dropped, and with it any
/// handler that hangs.
async fn connection(stream: TcpStream, router: Router, mut shutdown: Shutdown) {
    let service = TowerToHyperService::new(router);
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.reached(Stage::Closing) => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, connection).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a sandbox client went away");
    }
}

#[cfg(test)]
mod tests;
