//! What the types cannot say: bounds, and how keys agree with one another.

mod address;
mod feeds;
mod json;
mod push;

use std::collections::BTreeMap;

use super::{Config, ConfigError, KeyPath, document::Document, read::Reading};
use crate::{
    access, delivery, hub,
    sandbox::config as sandbox,
    server,
    units::{ByteSize, Span},
    upstream::config::ConsolidateConfig,
};

/// Everything that the rules refuse in what could be read. A section in which `unread` has an error
/// is passed over, since its values are not the ones that were meant.
pub(super) fn validate(
    document: &Document,
    environment: &BTreeMap<String, String>,
    reading: &Reading,
    unread: &[ConfigError],
) -> Vec<ConfigError> {
    let mut checks = Checks { document, environment, found: Vec::new() };
    if let Some(config) = &reading.config {
        checks.sections(config);
    }
    let mut found = std::mem::take(&mut checks.found);
    found.retain(|error| !unread.iter().any(|other| other.key.section() == error.key.section()));
    checks.feeds(&reading.feeds);
    found.append(&mut checks.found);
    found
}

/// The rules, with what they need to name a place, and what they found.
struct Checks<'a> {
    document: &'a Document,
    environment: &'a BTreeMap<String, String>,
    found: Vec<ConfigError>,
}

impl Checks<'_> {
    fn refuse(&mut self, key: KeyPath, message: impl Into<String>) {
        self.found.push(self.document.error(key, message));
    }

    /// Notes `message` at the dotted `key` unless `holds`.
    fn require(&mut self, holds: bool, key: &str, message: impl Into<String>) {
        if !holds {
            self.refuse(KeyPath::dotted(key), message);
        }
    }

    fn sections(&mut self, config: &Config) {
        self.server(&config.server);
        self.limits(&config.limits);
        self.delivery(&config.delivery);
        self.hub(&config.hub);
        self.sandbox(&config.sandbox);
        let dir = &config.upstream.state_dir;
        let named = dir.as_ref().is_none_or(|dir| !dir.as_os_str().is_empty());
        let message = "names no directory; leave it out to count months in memory only";
        self.require(named, "upstream.state_dir", message);
        self.consolidate(&config.consolidate);
    }

    fn server(&mut self, server: &server::Config) {
        let listen = server.listen;
        self.require(
            listen.ip().to_canonical().is_loopback() || server.allow_anonymous,
            "server.listen",
            format!(
                "{listen} can be reached from other machines and every client is anonymous: \
                 listen on 127.0.0.1:{} behind a reverse proxy, or set \
                 server.allow_anonymous = true to serve strangers",
                listen.port()
            ),
        );
        for (index, origin) in server.public_origins.iter().enumerate() {
            if let Err(message) = address::origin(origin) {
                self.refuse(KeyPath::dotted("server.public_origins").index(index), message);
            }
        }
        for (key, span) in [
            ("server.drain_timeout", server.drain_timeout),
            ("server.ping_interval", server.ping_interval),
        ] {
            self.require(span > Span::default(), key, "must be longer than 0s");
        }
        self.require(server.shards <= 64, "server.shards", "at most 64; 0 means one per core");
    }

    fn limits(&mut self, limits: &access::Limits) {
        for (key, zero) in [
            ("limits.connections", limits.connections == 0),
            ("limits.per_ip", limits.per_ip == 0),
            ("limits.topics", limits.topics == 0),
            ("limits.topics_per_request", limits.topics_per_request == 0),
            ("limits.requests_per_s", limits.requests_per_s == 0),
            ("limits.matched_topics", limits.matched_topics == 0),
        ] {
            self.require(!zero, key, "must be at least 1; with 0 nobody could do anything");
        }
        self.require(
            (ByteSize::kib(1)..=ByteSize::mib(16)).contains(&limits.message_bytes),
            "limits.message_bytes",
            format!("{} is not between 1KiB and 16MiB", limits.message_bytes),
        );
    }

    fn delivery(&mut self, delivery: &delivery::Config) {
        self.require(
            delivery.queue_updates >= 1,
            "delivery.queue_updates",
            "must be at least 1; with 0 every update would be dropped",
        );
        self.require(
            delivery.queue_bytes >= ByteSize::kib(16),
            "delivery.queue_bytes",
            format!("{} is less than 16KiB, the least that is useful", delivery.queue_bytes),
        );
        self.require(
            delivery.coalesce <= Span::secs(1),
            "delivery.coalesce",
            format!("{} is more than 1s; usual are 0ms to 20ms", delivery.coalesce),
        );
        self.require(
            delivery.coalesce_latest <= Span::secs(1),
            "delivery.coalesce_latest",
            format!("{} is more than 1s; usual are 0ms to 50ms", delivery.coalesce_latest),
        );
        self.require(
            delivery.write_deadline >= Span::millis(100),
            "delivery.write_deadline",
            format!("{} is less than 100ms; usual is 5s", delivery.write_deadline),
        );
    }

    fn hub(&mut self, hub: &hub::Config) {
        self.require(
            hub.history >= 1,
            "hub.history",
            "must be at least 1; every resume would fail with 0",
        );
    }

    fn sandbox(&mut self, sandbox: &sandbox::Config) {
        self.require(
            (0.0..=10.0).contains(&sandbox.volatility),
            "sandbox.volatility",
            format!("{} is not between 0 and 10; 0.6 is 60 % a year", sandbox.volatility),
        );
        for (index, fault) in sandbox.faults.iter().enumerate() {
            let path = KeyPath::dotted("sandbox.faults").index(index);
            if !(0.0..=1.0).contains(&fault.probability) {
                let message = format!("{} is not between 0 and 1", fault.probability);
                self.refuse(path.key("probability"), message);
            }
            if !fault.path.starts_with('/') {
                let message = format!("must begin with /, for example \"/{}\"", fault.path);
                self.refuse(path.key("path"), message);
            }
        }
    }

    fn consolidate(&mut self, consolidate: &ConsolidateConfig) {
        let names = feed_names(self.document);
        let named = consolidate
            .prefer
            .iter()
            .enumerate()
            .map(|(index, name)| (name, KeyPath::dotted("consolidate.prefer").index(index)));
        let weighed = consolidate.weights.keys();
        let weighed = weighed.map(|name| (name, KeyPath::dotted("consolidate.weights").key(name)));
        for (name, path) in named.chain(weighed) {
            if !names.contains(&name.as_str()) {
                let message = format!("no feed is named {name:?}; feeds are: {}", names.join(", "));
                self.refuse(path, message);
            }
        }
        for (name, weight) in &consolidate.weights {
            if !(1..=WEIGHT_MAX).contains(weight) {
                let message = format!("{weight} is not between 1 and {WEIGHT_MAX}; usual is 1");
                self.refuse(KeyPath::dotted("consolidate.weights").key(name), message);
            }
        }
        let pct = consolidate.max_deviation_pct;
        if !(pct.is_finite() && pct > 0.0) {
            let message = format!("{pct} is not more than 0; usual is 5");
            self.refuse(KeyPath::dotted("consolidate.max_deviation_pct"), message);
        }
        for (from, to) in &consolidate.quote_as {
            if ![from, to].into_iter().all(|name| is_asset(name)) {
                let message = format!(
                    "{from:?} as {to:?}: a quote is upper-case letters and digits, \
                     for example {{ USDT = \"USD\" }}"
                );
                self.refuse(KeyPath::dotted("consolidate.quote_as").key(from), message);
            }
        }
    }
}

/// The most that a source's price counts: the weights of many add up in a whole number.
const WEIGHT_MAX: u32 = 1_000_000;

/// The feeds' names as they are written, also of feeds that cannot be read otherwise.
fn feed_names(document: &Document) -> Vec<&str> {
    let feeds = document.table().get("feeds");
    let feeds = feeds.and_then(toml::Value::as_array).into_iter().flatten();
    feeds.filter_map(|feed| feed.get("name")?.as_str()).collect()
}

fn is_asset(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    !name.is_empty() && name.bytes().all(allowed)
}
