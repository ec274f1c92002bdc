use super::*;
use crate::{
    hub,
    market::{Decimal, Reason, State},
    telemetry::Telemetry,
};

const SECOND: Micros = 1_000_000;

struct Rig {
    hub: Arc<Hub>,
    consolidator: Consolidator,
}

impl Rig {
    fn new(config: ConsolidateConfig) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let hub = Arc::new(Hub::new(hub::Config::default(), 1, "e".into(), &telemetry));
        let feeds = ["a", "b", "c"].map(Into::into).to_vec();
        Self { consolidator: Consolidator::new(hub.clone(), config, feeds), hub }
    }

    /// `feed` says `price` of `symbol` at `secs`; it is stale 10 s later.
    fn offer(&self, symbol: &str, feed: &str, price: &str, secs: i64) {
        let tick = Tick {
            topic: topic(symbol, feed),
            data: Data::new().with("price", Decimal::parse(price).unwrap()),
            ts: Some(secs),
        };
        self.consolidator.offer(&tick, &feed.into(), secs * SECOND, 10 * SECOND);
    }

    fn sweep(&self, secs: i64) {
        self.consolidator.sweep(secs * SECOND);
        self.hub.sweep(secs * SECOND);
    }

    /// Number, source and data of the consolidated price.
    fn shown(&self, symbol: &str) -> (u64, String, String) {
        let slot = self.hub.topic(&format!("price.{symbol}")).unwrap();
        let head = slot.head(0);
        let last = head.last.unwrap();
        let data = String::from_utf8(last.update.data.to_vec()).unwrap();
        (head.seq, last.update.source.to_string(), data)
    }
}

fn topic(symbol: &str, feed: &str) -> Topic {
    Topic::parse(&format!("price.{symbol}.{feed}")).unwrap()
}

fn shown(seq: u64, source: &str, data: &str) -> (u64, String, String) {
    (seq, source.to_owned(), data.to_owned())
}

#[test]
fn the_first_live_source_in_preferred_then_configured_order_is_chosen() {
    let view = |feed, live| SourceView { feed, live };
    let sources = [view("a", false), view("b", true), view("c", true)];
    let choose = |prefer: &[&str]| {
        let prefer: Vec<_> = prefer.iter().map(|name| (*name).to_owned()).collect();
        choose(&sources, &prefer)
    };
    assert_eq!(choose(&[]), Some(1));
    assert_eq!(choose(&["c"]), Some(2));
    assert_eq!(choose(&["a", "z"]), Some(1));
    assert_eq!(super::choose(&[view("a", false)], &[]), None);
}

#[test]
fn a_source_that_goes_stale_leaves_and_the_next_takes_over() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("BTC-USD", "a", "1", 0);
    rig.offer("BTC-USD", "b", "2", 5);
    assert_eq!(rig.shown("BTC-USD"), shown(2, "a", r#"{"price":"1","sources":2}"#));
    rig.sweep(9);
    assert_eq!(rig.shown("BTC-USD").0, 2);
    rig.sweep(10);
    assert_eq!(rig.shown("BTC-USD"), shown(3, "b", r#"{"price":"2","sources":1}"#));
    rig.offer("BTC-USD", "a", "1.5", 11);
    assert_eq!(rig.shown("BTC-USD"), shown(4, "a", r#"{"price":"1.5","sources":2}"#));
}

#[test]
fn an_unchanged_source_confirms_and_a_changed_second_one_does_not_show() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("BTC-USD", "a", "1", 0);
    rig.offer("BTC-USD", "b", "2", 0);
    rig.offer("BTC-USD", "b", "3", 1);
    rig.offer("BTC-USD", "a", "1", 8);
    rig.sweep(15);
    let head = rig.hub.topic("price.BTC-USD").unwrap().head(15 * SECOND);
    assert_eq!((head.seq, head.status.state), (3, State::Live));
    assert_eq!(rig.shown("BTC-USD").2, r#"{"price":"1","sources":1}"#);
    rig.sweep(18);
    let head = rig.hub.topic("price.BTC-USD").unwrap().head(18 * SECOND);
    assert_eq!((head.seq, head.status.state), (3, State::Stale));
}

#[test]
fn a_source_whose_breaker_is_open_leaves_at_once() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("BTC-USD", "a", "1", 0);
    rig.offer("BTC-USD", "b", "2", 0);
    let open = Trouble { reason: Reason::BreakerOpen, retry_at: None, blocked: true };
    let trouble = |feed: &str| {
        let topic = topic("BTC-USD", feed);
        rig.consolidator.trouble(&topic, &feed.into(), open, SECOND);
        rig.hub.topic("price.BTC-USD").unwrap().head(SECOND).status.state
    };
    assert_eq!(trouble("a"), State::Live);
    assert_eq!(rig.shown("BTC-USD").1, "b");
    assert_eq!(trouble("b"), State::Down);
    rig.offer("BTC-USD", "a", "1", 2);
    let head = rig.hub.topic("price.BTC-USD").unwrap().head(2 * SECOND);
    assert_eq!(head.status.state, State::Live);
}

#[test]
fn a_quote_counts_as_another_only_where_that_is_configured() {
    let rig = Rig::new(ConsolidateConfig::default());
    rig.offer("BTC-USDT", "a", "1", 0);
    assert!(rig.hub.topic("price.BTC-USD").is_none());

    let rig = Rig::new(ConsolidateConfig {
        quote_as: [("USDT".to_owned(), "USD".to_owned())].into(),
        prefer: Vec::new(),
    });
    rig.consolidator.declare(&topic("ETH-USDT", "a"));
    assert!(rig.hub.topic("price.ETH-USD").is_some());
    rig.offer("BTC-USDT", "a", "1", 0);
    assert_eq!(rig.shown("BTC-USD"), shown(1, "a", r#"{"price":"1","sources":1}"#));
    assert_eq!(rig.shown("BTC-USDT").0, 1);
    // In its own quote a source speaks before the same source in a borrowed one.
    rig.offer("BTC-USD", "a", "2", 0);
    assert_eq!(rig.shown("BTC-USD").2, r#"{"price":"2","sources":2}"#);
    assert_eq!(rig.shown("BTC-USDT").2, r#"{"price":"1","sources":1}"#);
}

#[test]
fn what_is_no_price_of_a_source_is_ignored() {
    let rig = Rig::new(ConsolidateConfig::default());
    for text in ["price.BTC-USD", "onchain.bitcoin.fees", "price.nonsense.a", "price.A-B.c.d"] {
        rig.consolidator.declare(&Topic::parse(text).unwrap());
    }
    assert!(rig.consolidator.symbols.is_empty());
}
