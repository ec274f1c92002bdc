//! Binance as a client hears it.

use super::{
    super::{
        super::apis::binance::{Full, Pair},
        binance::Session,
    },
    *,
};

fn client(streams: &str) -> Client<Session> {
    Client::new(Session::new(true, streams).unwrap())
}

fn streams(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["stream"].as_str().unwrap()).collect()
}

#[test]
fn a_ticker_comes_once_a_second_in_letters_that_mean_what_the_rest_answer_says() {
    let mut client = client("btcusdt@ticker");
    let messages = client.steps(30);
    assert_eq!(streams(&messages), ["btcusdt@ticker"; 3]);
    let data = &messages[0]["data"];
    let letters = "A B C E F L O P Q a b c e h l n o p q s v w x";
    assert_eq!(keys(data), letters.split(' ').collect::<Vec<_>>());
    assert_eq!((&data["e"], &data["s"]), (&json!("24hrTicker"), &json!("BTCUSDT")));
    assert_eq!(data["E"], json!(1_757_661_510_000_i64), "at the whole second");
    let last = &messages[2]["data"];
    let mut market = Market::new(1, 0.6, &assets::select(&[]).unwrap(), EPOCH);
    market.advance_to(29);
    let rest = Full::of(&market, Pair::find(&market, "BTCUSDT").unwrap());
    assert_eq!(last["c"], rest.mini.last_price);
    assert_eq!(last["b"], rest.bid_price);
    assert_eq!(last["L"], rest.mini.last_id);
}

#[test]
fn a_mini_ticker_is_shorter_and_a_book_moves_with_every_step() {
    let mut client = client("ethusdt@miniTicker/ethusdt@bookTicker");
    let messages = client.steps(10);
    let (mini, books): (Vec<&Value>, Vec<&Value>) =
        messages.iter().partition(|message| message["stream"] == "ethusdt@miniTicker");
    assert_eq!((mini.len(), books.len()), (1, 10));
    assert_eq!(keys(&mini[0]["data"]), ["E", "c", "e", "h", "l", "o", "q", "s", "v"]);
    assert_eq!(mini[0]["data"]["e"], "24hrMiniTicker");
    assert_eq!(keys(&books[0]["data"]), ["A", "B", "a", "b", "s", "u"]);
    let ids: Vec<u64> = books.iter().map(|book| book["data"]["u"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

#[test]
fn raw_streams_have_no_envelope() {
    let mut client = Client::new(Session::new(false, "btcusdt@bookTicker").unwrap());
    assert_eq!(client.steps(1)[0]["s"], "BTCUSDT");
    let set = json!({"method": "SET_PROPERTY", "params": ["combined", true], "id": 1});
    assert_eq!(client.say(&set), [json!({"result": null, "id": 1})]);
    assert_eq!(streams(&client.steps(1)), ["btcusdt@bookTicker"]);
    let get = json!({"method": "GET_PROPERTY", "params": ["combined"], "id": 2});
    assert_eq!(client.say(&get), [json!({"result": true, "id": 2})]);
}

#[test]
fn streams_are_subscribed_listed_and_unsubscribed() {
    let mut client = client("");
    assert_eq!(client.steps(20), [json!(null); 0]);
    let names = json!(["solusdt@bookTicker", "btcusdt@bookTicker"]);
    let subscribe = json!({"method": "SUBSCRIBE", "params": names, "id": "a"});
    assert_eq!(client.say(&subscribe), [json!({"result": null, "id": "a"})]);
    let list = json!({"method": "LIST_SUBSCRIPTIONS", "id": 3});
    let held = json!(["btcusdt@bookTicker", "solusdt@bookTicker"]);
    assert_eq!(client.say(&list), [json!({"result": held, "id": 3})]);
    assert_eq!(client.steps(1).len(), 2);
    let less = json!({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"]});
    assert_eq!(client.say(&less), [json!({"result": null, "id": null})]);
    assert_eq!(streams(&client.steps(2)), ["solusdt@bookTicker"; 2]);
}

#[test]
fn a_stream_that_does_not_exist_is_taken_and_silent() {
    let mut client = client("btcusdt@nope/nopeusdt@ticker/BTCUSDT@bookTicker/btcusdt");
    assert_eq!(client.steps(20), [json!(null); 0]);
}

#[test]
fn what_cannot_be_read_is_refused_in_binances_words() {
    let mut client = client("");
    let cases = [
        ("{", 3, "Invalid JSON: "),
        ("[1]", 2, "Invalid request: missing field `method`"),
        (
            r#"{"method":"FOO","id":1}"#,
            2,
            "Invalid request: unknown variant `FOO`, expected one of",
        ),
        (r#"{"method":"SUBSCRIBE","id":1}"#, 2, "Invalid request: params must be an array"),
        (r#"{"method":"SUBSCRIBE","params":[1]}"#, 2, "Invalid request: stream names must be"),
        (r#"{"method":"LIST_SUBSCRIPTIONS","params":["a"]}"#, 2, "Invalid request: too many param"),
        (r#"{"method":"LIST_SUBSCRIPTIONS","id":1.5}"#, 2, "Invalid request: request ID must be"),
        (r#"{"method":"GET_PROPERTY","params":["x"]}"#, 0, "Unknown property"),
        (r#"{"method":"SET_PROPERTY","params":["combined",1]}"#, 1, "Invalid value type: expected"),
    ];
    for (text, code, msg) in cases {
        let answers = client.text(text);
        assert_eq!(answers.len(), 1, "{text}");
        assert_eq!(answers[0]["code"], code, "{text}");
        assert!(answers[0]["msg"].as_str().unwrap().starts_with(msg), "{text} {answers:?}");
    }
    assert_eq!(client.text(r#"{"method":"FOO","id":"x"}"#)[0]["id"], "x");
}

#[test]
fn a_connection_holds_1024_streams_and_not_one_more() {
    let names = |count: usize| (0..count).map(|n| format!("{n}@ticker")).collect::<Vec<_>>();
    assert!(Session::new(true, &names(1_025).join("/")).is_none());
    let mut client = client(&names(1_024).join("/"));
    let more = |name: &str| json!({"method": "SUBSCRIBE", "params": [name], "id": 1});
    assert_eq!(client.say(&more("btcusdt@bookTicker"))[0]["code"], 2);
    assert_eq!(client.steps(1).len(), 0);
    assert_eq!(client.say(&more("7@ticker"))[0]["result"], json!(null), "held already");
}

#[test]
fn a_connection_is_warned_once_and_ends_after_a_day() {
    let mut client = client("");
    let minute = 60_000_000;
    assert_eq!(parsed(client.jump(24 * 60 * minute - 10 * minute - 1)), [json!(null); 0]);
    let warning = parsed(client.jump(1));
    assert_eq!(warning[0]["stream"], "!serverShutdown");
    assert_eq!(keys(&warning[0]["data"]), ["E", "e"]);
    assert_eq!(warning[0]["data"]["e"], "serverShutdown");
    assert_eq!(client.ask(super::Session::warn), Out::default());
    assert_eq!(client.jump(10 * minute).close, Some(Close { code: 1_001, reason: "24 hours" }));
}
