//! What the poll loop knows of an API: requests to make and ticks to take from the answers. A
//! provider does no I/O, reads no clock and spawns nothing.

mod binance;
pub(super) mod body;
mod coinbase;
mod coingecko;
mod defillama;
mod etherscan;
mod evm;
mod fear_greed;
mod json;
mod kraken;
mod markets;
mod mempool;
mod mistake;
mod number;
mod row;
pub mod stream;
mod token_metrics;
pub mod value;
mod withhold;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;

use self::mistake::Mistakes;
pub use self::mistake::{At, Mistake};
use crate::{
    market::{Reason, Tick, Topic},
    units::{Micros, Secret},
    upstream::config::{FeedConfig, ProviderKind, Transport},
};

/// A request to make, relative to the feed's base URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Path below the base URL, with a leading slash: `/api/v3/ticker/24hr`.
    pub path: String,
    /// Query pairs, not yet encoded.
    pub query: Vec<(Cow<'static, str>, String)>,
    /// Query pairs that must not be told to anybody else, after the others.
    pub secret_query: Vec<(Cow<'static, str>, Secret)>,
    /// Headers: names and values.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Headers that must not be told to anybody else.
    pub secret_headers: Vec<(Cow<'static, str>, Secret)>,
    /// JSON to send with `POST`; without it the request is a `GET`.
    pub body: Option<Bytes>,
    /// Budget units that it costs; 0 means what the configuration says.
    pub weight: u32,
    /// What [`Provider::decode`] needs to know which answer it has.
    pub tag: usize,
}

/// An answer with status 2xx; other statuses never reach a provider.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its body after decompression.
    pub body: Bytes,
    /// When it was complete.
    pub rx: Micros,
}

/// What an answer held.
#[derive(Debug, Default)]
pub struct Batch {
    /// Readings, at most one of each topic.
    pub ticks: Vec<Tick>,
    /// What was asked for and was not in the answer, or was not usable: a short text for the log.
    pub missing: Vec<String>,
    /// When the upstream says that something new will be there.
    pub next_in: Option<Duration>,
}

/// Why an answer is of no use as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason:?}: {message}", reason = .reason.as_str())]
pub struct DecodeError {
    /// The reason that clients and metrics see.
    pub reason: Reason,
    /// What was wrong, for the log: never a key, at most a short excerpt of the body.
    pub message: String,
    /// Whether the API says that the key is what it refuses, or lacks.
    pub key_refused: bool,
}

impl Batch {
    /// Adds a reading of `item`, or notes why there is none.
    fn take(&mut self, item: &impl fmt::Display, tick: Result<Tick, String>) {
        match tick {
            Ok(tick) => self.ticks.push(tick),
            Err(why) => self.missing.push(format!("{item} {why}")),
        }
    }
}

/// What a feed sends that must not be told to anybody else.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// The key that the API wants.
    pub api_key: Option<Secret>,
    /// Headers by name.
    pub headers: Vec<(String, Secret)>,
    /// Query pairs by name.
    pub query: Vec<(String, Secret)>,
}

impl Secrets {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        let named = self.headers.iter().chain(&self.query).map(|(_, secret)| secret);
        self.api_key.iter().chain(named)
    }
}

/// The provider of a feed.
///
/// # Errors
/// Names the key of `feed` that is wrong, and what it may be.
pub fn build(feed: &FeedConfig, secrets: &Secrets) -> Result<Box<dyn Provider>, String> {
    make(feed, secrets).map_err(|mistakes| mistakes.to_string())
}

/// Everything that keeps a feed from ever working and can be known without asking anybody: of its
/// polls, and of its stream if it has one.
pub fn mistakes(feed: &FeedConfig) -> Vec<Mistake> {
    if matches!(feed.provider, ProviderKind::Synthetic | ProviderKind::Push) {
        return Vec::new();
    }
    let mut found = match make(feed, &stand_in(feed)) {
        Ok(_) => Vec::new(),
        Err(Mistakes(found)) => found,
    };
    if feed.transport == Transport::Ws
        && feed.provider.stream().is_some()
        && let Err(Mistakes(more)) = stream::make(feed)
    {
        found.extend(more);
    }
    found
}

/// Topics that a feed will publish, as far as its configuration tells; none for one that cannot be
/// set up.
pub fn topics(feed: &FeedConfig) -> Vec<Topic> {
    make(feed, &stand_in(feed)).map(|provider| provider.topics()).unwrap_or_default()
}

/// Where whether there is a key matters, and not which.
fn stand_in(feed: &FeedConfig) -> Secrets {
    let api_key = feed.api_key.as_ref().map(|_| Secret::new("-".to_owned()));
    Secrets { api_key, ..Secrets::default() }
}

fn make(feed: &FeedConfig, secrets: &Secrets) -> Result<Box<dyn Provider>, Mistakes> {
    let keyless = feed.provider.needs_key() && feed.base_url.is_none() && secrets.api_key.is_none();
    if !keyless {
        return plain(feed, secrets);
    }
    let provider = feed.provider;
    let message = format!(
        "is required: {provider} answers nobody without one; say where it is, as in \
         api_key = {{ env = \"{}_API_KEY\" }}",
        provider.name().to_ascii_uppercase()
    );
    let mut mistakes = Mistakes::from(Mistake::at("api_key", message));
    if let Err(Mistakes(more)) = plain(feed, secrets) {
        mistakes.0.extend(more);
    }
    Err(mistakes)
}

fn plain(feed: &FeedConfig, secrets: &Secrets) -> Result<Box<dyn Provider>, Mistakes> {
    let key = secrets.api_key.clone();
    let mut provider: Box<dyn Provider> = match feed.provider {
        ProviderKind::Coingecko => Box::new(coingecko::Coingecko::new(feed, key)?),
        ProviderKind::Binance => Box::new(binance::Binance::new(feed)?),
        ProviderKind::Coinbase => Box::new(coinbase::Coinbase::new(feed)?),
        ProviderKind::Kraken => Box::new(kraken::Kraken::new(feed)?),
        ProviderKind::Defillama => defillama::defillama(feed)?,
        ProviderKind::TokenMetrics => Box::new(token_metrics::TokenMetrics::new(feed, key)?),
        ProviderKind::Mempool => Box::new(mempool::Mempool::new(feed)?),
        ProviderKind::Etherscan => Box::new(etherscan::Etherscan::new(feed, key)?),
        ProviderKind::Evm => Box::new(evm::Evm::new(feed, key)?),
        ProviderKind::FearGreed => Box::new(fear_greed::FearGreed::new(feed)?),
        ProviderKind::Json => Box::new(json::Json::new(feed, secrets)?),
        ProviderKind::Synthetic | ProviderKind::Push => {
            let message = format!("is {}, which has no upstream to poll", feed.provider);
            return Err(Mistake::at("provider", message).into());
        }
    };
    for secret in secrets.iter() {
        provider = Box::new(withhold::Withhold::new(provider, secret.clone()));
    }
    Ok(provider)
}

/// One API's requests and answers for one feed.
pub trait Provider: Send {
    /// Requests that must be answered before polling can begin, such as a look-up of ids. Asked
    /// again until it is empty: at once after [`Provider::prepared`] has accepted the answers,
    /// since one may lead to the next (pages), with back-off after it has refused one.
    fn preparation(&self) -> Vec<Request> {
        Vec::new()
    }

    /// Takes the answer to one of [`Provider::preparation`].
    ///
    /// # Errors
    /// When the answer is of no use.
    fn prepared(&mut self, request: &Request, response: &Response) -> Result<(), DecodeError> {
        let (_, _) = (request, response);
        Ok(())
    }

    /// The requests of one poll. Everything that can be asked at once is one request.
    fn requests(&self) -> Vec<Request>;

    /// Ticks from the answer to one of [`Provider::requests`].
    ///
    /// # Errors
    /// When the answer is of no use: not what the API promises, or an error that came with status
    /// 200.
    fn decode(&mut self, request: &Request, response: &Response) -> Result<Batch, DecodeError>;

    /// Topics that this feed will publish as far as they are known beforehand, so that they can be
    /// listed, awaited and told as down before the first value.
    fn topics(&self) -> Vec<Topic>;
}
