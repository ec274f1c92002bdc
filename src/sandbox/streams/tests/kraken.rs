//! Kraken as a client hears it.

use super::{
    super::{super::apis::kraken::Pair, kraken::Session},
    *,
};

fn client() -> Client<Session> {
    Client::new(Session::default())
}

fn request(method: &str, symbols: &[&str], more: Value) -> Value {
    let mut params = json!({"channel": "ticker", "symbol": symbols});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"method": method, "params": params, "req_id": 7})
}

fn subscribe(symbols: &[&str]) -> Value {
    request("subscribe", symbols, json!({}))
}

#[test]
fn a_connection_begins_with_the_status() {
    let greeting = client().greeting;
    assert_eq!(
        (&greeting[0]["channel"], &greeting[0]["type"]),
        (&"status".into(), &"update".into())
    );
    let status = &greeting[0]["data"][0];
    assert_eq!(keys(status), ["api_version", "connection_id", "system", "version"]);
    assert_eq!((&status["system"], &status["api_version"]), (&"online".into(), &"v2".into()));
    assert!(status["connection_id"].is_u64());
}

#[test]
fn each_symbol_has_an_answer_then_come_the_snapshots() {
    let mut client = client();
    let answers = client.say(&subscribe(&["BTC/USD", "X/Y", "XBT/USD"]));
    let time = "2025-09-12T07:18:29.100000Z";
    let error = |symbol: &str| {
        json!({"method": "subscribe", "success": false, "symbol": symbol, "req_id": 7,
               "error": format!("Currency pair not supported {symbol}"),
               "time_in": time, "time_out": time})
    };
    let result = json!({"channel": "ticker", "symbol": "BTC/USD", "snapshot": true});
    let ack = json!({"method": "subscribe", "result": result, "success": true, "req_id": 7,
                     "time_in": time, "time_out": time});
    assert_eq!(answers[..3], [ack, error("X/Y"), error("XBT/USD")]);
    let [snapshot] = &answers[3..] else { panic!("{answers:?}") };
    assert_eq!((&snapshot["channel"], &snapshot["type"]), (&"ticker".into(), &"snapshot".into()));
    let fields = "ask ask_qty bid bid_qty change change_pct high last low symbol timestamp volume \
                  vwap";
    assert_eq!(keys(&snapshot["data"][0]), fields.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn prices_are_numbers_with_the_digits_of_the_market() {
    let mut client = client();
    let subscribe = subscribe(&["BTC/USD", "PEPE/USD"]).to_string();
    let out = client.ask(|session, at| super::Session::hear(session, &subscribe, at));
    let digits = |text: &str| {
        let last = text.split_once(r#""last":"#).unwrap().1.split(',').next().unwrap();
        last.split_once('.').unwrap().1.len()
    };
    assert_eq!(digits(&out.messages[2]), 2);
    assert_eq!(digits(&out.messages[3]), 10);
}

#[test]
fn a_ticker_says_what_the_market_says_at_that_moment() {
    let mut client = client();
    client.say(&request("subscribe", &["ETH/EUR"], json!({"event_trigger": "bbo"})));
    let update = client.steps(50).pop().unwrap();
    let pair = Pair::find(&client.market, "ETH/EUR").unwrap();
    let quote = pair.quote(&client.market).unwrap();
    for (key, value) in [("bid", quote.bid), ("ask", quote.ask), ("last", quote.price)] {
        let told = update["data"][0][key].as_f64().unwrap();
        assert!((told - value).abs() < 1e-9, "{key} {told} {value}");
    }
}

#[test]
fn updates_follow_the_trigger() {
    let mut trades = client();
    trades.say(&subscribe(&["SHIB/USD"]));
    let last = |message: &Value| message["data"][0]["last"].to_string();
    let messages = trades.steps(50);
    let updates: Vec<_> = messages.iter().filter(|m| m["channel"] == "ticker").collect();
    assert!(updates.iter().all(|update| update["type"] == "update"));
    assert!(updates.is_sorted_by(|a, b| last(a) != last(b)));
    let mut bbo = client();
    bbo.say(&request("subscribe", &["SHIB/USD"], json!({"event_trigger": "bbo"})));
    assert!(bbo.steps(50).len() >= updates.len());
}

#[test]
fn without_a_snapshot_the_first_message_is_an_update() {
    let mut client = client();
    let answers = client.say(&request("subscribe", &["BTC/USD"], json!({"snapshot": false})));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["result"]["snapshot"], false);
    assert_eq!(client.steps(20)[0]["type"], "update");
}

#[test]
fn a_heartbeat_comes_after_a_second_of_silence_and_only_with_a_subscription() {
    let mut quiet = client();
    assert_eq!(quiet.steps(50).len(), 0);
    quiet.say(&subscribe(&["BTC/USD"]));
    // Time passes and the market stands still.
    let step = |client: &mut Client<Session>| {
        client.passed_us += 100_000;
        parsed(client.ask(super::Session::tick))
    };
    let beats: Vec<Value> = (0..30).flat_map(|_| step(&mut quiet)).collect();
    assert_eq!(beats, vec![json!({"channel": "heartbeat"}); 3]);
}

#[test]
fn a_ping_is_answered_with_its_number() {
    let answer = client().say(&json!({"method": "ping", "req_id": 101}));
    assert_eq!(keys(&answer[0]), ["method", "req_id", "time_in", "time_out"]);
    assert_eq!((&answer[0]["method"], &answer[0]["req_id"]), (&"pong".into(), &101.into()));
    let answer = client().say(&json!({"method": "ping"}));
    assert_eq!(keys(&answer[0]), ["method", "time_in", "time_out"]);
}

#[test]
fn what_is_unsubscribed_stops_and_can_be_had_again() {
    let mut client = client();
    client.say(&subscribe(&["BTC/USD", "ETH/USD"]));
    assert_eq!(client.say(&subscribe(&["BTC/USD"]))[0]["error"], "Already subscribed");
    let answers = client.say(&request("unsubscribe", &["BTC/USD", "SOL/USD"], json!({})));
    assert_eq!(answers[0]["result"], json!({"channel": "ticker", "symbol": "BTC/USD"}));
    assert_eq!(answers[1]["error"], "Subscription Not Found");
    let about = |message: &Value| message["data"][0]["symbol"] == "BTC/USD";
    assert!(!client.steps(30).iter().any(about));
    assert_eq!(client.say(&subscribe(&["BTC/USD"]))[1]["type"], "snapshot");
    assert!(client.steps(30).iter().any(about));
}

#[test]
fn what_cannot_be_read_is_refused() {
    let mut client = client();
    let cases = [
        (json!([]), "Malformed request"),
        (json!({"method": "ping", "req_id": "a"}), "Malformed request"),
        (json!({"method": "dance"}), "Method not supported"),
        (json!({"method": "subscribe"}), "Malformed request"),
        (
            json!({"method": "subscribe", "params": {"channel": "book"}}),
            "Channel not supported book",
        ),
        (subscribe(&[]), "Symbol(s) missing"),
        (request("subscribe", &["BTC/USD"], json!({"event_trigger": "x"})), "Event trigger not s"),
        (request("subscribe", &["BTC/USD"], json!({"snapshot": 1})), "Snapshot must be a boolean"),
    ];
    for (message, error) in cases {
        let answers = client.say(&message);
        assert_eq!((answers.len(), &answers[0]["success"]), (1, &json!(false)), "{message}");
        assert!(answers[0]["error"].as_str().unwrap().starts_with(error), "{answers:?}");
    }
    assert_eq!(client.text("{")[0]["error"], "Malformed request");
}
