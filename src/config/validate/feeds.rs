//! The rules of `[[feeds]]`.

use std::collections::{BTreeMap, HashSet};

use super::{Checks, address};
use crate::{
    config::KeyPath,
    market::{Symbol, Topic},
    units::Span,
    upstream::{
        chains,
        config::{BudgetConfig, Demand, FeedConfig, ProviderKind, Topics, Transport, chain_token},
        providers::{self, At},
    },
};

/// The shortest time between polls of any upstream.
const EVERY_MIN: Span = Span::millis(100);

/// The shortest time between polls of an upstream that belongs to somebody else.
const EVERY_MIN_PUBLIC: Span = Span::secs(1);

/// The shortest that what comes by a stream may be fresh.
const STALE_AFTER_MIN_STREAM: Span = Span::secs(3);

/// Longest name: with the longest symbol it still fits a topic of 128 bytes.
const NAME_BYTES_MAX: usize = 64;

impl Checks<'_> {
    /// Checks each feed that could be read, and that names differ.
    pub(super) fn feeds(&mut self, feeds: &[Option<FeedConfig>]) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, feed) in feeds.iter().enumerate() {
            let Some(feed) = feed else { continue };
            let path = KeyPath::root().key("feeds").index(index);
            match names.get(feed.name.as_str()) {
                Some(first) => {
                    let message = format!("{:?} is also the name of feeds[{first}]", feed.name);
                    self.refuse(path.key("name"), message);
                }
                None => {
                    names.insert(&feed.name, index);
                }
            }
            self.feed(feed, &path);
        }
        self.publishers(feeds);
    }

    /// Checks that no topic has two publishers: their values would come in turns, and the silence
    /// of one would make those of the other stale. Prices cannot meet, since their topics end with
    /// the feed's name.
    fn publishers(&mut self, feeds: &[Option<FeedConfig>]) {
        let mut publishers: BTreeMap<Topic, usize> = BTreeMap::new();
        for (index, feed) in feeds.iter().enumerate() {
            let Some(feed) = feed else { continue };
            for topic in providers::topics(feed) {
                let first = *publishers.entry(topic.clone()).or_insert(index);
                let Some(Some(other)) = feeds.get(first) else { continue };
                if first == index || other.name == feed.name {
                    continue;
                }
                let message = format!(
                    "publishes {topic}, as feeds[{first}] ({:?}) does, and their values would be \
                     mixed: leave one of them out",
                    other.name
                );
                self.refuse(KeyPath::root().key("feeds").index(index), message);
                break;
            }
        }
    }

    fn feed(&mut self, feed: &FeedConfig, path: &KeyPath) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let length = feed.name.len();
        if !(1..=NAME_BYTES_MAX).contains(&length) || !feed.name.bytes().all(allowed) {
            let message = format!(
                "{:?} becomes a part of topics: use only A-Z, a-z, 0-9, _ and -, at most \
                 {NAME_BYTES_MAX} of them",
                feed.name
            );
            self.refuse(path.key("name"), message);
        }
        self.stream(feed, path);
        self.polls(feed, path);
        self.symbols(feed, path);
        self.chains(feed, path);
        self.chain(feed, path);
        self.times(feed, path);
        if !(feed.max_jump_pct.is_finite() && feed.max_jump_pct > 0.0) {
            let message = format!("{} is not more than 0; usual is 50", feed.max_jump_pct);
            self.refuse(path.key("max_jump_pct"), message);
        }
        if let Some(url) = &feed.base_url
            && let Err(message) = address::base_url(url, feed.allow_private)
        {
            self.refuse(path.key("base_url"), message);
        }
        if let Some(budget) = &feed.budget {
            self.budget(budget, &path.key("budget"));
        }
        if let Some(secret) = &feed.api_key
            && let Err(message) = secret.read_with(|name| self.environment.get(name).cloned())
        {
            self.refuse(path.key("api_key"), message);
        }
        if feed.provider == ProviderKind::Synthetic {
            self.synthetic(feed, path);
        }
        self.topics(feed, path);
        self.json(feed, path);
        self.push(feed, path);
        self.provider(feed, path);
    }

    /// Checks what the provider itself refuses, by the code that serving sets it up with. What is
    /// said of the same key already is not said again.
    fn provider(&mut self, feed: &FeedConfig, path: &KeyPath) {
        // Topics of another form are refused as such.
        let json = feed.provider == ProviderKind::Json;
        if json && !matches!(feed.topics, Some(Topics::Tables(_)) | None) {
            return;
        }
        for mistake in providers::mistakes(feed) {
            let key = mistake.at.iter().fold(path.clone(), |path, step| match step {
                At::Key(key) => path.key(key),
                At::Index(index) => path.index(*index),
            });
            let told = self
                .found
                .iter()
                .any(|error| !json && (error.key.starts_with(&key) || key.starts_with(&error.key)));
            if !told {
                self.refuse(key, mistake.message);
            }
        }
    }

    /// Checks what concerns polls alone: an option that is not applied must not look as if it were.
    fn polls(&mut self, feed: &FeedConfig, path: &KeyPath) {
        let asked = !matches!(feed.provider, ProviderKind::Synthetic | ProviderKind::Push);
        let polled = asked && feed.transport == Transport::Rest;
        let how = if asked { "with a stream" } else { feed.provider.name() };
        let subscribed = feed.demand == Demand::Subscribed;
        for (key, chosen) in [("demand", subscribed), ("adaptive", feed.adaptive)] {
            if chosen && !polled {
                self.refuse(path.key(key), format!("a {how} feed is not polled: leave it out"));
            }
        }
        let (every, stale_after) = (feed.every, feed.stale_after());
        if feed.adaptive && polled && stale_after.0 / 3 <= every.0 {
            let message = format!(
                "has no effect: the interval grows to a third of stale_after = {stale_after} at \
                 most, which must be more than every = {every}"
            );
            self.refuse(path.key("adaptive"), message);
        }
    }

    fn stream(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if feed.transport == Transport::Rest {
            if feed.stream_url.is_some() {
                let message = "only a feed with transport = \"ws\" has a stream";
                self.refuse(path.key("stream_url"), message);
            }
            return;
        }
        if feed.provider.stream().is_none() {
            let message = format!(
                "{} has no stream, only binance, coinbase and kraken have: use rest",
                feed.provider
            );
            self.refuse(path.key("transport"), message);
            return;
        }
        if feed.stale_after() < STALE_AFTER_MIN_STREAM {
            let message = format!(
                "{} is less than {STALE_AFTER_MIN_STREAM}: a venue speaks about once a second, and \
                 its values would be stale in between",
                feed.stale_after()
            );
            self.refuse(path.key("stale_after"), message);
        }
        match &feed.stream_url {
            Some(url) => {
                if let Err(message) = address::stream_url(url, feed.allow_private) {
                    self.refuse(path.key("stream_url"), message);
                }
            }
            // Polls that go elsewhere must not come with a stream that goes to the internet.
            None if feed.base_url.as_deref().is_some_and(|url| !address::is_sandbox(url)) => {
                let message = "must be given where base_url is: its stream may be elsewhere too, \
                               as in stream_url = \"wss://data-stream.binance.vision/stream\"";
                self.refuse(path.key("stream_url"), message);
            }
            None => {}
        }
    }

    fn symbols(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if feed.symbols.is_empty() && feed.needs_symbols() {
            let message = format!(
                "a {} feed must say what to fetch, as in symbols = [\"BTC-USD\"]",
                feed.provider
            );
            self.refuse(path.key("symbols"), message);
        }
        let mut seen = HashSet::new();
        for (index, symbol) in feed.symbols.iter().enumerate() {
            let at = path.key("symbols").index(index);
            if let Err(message) = canonical(symbol) {
                self.refuse(at, message);
            } else if !seen.insert(symbol) {
                self.refuse(at, format!("{symbol:?} is listed twice"));
            }
        }
        for symbol in feed.ids.keys() {
            if let Err(message) = canonical(symbol) {
                self.refuse(path.key("ids").key(symbol), message);
            }
        }
    }

    fn chains(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if !feed.chains.is_empty() && !feed.is_of_chains() {
            let message = "only endpoint = \"chains\" of defillama has chains".to_owned();
            self.refuse(path.key("chains"), message);
        }
        for (index, chain) in feed.chains.iter().enumerate() {
            if chain_token(chain).is_none() {
                let message = format!(
                    "{chain:?} cannot become a part of a topic: write DefiLlama's name of the \
                     chain, as in \"ethereum\" or \"OP Mainnet\""
                );
                self.refuse(path.key("chains").index(index), message);
            }
        }
    }

    fn chain(&mut self, feed: &FeedConfig, path: &KeyPath) {
        if let Some(chain) = &feed.chain {
            if !feed.provider.takes_chain() {
                let message =
                    format!("a {} feed has no choice of chains: leave it out", feed.provider);
                self.refuse(path.key("chain"), message);
            } else if let Err(message) = chains::check(feed.provider, chain) {
                self.refuse(path.key("chain"), message);
            }
        }
        if feed.provider == ProviderKind::Evm && feed.base_url.is_none() {
            let message = "an evm feed must say which node to ask, as in \
                           base_url = \"https://ethereum-rpc.publicnode.com\"";
            self.refuse(path.key("base_url"), message);
        }
    }

    fn times(&mut self, feed: &FeedConfig, path: &KeyPath) {
        let every = feed.every;
        // The longer bound protects other people's servers; the sandbox and this machine are one's
        // own.
        let own =
            feed.base_url().is_none_or(|url| address::is_sandbox(url) || address::is_loopback(url));
        if every < EVERY_MIN {
            self.refuse(path.key("every"), format!("{every} is less than {EVERY_MIN}"));
        } else if every < EVERY_MIN_PUBLIC && !own {
            let message = format!(
                "{every} is less than {EVERY_MIN_PUBLIC}, which only the sandbox and loopback \
                 addresses may be asked"
            );
            self.refuse(path.key("every"), message);
        }
        if feed.timeout == Span::default() {
            self.refuse(path.key("timeout"), "must be longer than 0s; usual is 10s");
        }
        // What is pushed has no pace of ours.
        if feed.provider != ProviderKind::Push && feed.stale_after() < every {
            let message = format!(
                "{} is less than every = {every}: each value would be stale before the next \
                 poll; usual is five times every",
                feed.stale_after()
            );
            self.refuse(path.key("stale_after"), message);
        }
    }

    fn budget(&mut self, budget: &BudgetConfig, path: &KeyPath) {
        if budget.per_minute == 0 {
            self.refuse(path.key("per_minute"), "must be at least 1; with 0 nothing is asked");
        }
        if budget.weight == 0 {
            self.refuse(path.key("weight"), "must be at least 1, the cost of one request");
        } else if budget.weight > budget.per_minute && budget.per_minute > 0 {
            let message = format!(
                "{} is more than per_minute = {}: no request would ever fit",
                budget.weight, budget.per_minute
            );
            self.refuse(path.key("weight"), message);
        }
        let month = budget.per_month;
        if month.is_some_and(|month| month < u64::from(budget.weight.max(1))) {
            let message = "is less than the cost of one request; leave it out for no monthly limit";
            self.refuse(path.key("per_month"), message);
        }
    }

    fn synthetic(&mut self, feed: &FeedConfig, path: &KeyPath) {
        for (key, value, range) in [
            ("topics", feed.topic_count(), 1..=100_000),
            ("rate", usize::try_from(feed.rate).unwrap_or(usize::MAX), 1..=1_000_000),
            ("payload_bytes", feed.payload_bytes, 64..=65_536),
        ] {
            if !range.contains(&value) {
                let message =
                    format!("{value} is not between {} and {}", range.start(), range.end());
                self.refuse(path.key(key), message);
            }
        }
    }
}

/// Whether a symbol is written as topics write it.
fn canonical(text: &str) -> Result<(), String> {
    match Symbol::parse(text) {
        Some(symbol) if symbol.as_str() == text => Ok(()),
        Some(symbol) => Err(format!("{text:?} is not canonical, write \"{symbol}\"")),
        None => Err(format!("{text:?} is not a market, write BASE-QUOTE as in \"BTC-USD\"")),
    }
}
