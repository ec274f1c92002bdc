use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::{
    hub::{self, Event},
    market::State,
    shutdown::{self, Stage},
    units::now_us,
};

fn feed(toml: &str) -> FeedConfig {
    toml::from_str(toml).unwrap()
}

fn build(feeds: &[&str], sandbox_url: Option<&str>) -> Result<Upstream, BuildError> {
    let telemetry = Telemetry::new().unwrap();
    let hub = Hub::new(hub::Config::default(), 1, "e".into(), &telemetry);
    let deps = Deps {
        hub: Arc::new(hub),
        telemetry,
        sandbox_url: sandbox_url.map(str::to_owned),
        credits: Book::default(),
    };
    let feeds = feeds.iter().map(|toml| feed(toml)).collect();
    Upstream::build(feeds, ConsolidateConfig::default(), deps)
}

const BENCH: &str = "name = 'bench'\nprovider = 'synthetic'\ntopics = 2\nrate = 100";

#[test]
fn a_feed_that_cannot_be_set_up_is_named() {
    for (toml, feed, message) in [
        ("name = 'a.b'\nprovider = 'synthetic'", "a.b", "no dot"),
        ("name = ''\nprovider = 'synthetic'", "", "token"),
        ("name = 'bench'\nprovider = 'synthetic'", "bench", "another feed"),
        ("name = 'x'\nprovider = 'synthetic'\nevery = '0s'", "x", "`every`"),
        ("name = 'x'\nprovider = 'binance'\nbase_url = 'sandbox:/b'", "x", "sandbox"),
        ("name = 'x'\nprovider = 'binance'\nbase_url = 'nonsense'", "x", "no URL"),
        ("name = 'x'\nprovider = 'binance'\nbase_url = 'ftp://a.b'", "x", "scheme"),
        (
            "name = 'x'\nprovider = 'binance'\napi_key = { env = 'TICKWIRE_TEST_UNSET' }",
            "x",
            "is not set",
        ),
    ] {
        let error = build(&[BENCH, toml], None).err().unwrap();
        assert_eq!(error.feed, feed, "{toml}");
        assert!(error.message.contains(message), "{toml}: {error}");
    }
}

#[test]
fn a_key_does_not_go_over_plain_http() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "hunter2").unwrap();
    let key = format!("{{ file = '{}' }}", path.display());
    let json = "name = 'x'\nprovider = 'json'\nurl = 'http://example.org'\n\
                topics = [{ topic = 'a.b', fields = { c = '$' } }]";
    let base = "name = 'x'\nprovider = 'binance'\nbase_url = 'http://example.org'";
    for toml in [
        format!("{base}\napi_key = {key}"),
        format!("{json}\nheaders = {{ x-key = {key} }}"),
        format!("{json}\nquery = {{ key = {key} }}"),
    ] {
        let error = build(&[&toml], None).err().unwrap();
        assert!(error.message.contains("plain http"), "{error}");
    }
    assert!(build(&[json], None).is_ok());
    let stream = "name = 'x'\nprovider = 'binance'\ntransport = 'ws'\nsymbols = ['BTC-USDT']\n\
                  stream_url = 'ws://example.org'";
    let error = build(&[&format!("{stream}\napi_key = {key}")], None).err().unwrap();
    assert!(error.message.contains("plain ws"), "{error}");
    assert!(build(&[stream], None).is_ok());
}

#[test]
fn the_sandbox_is_a_base_url_that_may_be_private() {
    let telemetry = Telemetry::new().unwrap();
    let hub = Hub::new(hub::Config::default(), 1, "e".into(), &telemetry);
    let sandbox_url = Some("http://127.0.0.1:4321".to_owned());
    let builder =
        Builder::new(Deps { hub: Arc::new(hub), telemetry, sandbox_url, credits: Book::default() });
    let target = |base: &str| {
        let toml = format!("name = 'x'\nprovider = 'binance'\nbase_url = '{base}'");
        builder.target(&feed(&toml)).unwrap()
    };
    let sandbox = target("sandbox:/binance");
    assert_eq!(sandbox.base.as_str(), "http://127.0.0.1:4321/binance");
    assert!(sandbox.allow_private);
    assert!(!target("https://api.binance.com").allow_private);
}

#[tokio::test]
async fn feeds_run_report_and_end_together() {
    let upstream = build(&[BENCH], None).unwrap();
    let (health, mut published) = (upstream.health(), upstream.hub.open(0).unwrap());
    let (trigger, shutdown) = shutdown::channel();
    let tasks = Tasks::default();
    assert_eq!(health.feeds(now_us())[0].state, State::Down);
    upstream.start(&tasks, shutdown).unwrap();
    let ten_updates = async {
        let mut updates = 0;
        while updates < 10 {
            published.ready().await;
            let events = std::iter::from_fn(|| published.try_recv().ok());
            updates += events.filter(|event| matches!(event, Event::Update(_))).count();
        }
    };
    timeout(Duration::from_secs(10), ten_updates).await.unwrap();
    let report = &health.feeds(now_us())[0];
    assert_eq!((report.name.as_str(), report.state), ("bench", State::Live));
    assert_eq!(tasks.len(), 2);
    trigger.advance(Stage::Stopping);
    assert!(tasks.join(Duration::from_secs(1)).await);
}
