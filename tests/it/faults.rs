//! Upstreams that answer badly, slowly, elsewhere or not at all, beside one that is well.

mod cases;
mod chaos;
mod goaway;
mod memory;
mod servers;
mod tls;
mod wss;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::{Value, json};

use self::cases::Case;
use crate::support::{BadUpstream, Client, Server, eventually, server};

/// A feed of `upstream` that reads rows of symbol, price and time.
fn feed(name: &str, symbol: &str, upstream: &BadUpstream, terms: &str) -> String {
    feed_at(name, symbol, &upstream.url(), terms)
}

fn feed_at(name: &str, symbol: &str, url: &str, terms: &str) -> String {
    format!(
        "name = \"{name}\"\nprovider = \"json\"\nurl = \"{url}/\"\nallow_private = true\n\
         symbols = [\"{symbol}\"]\n{terms}\n\
         [[feeds.topics]]\ntopic = \"price.{{symbol}}\"\neach = \"$[*]\"\n\
         symbol = {{ path = \"$.symbol\" }}\nfields = {{ price = \"$.price\" }}\n\
         ts = {{ path = \"$.ts\", unit = \"ms\" }}"
    )
}

const TERMS: &str = "every = \"200ms\"\ntimeout = \"400ms\"\nstale_after = \"1s\"";

/// All that a client was sent, by topic.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<HashMap<String, Vec<Value>>>>);

impl Log {
    /// Reads until the test ends.
    fn follow(mut client: Client) -> Self {
        let log = Self::default();
        let shared = log.clone();
        tokio::spawn(async move {
            loop {
                let event = client.event().await;
                assert_ne!(event["type"], "gap", "{event}");
                let topic = event["topic"].as_str().unwrap_or_default().to_owned();
                shared.0.lock().entry(topic).or_default().push(event);
            }
        });
        log
    }

    fn of(&self, topic: &str) -> Vec<Value> {
        self.0.lock().get(topic).cloned().unwrap_or_default()
    }

    /// Waits for an event at `from` or later that `wanted` likes, and returns what comes after it.
    async fn find(
        &self,
        topic: &str,
        from: usize,
        wanted: impl Fn(&Value) -> bool,
    ) -> (Value, usize) {
        eventually(topic, || async {
            let log = self.0.lock();
            let events = log.get(topic)?;
            let index = events.iter().skip(from).position(&wanted)? + from;
            Some((events[index].clone(), index + 1))
        })
        .await
    }
}

fn has_price(event: &Value) -> bool {
    event["data"]["price"].is_string()
}

fn is_status(event: &Value) -> bool {
    event["type"] == "status"
}

/// What a client was told of one topic: numbers without a hole, and no price but those that its
/// upstream gave while it was well.
fn only_good(topic: &str, events: &[Value], upstream: &BadUpstream) -> Vec<String> {
    let given: BTreeSet<_> = upstream.given().into_iter().collect();
    let data: Vec<_> = events.iter().filter(|event| has_price(event)).collect();
    for pair in data.windows(2) {
        let (before, after) = (pair[0]["seq"].as_u64().unwrap(), pair[1]["seq"].as_u64().unwrap());
        assert_eq!(after, before + 1, "{topic}: {pair:?}");
    }
    let prices: Vec<_> =
        data.iter().map(|event| event["data"]["price"].as_str().unwrap().to_owned()).collect();
    for price in &prices {
        assert!(given.contains(price), "{topic}: {price} is poison");
    }
    prices
}

/// One case from its first good value to the first one after it. Returns what was not as expected.
async fn through(
    case: Case,
    name: &str,
    symbol: &'static str,
    upstream: &BadUpstream,
    log: &Log,
) -> Option<String> {
    let topic = format!("price.{symbol}.{name}");
    let (_, from) = log.find(&topic, 0, has_price).await;
    let script = case.script;
    upstream.misbehave(move |n| script(symbol, n));
    let not_live = |event: &Value| is_status(event) && event["state"] != "live";
    let (status, from) = log.find(&topic, from, not_live).await;
    let expected = upstream.behave();
    let (first, _) = log.find(&topic, from, has_price).await;
    log.find(&topic, from, |event| is_status(event) && event["state"] == "live").await;
    let right = status["reason"] == case.reason && first["data"]["price"] == expected;
    (!right).then(|| format!("{}: {status}, then {first} for {expected}", case.name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_never_reaches_a_client_and_disturbs_no_other_feed() {
    let trap = BadUpstream::start("TRAP-USD").await;
    let good = BadUpstream::start("GOOD-USD").await;
    let terms = "every = \"100ms\"\ntimeout = \"2s\"\nstale_after = \"2s\"";
    let mut builder = server().feed(&feed("good", "GOOD-USD", &good, terms));
    let mut feeds = Vec::new();
    for (number, case) in cases::all(trap.port()).into_iter().enumerate() {
        let symbol: &'static str = format!("C{number:02}-USD").leak();
        let (name, upstream) = (format!("c{number:02}"), BadUpstream::start(symbol).await);
        builder = builder.feed(&feed(&name, symbol, &upstream, TERMS));
        feeds.push((case, name, symbol, upstream));
    }
    assert!(feeds.len() > 80, "{}", feeds.len());
    let expected: Vec<_> = feeds
        .iter()
        .map(|(case, name, ..)| (case.name, name.clone(), case.reason, case.fault))
        .collect();
    let server = builder.start().await;
    let mut client = server.client().await;
    client.subscribe(&["price.*.*"], json!({"mode": "every"})).await;
    let log = Log::follow(client);
    log.find("price.GOOD-USD.good", 0, has_price).await;

    let upstreams: Vec<_> =
        feeds.iter().map(|(.., symbol, upstream)| (*symbol, upstream.clone())).collect();
    let runs = feeds.into_iter().map(|(case, name, symbol, upstream)| {
        let log = log.clone();
        async move { through(case, &name, symbol, &upstream, &log).await }
    });
    let complaints: Vec<_> = join_all(runs).await.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));

    let events = log.of("price.GOOD-USD.good");
    let given = good.given();
    let prices = only_good("good", &events, &good);
    let begin = given.iter().position(|price| *price == prices[0]).unwrap();
    assert_eq!(given[begin..begin + prices.len()], prices);
    assert!(prices.len() > 10 && events.iter().all(|event| !is_status(event)), "{events:?}");
    for ((symbol, upstream), (_, name, ..)) in upstreams.iter().zip(&expected) {
        let topic = format!("price.{symbol}.{name}");
        only_good(&topic, &log.of(&topic), upstream);
    }
    assert_eq!(trap.accepted(), 0, "a redirect was followed");
    told_by_the_server(&server, &expected).await;
}

/// The feeds' last errors and the counters.
async fn told_by_the_server(server: &Server, expected: &[(&str, String, &str, Option<&str>)]) {
    let page = server.json("/v1/feeds").await;
    let (_, metrics) = server.get("/metrics").await;
    for (case, name, reason, fault) in expected {
        let feeds = page["feeds"].as_array().unwrap();
        let feed = feeds.iter().find(|feed| feed["name"] == **name).unwrap();
        let told = (&feed["last_error"]["reason"], &feed["state"]);
        assert_eq!(told, (&json!(reason), &json!("live")), "{case}: {feed}");
        let start = format!("tickwire_quarantined_total{{feed=\"{name}\",reason=\"");
        for line in metrics.lines().filter_map(|line| line.strip_prefix(&start)) {
            let (counted, count) = line.split_once("\"} ").unwrap();
            assert_eq!(*fault == Some(counted), count != "0", "{case}: {line}");
        }
    }
}
