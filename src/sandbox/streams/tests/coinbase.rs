//! Coinbase as a client hears it.

use super::{
    super::{super::apis::coinbase::Product, coinbase::Session},
    *,
};

fn client() -> Client<Session> {
    Client::new(Session::default())
}

fn subscribe(products: &[&str], channels: Value) -> Value {
    json!({"type": "subscribe", "product_ids": products, "channels": channels})
}

fn of<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages.iter().filter(|message| message["type"] == kind).collect()
}

#[test]
fn both_forms_of_channels_are_taken_and_all_subscriptions_listed() {
    let mut client = client();
    let own = json!({"name": "heartbeat", "product_ids": ["ETH-EUR"]});
    let answer = client.say(&subscribe(&["BTC-USD"], json!(["ticker", own])));
    let heartbeat = json!({"name": "heartbeat", "product_ids": ["ETH-EUR"]});
    let ticker = json!({"name": "ticker", "product_ids": ["BTC-USD"]});
    let listed = json!({"type": "subscriptions", "channels": [heartbeat, ticker]});
    assert_eq!(answer, [listed]);
    let answer = client.say(&subscribe(&["SOL-USD"], json!(["ticker"])));
    assert_eq!(answer[0]["channels"][1]["product_ids"], json!(["BTC-USD", "SOL-USD"]));
}

#[test]
fn a_ticker_comes_when_a_price_moves_and_says_what_the_rest_answers_say() {
    let mut client = client();
    client.say(&subscribe(&["BTC-USD"], json!(["ticker"])));
    let messages = client.steps(50);
    let fields = "best_ask best_ask_size best_bid best_bid_size high_24h last_size low_24h \
                  open_24h price product_id sequence side time trade_id type volume_24h volume_30d";
    assert_eq!(keys(&messages[0]), fields.split(' ').collect::<Vec<_>>());
    let sequence = |message: &Value| message["sequence"].as_u64().unwrap();
    assert!(messages.is_sorted_by(|a, b| sequence(a) < sequence(b)));
    let prices =
        |message: &Value| ["price", "best_bid", "best_ask"].map(|key| message[key].clone());
    assert!(messages.is_sorted_by(|a, b| prices(a) != prices(b)));
    let product = Product::find(&client.market, "BTC-USD");
    let rest = product.unwrap().ticker(&client.market).unwrap();
    let last = messages.last().unwrap();
    assert_eq!((&last["price"], &last["best_bid"]), (&rest.price.into(), &rest.bid.into()));
}

#[test]
fn a_heart_beats_once_a_second_for_each_product() {
    let mut client = client();
    client.say(&subscribe(&["BTC-USD", "ETH-USD"], json!(["heartbeat"])));
    let beats = client.steps(30);
    assert_eq!(of(&beats, "heartbeat").len(), 6);
    assert_eq!(keys(&beats[0]), ["last_trade_id", "product_id", "sequence", "time", "type"]);
    assert_eq!(beats[0]["time"], "2025-09-12T07:18:30.000000Z");
}

#[test]
fn what_is_unsubscribed_stops() {
    let mut client = client();
    client.say(&subscribe(&["BTC-USD", "ETH-USD"], json!(["heartbeat", "ticker"])));
    let leave = |more: Value| {
        let mut message = json!({"type": "unsubscribe"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    client.say(&leave(json!({"channels": ["heartbeat"]})));
    let messages = client.steps(20);
    assert_eq!(of(&messages, "ticker").len(), messages.len());
    client.say(&leave(json!({"channels": ["ticker"], "product_ids": ["BTC-USD"]})));
    assert!(client.steps(20).iter().all(|message| message["product_id"] == "ETH-USD"));
    let answer = client.say(&leave(json!({"product_ids": ["ETH-USD"]})));
    assert_eq!(answer, [json!({"type": "subscriptions", "channels": []})]);
    assert_eq!(client.steps(20).len(), 0);
}

#[test]
fn a_request_with_anything_unknown_in_it_is_refused_as_a_whole() {
    let mut client = client();
    let cases = [
        (subscribe(&["BTC-USD", "NO-USD"], json!(["ticker"])), "NO-USD is not a valid product"),
        (subscribe(&["BTC-USD"], json!(["ticker", "nope"])), "nope is not a valid channel"),
        (
            subscribe(&[], json!(["heartbeat"])),
            "You need to specify at least one product ID for channel heartbeat",
        ),
        (subscribe(&["BTC-USD"], json!([])), "You need to specify at least one channel"),
    ];
    for (message, reason) in cases {
        let error = json!({"type": "error", "message": "Failed to subscribe", "reason": reason});
        assert_eq!(client.say(&message), [error]);
    }
    for text in ["{", "{}", r#"{"type":"hello"}"#] {
        assert_eq!(client.text(text)[0]["type"], "error", "{text}");
    }
    assert_eq!(client.steps(20).len(), 0);
}

#[test]
fn who_has_not_subscribed_within_five_seconds_is_disconnected() {
    let mut idle = client();
    idle.say(&subscribe(&["NO-USD"], json!(["ticker"])));
    assert_eq!(idle.jump(4_999_999), Out::default());
    assert_eq!(idle.jump(1).close.unwrap().code, 1_008);
    let mut busy = client();
    busy.say(&subscribe(&["BTC-USD"], json!(["ticker"])));
    assert_eq!(busy.jump(60_000_000).close, None);
}
