//! The generic provider: the README's examples, and what its fixtures cannot say.

use proptest::prelude::*;

use super::*;

#[derive(Deserialize)]
struct Feeds {
    feeds: Vec<FeedConfig>,
}

fn feed(toml: &str) -> FeedConfig {
    toml::from_str(toml).unwrap()
}

fn json(feed: &FeedConfig) -> Box<dyn Provider> {
    build(feed, &Secrets::default()).unwrap()
}

/// The examples of the README's section, as they are written there.
fn examples() -> Vec<FeedConfig> {
    let readme = fs::read_to_string(fixture("", "../../README.md")).unwrap();
    let section = readme.split("### Add a source by configuration").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let blocks = section.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let feeds = blocks.map(|block| toml::from_str::<Feeds>(block).unwrap().feeds);
    feeds.flatten().collect()
}

/// What the README's example `name` makes of an answer of `tests/fixtures/json/<name>.json`.
fn example(name: &str) -> Vec<String> {
    let feed = examples().into_iter().find(|feed| feed.name == name).unwrap();
    let body = fs::read(fixture("json", &format!("{name}.json"))).unwrap();
    let batch = json(&feed).decode(&Request::default(), &response(body)).unwrap();
    assert_eq!(batch.missing, Vec::<String>::new());
    batch.ticks.iter().map(line).collect()
}

#[test]
fn the_readme_has_three_examples() {
    let names: Vec<String> = examples().into_iter().map(|feed| feed.name).collect();
    assert_eq!(names, ["etherscan_gas", "okx", "desk"]);
}

#[test]
fn the_readme_s_first_example_reads_one_topic() {
    assert_eq!(
        example("etherscan_gas"),
        ["onchain.ethereum.gas base_fee=0.496839933 slow=0.496839934 standard=0.496839934 \
          fast=0.563923541"]
    );
}

#[test]
fn the_readme_s_second_example_reads_a_price_of_each_element() {
    assert_eq!(
        example("okx"),
        [
            "price.BTC-USDT.okx price=103663.10 bid=103663.1 ask=103663.2 volume_24h=5912.40213 \
             high_24h=104200.0 low_24h=102710.5 ts=1747407859085000",
            "price.ETH-USDT.okx price=2589.44 bid=2589.43 volume_24h=117333.1 high_24h=2610 \
             low_24h=2541.9 ts=1747407859011000",
        ]
    );
}

#[test]
fn the_readme_s_third_example_posts_and_reads_names_and_ids() {
    assert_eq!(
        example("desk"),
        [
            "market.fear_greed value=int:40 label=Fear ts=1551157200000000",
            "signal.BTC-USD.desk_score value=0.870 state=long ts=1747407859250000",
            "signal.ETH-USD.desk_score value=-1.25 state=flat ts=1747353600000000",
        ]
    );
}

#[test]
fn a_request_has_its_body_and_keeps_its_secrets_apart() {
    let feed = examples().pop().unwrap();
    let secrets = Secrets {
        headers: vec![("x-api-key".into(), Secret::new(KEY))],
        query: vec![("token".into(), Secret::new(KEY))],
        ..Secrets::default()
    };
    let [request] = build(&feed, &secrets).unwrap().requests().try_into().unwrap();
    assert_eq!(request.path, "");
    assert_eq!(request.body.as_deref(), Some(br#"{"want":["mood","scores"]}"#.as_slice()));
    assert_eq!(request.headers, [("accept".into(), "application/json".to_owned())]);
    assert_eq!(request.secret_headers, [("x-api-key".into(), Secret::new(KEY))]);
    assert!(!format!("{request:?}").contains(KEY));
    let echo = format!("{{\"error\":\"no such key: {KEY}\"}}");
    let mut provider = build(&feed, &secrets).unwrap();
    let error = provider.decode(&request, &response(echo)).unwrap_err();
    assert!(!error.message.contains(KEY), "{error}");
}

/// A feed that takes every market it is given.
fn open() -> FeedConfig {
    feed(
        "name = 'o'\nprovider = 'json'\nurl = 'https://a.example/'\n[[topics]]\n\
         topic = 'price.{symbol}'\neach = '$[*]'\nsymbol = { path = '$.s' }\n\
         fields = { price = '$.p' }",
    )
}

#[test]
fn elements_make_topics_and_what_is_no_market_is_told() {
    let body = r#"[{"s":"BTCUSDT","p":1},{"s":"nonsense","p":2},{"p":3},{"s":"eth/eur","p":4}]"#;
    let batch = json(&open()).decode(&Request::default(), &response(body)).unwrap();
    let ticks: Vec<String> = batch.ticks.iter().map(line).collect();
    assert_eq!(ticks, ["price.BTC-USDT.o price=1", "price.ETH-EUR.o price=4"]);
    assert_eq!(
        batch.missing,
        [
            "topics.0: element 1 has \"nonsense\" as a symbol, which is no market without a quote",
            "topics.0: element 2 has no symbol",
        ]
    );
}

#[test]
fn an_upstream_cannot_make_any_number_of_topics() {
    let mut provider = json(&open());
    let mut topics = std::collections::BTreeSet::new();
    for poll in 0..3 {
        let rows = (0..4_000).map(|n| format!("{{\"s\":\"A{poll}X{n}-USD\",\"p\":1}}"));
        let body = format!("[{}]", rows.collect::<Vec<_>>().join(","));
        let batch = provider.decode(&Request::default(), &response(body)).unwrap();
        topics.extend(batch.ticks.into_iter().map(|tick| tick.topic));
        assert!(batch.missing.len() <= 21);
        if poll > 0 {
            assert!(batch.missing[0].contains("beyond the 5000 topics"), "{:?}", batch.missing);
        }
    }
    assert_eq!(topics.len(), 5_000);
}

#[test]
fn an_answer_of_too_many_values_is_refused() {
    let body = format!("[{}1]", "1,".repeat(500_000));
    let error = json(&open()).decode(&Request::default(), &response(body)).unwrap_err();
    assert_eq!(error.message, "the answer has too many values");
}

proptest! {
    #[test]
    fn any_price_keeps_its_digits(digits in "(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?") {
        let body = format!("[{{\"s\":\"BTC-USD\",\"p\":{digits}}}]");
        let batch = json(&open()).decode(&Request::default(), &response(body)).unwrap();
        prop_assert_eq!(line(&batch.ticks[0]), format!("price.BTC-USD.o price={digits}"));
    }

    #[test]
    fn whatever_elements_there_are_each_topic_is_there_once(
        rows in prop::collection::vec(("[A-C]{1,2}-?[UE]?", "[0-9.eE-]{0,4}"), 0..40)
    ) {
        let rows: Vec<String> = rows
            .iter()
            .map(|(symbol, price)| format!("{{\"s\":\"{symbol}\",\"p\":\"{price}\"}}"))
            .collect();
        let body = format!("[{}]", rows.join(","));
        let batch = json(&open()).decode(&Request::default(), &response(body)).unwrap();
        let mut topics: Vec<_> = batch.ticks.iter().map(|tick| &tick.topic).collect();
        topics.sort();
        topics.dedup();
        prop_assert_eq!(topics.len(), batch.ticks.len());
        prop_assert!(batch.ticks.iter().all(|tick| tick.data.decimal("price").is_some()));
    }
}
