//! What filters make of updates.

use super::*;

#[test]
fn what_holds_lets_through() {
    let update = price();
    for text in [
        "true",
        "data.price > 60000",
        "data.price >= 68900.5 && data.price <= 68900.5",
        "60000 < data.price",
        "data.price == 68900.5",
        "data.price == \"68900.50\"",
        "data[\"price\"] > 6.0e4",
        "data.sources >= 2 && data.sources >= 2.5 && data.sources == 3.0 && data.sources == 3u",
        "data.price * 2 > 137800 && 2 * data.price > data.price + 1 && data.price - 1 < 68900",
        "(data.price - data.bid) / data.price * 10000 < 1",
        "data.sources / 2 == 1 && data.sources / 2.0 == 1.5 && data.sources % 2 == 1",
        "-data.change_24h_pct == 2.5 && math.abs(data.change_24h_pct) > 2",
        "math.greatest(data.price, data.bid, 1) == data.price && math.least(2, 1.5) == 1.5",
        "data.label == 40 && data.label == \"40\" && data.label.startsWith(\"4\")",
        "data.state == \"long\" && data.state != \"short\" && data.state < \"zzz\"",
        "data.closed && data.closed == true && !(!data.closed)",
        "topic == \"price.BTC-USD\" && source == 'coinbase'",
        "topic.startsWith(\"price.\") && topic.endsWith('-USD') && topic.contains(\"BTC\")",
        "topic == \"price.\" + \"BTC-USD\" && size(topic) == 13 && topic.size() == 13",
        "data.note.size() == 6 && data.note.contains(\"é\") && data.note == \"Fear \\u00e9\"",
        "source in [\"kraken\", \"coinbase\"] && !(source in []) && data.sources in [1, 3.0]",
        "has(data.bid) && !has(data.ask) && \"bid\" in data && !(\"ask\" in data)",
        "data.bid != null && !(data.state == 5) && data.state != 5",
        "ts < rx && rx - ts == 27123 && ts > 1790000000000000",
        "data.price > 70000 ? data.ask > 1 : data.bid > 1",
        "int(data.price) == 68900 && double(data.sources) == 3.0 && int(data.change_24h_pct) == -2",
        "data.price > 70000 || data.price < 69000",
        "// a comment\ndata.price\n  > 1 // another (((((((((((((((((((((((((((((((((((((((((\n",
        "r'\\d' == '\\\\d' && '''it's''' == \"it's\" && '\\x41' == 'A'",
        "9223372036854775807 > 9223372036854775806",
    ] {
        assert_eq!(verdict(text, &update), Verdict::True, "{text}");
    }
}

#[test]
fn what_does_not_hold_or_is_missing_does_not() {
    let update = price();
    for text in [
        "false",
        "data.price > 70000",
        "data.ask > 1",
        "!(data.ask > 1)",
        "data.ask == null",
        "data.ask != 5",
        "data[\"ask\"] > 1",
        "data[source] > 1",
        "data.ask",
        "data.ask > 1 ? true : true",
        "true && data.ask > 1",
        "data.price == \"68900.5\"",
        "data.state == null",
        "9223372036854775807 < 9223372036854775806",
    ] {
        assert_eq!(verdict(text, &update), Verdict::False, "{text}");
    }
}

#[test]
fn without_its_own_time_an_update_has_no_ts() {
    let update = update("onchain.ethereum.height", None, r#"{"height":25000000}"#);
    for text in ["ts > 0", "ts <= 0", "ts == null", "ts != null", "!(ts > 0)"] {
        assert_eq!(verdict(text, &update), Verdict::False, "{text}");
    }
    for text in ["ts > 0 || rx > 0", "data.height > 100.5", "data.height == 25000000"] {
        assert_eq!(verdict(text, &update), Verdict::True, "{text}");
    }
}

#[test]
fn what_decides_alone_needs_not_the_other() {
    for (text, expected) in [
        ("data.ask > 1 || data.bid > 1", Verdict::True),
        ("data.bid > 1 || data.ask > 1", Verdict::True),
        ("data.ask > 1 && data.bid > 1", Verdict::False),
        ("1 / data.zero > 0 || true", Verdict::True),
        ("1 / data.zero > 0 && false", Verdict::False),
    ] {
        assert_eq!(verdict(text, &price()), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_says_where_and_why() {
    for (text, expected) in [
        ("data.price", "1:1: true or false is needed, not a number"),
        ("true && data.state", "1:9: true or false is needed, not a text"),
        ("!data.price", "1:2: true or false is needed, not a number"),
        ("data.state > 1", "1:12: `>` does not take a text and a number"),
        ("data.price < \"70000\"", "1:12: `<` does not take a number and a text"),
        ("data.closed > 1", "1:13: `>` does not take true or false and a number"),
        ("data.state * 2 > 1", "1:12: `*` does not take a text and a number"),
        ("data.state + 1 > 1", "1:12: `+` does not take a text and a number"),
        ("-data.state > 1", "1:1: `-` does not take a text"),
        ("true\n  && 1 / data.zero > 0", "2:8: division by zero"),
        ("data.price / 0 > 1", "1:12: division by zero"),
        ("data.zero % data.zero == 1", "1:11: division by zero"),
        ("data.price % 2 == 1", "1:12: `%` does not take a number and a number"),
        ("data.sources + 9223372036854775807 > 0", "1:14: the number is too large"),
        ("data.price * 1e300 * 1e300 > 0", "1:20: the number is too large"),
        ("int(data.price * 1e30) > 0", "1:1: the number is too large"),
        ("data.closed.contains(\"x\")", "1:13: `contains` does not take true or false and a text"),
        ("size(data.sources) > 0", "1:1: `size` does not take a number"),
        ("data[data.closed] > 0", "1:5: `data[…]` does not take true or false"),
        ("math.abs(data.state) > 0", "1:6: `math.abs` does not take a text"),
        ("math.least(1, data.state) > 0", "1:6: `math.least` does not take a text"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn texts_do_not_grow_without_end() {
    let data = format!(r#"{{"x":"{}"}}"#, "x".repeat(600));
    let update = Update { data: data.into(), ..price() };
    assert_eq!(verdict("data.x + topic != topic", &update), Verdict::True);
    let Verdict::Error(fault) = verdict("data.x + data.x == topic", &update) else {
        panic!("twice 600 bytes were joined");
    };
    assert_eq!(fault.to_string(), "1:8: the text is too long");
}
