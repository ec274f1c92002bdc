//! Feeds with `provider = "json"`: every mistake is told at its key.

use super::*;

const HEAD: &str = "[[feeds]]\nname = \"j\"\nprovider = \"json\"\n";
const URL: &str = "url = \"https://a.example/x?kind=spot\"\n";
const TOPIC: &str = "[[feeds.topics]]\ntopic = \"custom.x\"\nfields = { a = \"$.a\" }\n";

/// A feed with these keys and topics must be refused for one thing: at this key, with these words.
fn check(keys: &str, topics: &str, key: &str, words: &str) {
    let text = format!("{HEAD}{keys}{topics}");
    let found = refusals(&text);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    assert!(found[0].contains(&format!(": feeds[0].{key}: ")), "{text}: {found:?}");
    assert!(found[0].contains(words), "{text}: {found:?}");
}

#[test]
fn the_readme_s_examples_are_good() {
    let readme = include_str!("../../../README.md");
    let section = readme.split("### Add a source by configuration").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    for block in section.split("```toml\n").skip(1) {
        let keys = [("ETHERSCAN_KEY", "k"), ("DESK_KEY", "k")];
        let loaded = load_with(block.split("```").next().unwrap(), &keys);
        assert_eq!(loaded.unwrap().feeds.len(), 1);
    }
}

#[test]
fn what_is_asked_has_rules() {
    check("", TOPIC, "url", "required by a json feed");
    for (keys, key, words) in [
        ("method = \"GET\"\nbody = \"{}\"\n", "body", "not sent with GET"),
        ("body = \"{\"\n", "body", "is not JSON"),
        ("method = \"PUT\"\n", "method", "GET, POST"),
        ("base_url = \"https://a.example\"\n", "base_url", "whole address in url"),
        ("endpoint = \"x\"\n", "endpoint", "whole address in url"),
        ("api_key = { file = \"Cargo.toml\" }\n", "api_key", "headers or query"),
        ("headers = { \"a b\" = \"1\" }\n", "headers.\"a b\"", "name of a header"),
        ("headers = { Host = \"x\" }\n", "headers.Host", "by the server itself"),
        ("headers = { x = \"é\" }\n", "headers.x", "printable ASCII"),
        ("headers = { x = { env = \"UNSET\" } }\n", "headers.x", "UNSET is not set"),
        ("query = { key = { env = \"UNSET\" } }\n", "query.key", "UNSET is not set"),
        ("query = { key = { hunter2 = 1 } }\n", "query.key", "where a secret is kept"),
        ("symbols = [\"BTC-USD\"]\n", "symbols", "no topic of this feed holds {symbol}"),
        ("every = \"500ms\"\n", "every", "less than 1s"),
    ] {
        check(&format!("{URL}{keys}"), TOPIC, key, words);
    }
    for (url, words) in [
        ("http://a.example/", "use https://"),
        ("https://u:hunter2@a.example/", "credentials"),
        ("https://a.example/#x", "never sent"),
        ("nonsense", "not a URL"),
    ] {
        check(&format!("url = \"{url}\"\n"), TOPIC, "url", words);
    }
}

#[test]
fn what_is_published_has_rules() {
    check(URL, "", "topics", "write [[feeds.topics]]");
    check(&format!("{URL}topics = 5\n"), "", "topics", "are tables");
    let symbol = "symbol = { path = \"$.s\" }\n";
    for (topic, more, key, words) in [
        ("a..b", "", "topic", "cannot be a topic"),
        ("status.x", "", "topic", "not for feeds of this kind"),
        ("price.gold", "", "topic", "is not price.<SYMBOL>"),
        ("price.BTC-USD.x", "", "topic", "is not price.<SYMBOL>"),
        ("price.btcusd", "", "topic", "write \"price.BTC-USD\""),
        ("price.{symbol}", "", "topic", "needs to know where it is"),
        ("custom.x", "each = \"$[*]\"\n", "topic", "as in $[-1][4]"),
        ("custom.x", symbol, "topic", "every element would have this one topic"),
        ("a.{symbol}", "symbol = { path = \"s\" }\n", "symbol.path", "not a JSONPath"),
        ("a.{symbol}", "symbol = { path = \"$\", quote = \"-\" }\n", "symbol.quote", "paid in"),
        ("a.b", "ts = { path = \"$[\", unit = \"s\" }\n", "ts.path", "not a JSONPath"),
        ("a.b", "ts = { path = \"$\", unit = \"h\" }\n", "ts.unit", "s, ms, us, rfc3339"),
        ("a.b", "each_ = 1\n", "each_", "did you mean each?"),
    ] {
        let table = format!(
            "[[feeds.topics]]\ntopic = \"{topic}\"\n{more}fields = {{ price = \"$.a\" }}\n"
        );
        check(URL, &table, &format!("topics[0].{key}"), words);
    }
    let two = format!("{TOPIC}{TOPIC}");
    check(URL, &two, "topics[1].topic", "also the topic of another");
    let bad = "[[feeds.topics]]\ntopic = \"a.b\"\nfields = { x = \"$.a[\" }\n";
    check(URL, &format!("{TOPIC}{bad}"), "topics[1].fields.x", "not a JSONPath");
    let none = "[[feeds.topics]]\ntopic = \"a.b\"\nfields = {}\n";
    check(URL, none, "topics[0].fields", "at least one");
}

#[test]
fn a_wrong_path_is_told_with_its_line() {
    let text = format!("{HEAD}{URL}{TOPIC}ts = {{ path = \"$.[\", unit = \"s\" }}\n");
    let found = refusals(&text);
    assert!(found[0].starts_with("x.toml:8:8: feeds[0].topics[0].ts.path: "), "{found:?}");
}

#[test]
fn other_feeds_have_none_of_these_keys() {
    for (key, value) in [
        ("url", "\"https://a.example\""),
        ("method", "\"POST\""),
        ("body", "\"{}\""),
        ("headers", "{ a = \"b\" }"),
        ("query", "{ a = 1 }"),
        ("topics", "[{ topic = \"a.b\", fields = { a = \"$\" } }]"),
    ] {
        let found = refusals(&format!("{FEED}{key} = {value}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("feeds[0].{key}: ")), "{found:?}");
    }
}
