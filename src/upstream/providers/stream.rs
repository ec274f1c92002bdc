//! What the stream loop knows of a venue's WebSocket: what to say on a new connection, and what a
//! message means. Like a [`Provider`](super::Provider) it does no I/O, reads no clock and spawns
//! nothing.
//!
//! **What confirms a value.** A value is fresh when we have heard it lately, and each venue has its
//! own way of saying that nothing has changed:
//!
//! | venue | what is said of an unchanged value | what that confirms |
//! |---|---|---|
//! | Binance | `@ticker` and `@miniTicker` come each second, `@bookTicker` at each change; nothing says that a symbol is unchanged | nothing: what is not heard ages |
//! | Coinbase | a heartbeat each second for each product, with its last trade | the product, if we have that trade |
//! | Kraken | a heartbeat for the connection when nothing else is to be said, and the answer to our ping | all that was heard on the connection, as a ticker follows each trade |
//!
//! **What a sequence tells.** Coinbase numbers the messages of a product over all its channels, so a
//! ticker's number jumps ahead in the ordinary course: only one that is not above the last is out of
//! order. `@bookTicker` of Binance numbers in the same manner. The tickers of Kraken and the other
//! ones of Binance have no number: a lost one cannot be seen, and the next puts it right, as each
//! holds the whole.

use std::{collections::BTreeMap, time::Duration};

use super::{
    DecodeError, Response, binance, coinbase, kraken,
    mistake::{Mistake, Mistakes},
};
use crate::{
    market::{Tick, Topic},
    upstream::config::{FeedConfig, ProviderKind},
};

/// What a venue allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Shortest time between two messages of ours.
    pub gap: Duration,
    /// How long the venue lets a connection live.
    pub lifetime: Option<Duration>,
}

/// Which values are as they were last heard on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Confirmed {
    /// None is known to be.
    #[default]
    Nothing,
    /// This one.
    One(Topic),
    /// All.
    All,
}

/// What a message means.
#[derive(Debug, Default)]
pub struct Heard {
    /// Readings.
    pub ticks: Vec<Tick>,
    /// What is unchanged.
    pub confirmed: Confirmed,
    /// What was asked for and is refused, or cannot be used: a short text for the log.
    pub missing: Vec<String>,
    /// What to send in answer.
    pub send: Vec<String>,
    /// Readings that came out of order.
    pub ignored: u64,
    /// The venue says that it will close the connection.
    pub closing: bool,
    /// The venue refuses what we are here for: the connection is of no use.
    pub refused: Option<DecodeError>,
}

impl Heard {
    /// Nothing but a reading, or why there is none.
    pub(super) fn tick(symbol: &impl std::fmt::Display, tick: Result<Tick, String>) -> Self {
        let mut heard = Self::default();
        match tick {
            Ok(tick) => heard.ticks.push(tick),
            Err(why) => heard.missing.push(format!("{symbol} {why}")),
        }
        heard
    }

    /// The venue refuses everything, for the reason in `text`.
    pub(super) fn refused(limited: bool, text: &str) -> Self {
        Self { refused: Some(DecodeError::reported(limited, text)), ..Self::default() }
    }
}

/// The numbers of the last readings, by topic, where a venue numbers them alike on all connections.
pub type Marks = BTreeMap<Topic, u64>;

/// One venue's messages for one feed.
pub trait StreamProvider: Send {
    /// What the venue allows.
    fn terms(&self) -> Terms;

    /// A new connection stands: what to send on it, one message after the other. What the one
    /// before has said is forgotten.
    fn opened(&mut self) -> Vec<String>;

    /// What to send for a sign of life, where the venue answers such a thing.
    fn ping(&mut self) -> Option<String> {
        None
    }

    /// What a message means.
    ///
    /// # Errors
    /// When it is not what the venue promises. Messages of kinds that are not known mean nothing.
    fn read(&mut self, message: &Response) -> Result<Heard, DecodeError>;

    /// How far it has read. Nothing where messages have no numbers.
    fn marks(&self) -> Marks {
        Marks::new()
    }

    /// Another connection has read as far as `marks`: what is not above them is out of order.
    fn resume(&mut self, _marks: &Marks) {}

    /// Topics that this feed will publish.
    fn topics(&self) -> Vec<Topic>;
}

/// The stream of a feed.
///
/// # Errors
/// Names the key of `feed` that is wrong, and what it may be.
pub fn build(feed: &FeedConfig) -> Result<Box<dyn StreamProvider>, String> {
    make(feed).map_err(|mistakes| mistakes.to_string())
}

pub(super) fn make(feed: &FeedConfig) -> Result<Box<dyn StreamProvider>, Mistakes> {
    Ok(match feed.provider {
        ProviderKind::Binance => Box::new(binance::stream::BinanceStream::new(feed)?),
        ProviderKind::Coinbase => Box::new(coinbase::stream::CoinbaseStream::new(feed)?),
        ProviderKind::Kraken => Box::new(kraken::stream::KrakenStream::new(feed)?),
        _ => {
            let message = format!("is {}, which has no stream: use rest", feed.provider);
            return Err(Mistake::at("provider", message).into());
        }
    })
}
