//! Holds every stream against `tests/fixtures/<provider>/stream.toml`: what it says on a new
//! connection, and what it makes of one message after the other.

use proptest::prelude::*;

use super::{any_answer::damaged, *};
use crate::upstream::providers::stream::{self, Confirmed, Heard, StreamProvider};

const STREAMS: [&str; 3] = ["binance", "coinbase", "kraken"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Streams {
    feeds: BTreeMap<String, Opening>,
    cases: Vec<Talk>,
}

/// A configuration, and what it makes the provider say and announce.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    config: FeedConfig,
    opened: Option<Vec<String>>,
    topics: Option<Vec<String>>,
}

/// What is heard on one connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Talk {
    feed: String,
    says: Vec<Saying>,
}

/// One message, and what it means. A text that is not JSON begins with no brace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saying {
    text: String,
    #[serde(default)]
    ticks: Vec<String>,
    /// A topic, or `all`.
    confirmed: Option<String>,
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    send: Vec<String>,
    #[serde(default)]
    ignored: u64,
    #[serde(default)]
    closing: bool,
    refused: Option<String>,
    error: Option<String>,
}

fn streams(provider: &str) -> Streams {
    let text = fs::read_to_string(fixture(provider, "stream.toml")).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{provider}: {error}"))
}

fn made(config: &FeedConfig) -> Box<dyn StreamProvider> {
    stream::build(config).unwrap()
}

fn told(error: &DecodeError) -> String {
    format!("{}: {}", error.reason.as_str(), error.message)
}

fn check(place: &str, heard: Result<Heard, DecodeError>, said: &Saying) {
    let heard = match heard {
        Ok(heard) => heard,
        Err(error) => {
            assert_eq!(Some(told(&error)), said.error, "{place}");
            return;
        }
    };
    assert_eq!(None, said.error, "{place}");
    assert_eq!(heard.ticks.iter().map(line).collect::<Vec<_>>(), said.ticks, "{place}");
    let confirmed = match heard.confirmed {
        Confirmed::Nothing => None,
        Confirmed::One(topic) => Some(topic.to_string()),
        Confirmed::All => Some("all".to_owned()),
    };
    assert_eq!(confirmed, said.confirmed, "{place}");
    assert_eq!(heard.missing, said.missing, "{place}");
    assert_eq!(heard.send, said.send, "{place}");
    assert_eq!((heard.ignored, heard.closing), (said.ignored, said.closing), "{place}");
    assert_eq!(heard.refused.as_ref().map(told), said.refused, "{place}");
}

#[test]
fn every_stream_asks_for_what_its_configuration_says() {
    for name in STREAMS {
        for (feed, expected) in streams(name).feeds {
            let mut provider = made(&expected.config);
            let place = format!("{name} {feed}");
            if let Some(opened) = expected.opened {
                assert_eq!(provider.opened(), opened, "{place}");
            }
            let polled = super::provider(&expected.config).topics();
            assert_eq!(provider.topics(), polled, "{place}");
            if let Some(topics) = expected.topics {
                let own: Vec<String> = provider.topics().iter().map(ToString::to_string).collect();
                assert_eq!(own, topics, "{place}");
            }
        }
    }
}

#[test]
fn every_message_means_what_its_case_says() {
    for name in STREAMS {
        let Streams { feeds, cases } = streams(name);
        for (index, case) in cases.iter().enumerate() {
            let mut provider = made(&feeds[&case.feed].config);
            drop(provider.opened());
            for (number, said) in case.says.iter().enumerate() {
                let place = format!("{name} case {index} message {number}");
                check(&place, provider.read(&response(said.text.clone())), said);
            }
        }
    }
}

/// A fall back would otherwise show: a client sees fields come and go.
#[test]
fn a_stream_has_the_fields_that_the_polls_have() {
    let fields = |ticks: &[String]| -> Vec<String> {
        let words = ticks[0].split(' ').skip(1).filter(|word| !word.starts_with("ts="));
        words.map(|word| word.split('=').next().unwrap().to_owned()).collect()
    };
    for (name, endpoints) in [
        ("binance", ["ticker_24hr", "ticker_price", "book_ticker"].as_slice()),
        ("coinbase", &["ticker", "stats"]),
        ("kraken", &["ticker"]),
    ] {
        let (polled, streamed) = (cases(name), streams(name));
        for endpoint in endpoints {
            let asks = |config: &FeedConfig| {
                config.endpoint.as_deref().unwrap_or(endpoints[0]) == *endpoint
            };
            let of_polls = polled
                .cases
                .iter()
                .filter(|case| asks(&polled.feeds[&case.feed].config) && !case.ticks.is_empty())
                .map(|case| fields(&case.ticks))
                .max_by_key(Vec::len);
            let of_stream = streamed
                .cases
                .iter()
                .filter(|case| asks(&streamed.feeds[&case.feed].config))
                .flat_map(|case| &case.says)
                .filter(|said| !said.ticks.is_empty())
                .map(|said| fields(&said.ticks))
                .max_by_key(Vec::len);
            assert_eq!(of_polls, of_stream, "{name} {endpoint}");
            assert!(of_polls.is_some(), "{name} {endpoint}");
        }
    }
}

#[test]
fn a_long_list_is_asked_for_in_batches_within_the_limits() {
    for (name, count, batch) in
        [("binance", 1024_usize, 100), ("coinbase", 1000, 50), ("kraken", 450, 100)]
    {
        let symbols: Vec<String> = (0..count).map(|number| format!("\"C{number}-USDT\"")).collect();
        let config = format!(
            "name = 'x'\nprovider = '{name}'\nsymbols = [{}]\ntransport = 'ws'",
            symbols.join(",")
        );
        let mut provider = made(&toml::from_str(&config).unwrap());
        let messages = provider.opened();
        assert_eq!(messages.len(), count.div_ceil(batch), "{name}");
        assert!(messages.iter().all(|message| message.len() < 4096), "{name}");
        let all = messages.concat().to_ascii_lowercase();
        assert_eq!(all.matches("usdt").count(), count, "{name}");
        let per_second = Duration::from_secs(1).as_secs_f64() / provider.terms().gap.as_secs_f64();
        let allowed = if name == "binance" { 5.0 } else { 10.0 };
        assert!(per_second <= allowed, "{name}: {per_second} messages a second");
    }
}

#[test]
fn more_symbols_than_a_connection_carries_are_refused() {
    let symbols: Vec<String> = (0..1025).map(|number| format!("\"C{number}-USDT\"")).collect();
    let config = format!("name = 'x'\nprovider = 'binance'\nsymbols = [{}]", symbols.join(","));
    let error = stream::build(&toml::from_str(&config).unwrap()).err().unwrap();
    assert!(error.contains("carries 1024"), "{error}");
}

#[test]
fn what_has_no_stream_is_refused() {
    let config = toml::from_str("name = 'x'\nprovider = 'mempool'").unwrap();
    assert!(stream::build(&config).err().unwrap().contains("no stream"));
}

/// Reads the message in every stream and checks what holds for any message at all.
fn holds_for(body: &[u8]) -> Result<(), TestCaseError> {
    for name in STREAMS {
        for feed in streams(name).feeds.values() {
            let mut provider = made(&feed.config);
            drop(provider.opened());
            let topics = provider.topics();
            // Twice, since a first one may be remembered.
            for _ in 0..2 {
                match provider.read(&response(body.to_vec())) {
                    Ok(heard) => {
                        for tick in &heard.ticks {
                            prop_assert!(topics.contains(&tick.topic) && !tick.data.is_empty());
                        }
                        prop_assert!(heard.missing.iter().all(|text| text.len() < 300));
                        prop_assert!(heard.send.len() <= 1);
                    }
                    Err(error) => {
                        prop_assert!(error.message.chars().count() <= 150);
                        prop_assert!(!error.message.chars().any(char::is_control));
                    }
                }
            }
        }
    }
    Ok(())
}

fn messages() -> Vec<Vec<u8>> {
    let talks = STREAMS.iter().flat_map(|name| streams(name).cases);
    talks.flat_map(|talk| talk.says).map(|said| said.text.into_bytes()).collect()
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    for part in ["[", "{\"data\":", "{\"channel\":\"ticker\",\"data\":[", "[{\"id\":"] {
        holds_for(part.repeat(50_000).as_bytes()).unwrap();
    }
}

proptest! {
    #[test]
    fn no_bytes_break_a_stream(body in prop::collection::vec(any::<u8>(), 0..300)) {
        holds_for(&body)?;
    }

    #[test]
    fn no_damaged_message_breaks_a_stream(body in damaged(messages())) {
        holds_for(&body)?;
    }
}
