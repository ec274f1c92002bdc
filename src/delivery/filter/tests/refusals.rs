//! What is refused, and what is said about it.

use super::*;

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let error = refused(text);
        assert_eq!(error.code, ErrorCode::BadFilter, "{text}: {error}");
        assert!(error.message.starts_with(expected), "{text}: {error}");
        assert!(!error.retryable);
    }
}

#[test]
fn what_is_no_cel_says_where() {
    check(&[
        ("", "1:1: the filter is empty"),
        (" \n ", "1:1: the filter is empty"),
        ("data.price >", "1:13: mismatched input the end of the filter"),
        ("data.price > > 5", "1:14: extraneous input '>'"),
        ("true &&\n  data.price >> 4", "2:15: extraneous input '>'"),
        ("\"abc", "1:1: token recognition error at: '\"abc'"),
        ("a\0b", "1:2: token recognition error at: '\u{fffd}'"),
        ("datä.price > 5", "1:4: token recognition error at: 'ä'"),
        ("if > 5", "1:1: reserved identifier: if"),
        ("data.`x-y` > 5", "1:5: unsupported syntax: '`'"),
        ("data.?x > 5", "1:5: unsupported syntax '.?'"),
        ("99999999999999999999 > 1", "1:1: invalid int literal"),
        ("1e999 > 1", "1:1: invalid double literal"),
        ("18446744073709551615u > 1", "1:1: the number is too large"),
    ]);
}

#[test]
fn unknown_names_and_shapes_say_where() {
    check(&[
        ("data.sources > 1 && price > 5", "1:21: unknown name `price`: there are topic, source,"),
        ("price.x > 5", "1:1: unknown name `price`"),
        ("math.pi > 3", "1:1: unknown name `math`"),
        (".topic == \"a\"", "1:2: unknown name `.topic`"),
        ("data == 5", "1:1: `data` is no value: name a field"),
        ("data.a.b == 5", "1:7: only `data` has fields"),
        ("topic.x == 5", "1:6: only `data` has fields"),
        ("topic[0] == \"p\"", "1:6: only `data` has fields to be looked up"),
        ("data[1] == 5", "1:5: `data[…]` takes the name of a field"),
        ("topic.lower() == topic", "1:7: no function `lower` of this shape: there are has("),
        ("f(1)", "1:1: no function `f`"),
        ("f()", "1:1: no function `f`"),
        ("has(topic)", "1:1: `has` takes a field of data"),
        ("has(data.a.b)", "1:1: `has` takes a field of data"),
        ("math.abs(topic) > 1", "1:10: `math.abs` does not take a text"),
        ("math.abs(1, 2) > 1", "1:6: no function `abs`"),
        ("math.least() > 1", "1:6: no function `least`"),
        ("topic in \"abc\"", "1:7: `in` needs a list, or `data`, at its right"),
        ("1 in data", "1:3: `in data` takes the name of a field"),
        ("[true][0]", "1:7: only `data` has fields"),
        ("[1] == [1]", "1:1: a list can only stand at the right of `in`"),
        ("{\"a\": 1} == 1", "1:1: there are no maps here"),
        ("m{a: 1} == 1", "1:2: there is no type `m`"),
        ("b'x' == 'x'", "1:1: there are no bytes here"),
    ]);
}

#[test]
fn kinds_that_never_fit_say_where() {
    check(&[
        ("topic", "1:1: true or false is needed, not a text"),
        ("1 + 1", "1:3: true or false is needed, not a number"),
        ("null", "1:1: true or false is needed, not null"),
        ("true && \"a\"", "1:9: true or false is needed, not a text"),
        ("!1", "1:2: true or false is needed, not a number"),
        ("1 ? true : false", "1:1: true or false is needed, not a number"),
        ("topic > 5", "1:7: `>` does not take a text and a number"),
        ("topic == 5", "1:7: `==` does not take a text and a number"),
        ("topic + 5 == topic", "1:7: `+` does not take a text and a number"),
        ("true < false", "1:6: `<` does not take true or false and true or false"),
        ("-topic == topic", "1:1: `-` does not take a text"),
        ("size(rx) > 1", "1:1: `size` does not take a number"),
        ("rx.contains(\"1\")", "1:4: `contains` does not take a number and a text"),
        ("topic.contains(\"a\", \"b\")", "1:7: `contains` takes one text"),
    ]);
}

#[test]
fn what_costs_too_much_is_refused() {
    let repeat = |part: &str, times: usize| part.repeat(times);
    for text in [
        "[1, 2].map(x, x) == 1".to_owned(),
        "data.filter(x, true)".into(),
        "[1].all(x, x > 0)".into(),
        "[1].exists(x, x > 0)".into(),
        "[1].exists_one(x, x > 0)".into(),
        "topic.matches(\"a+\")".into(),
        repeat("a", 1025),
        format!("'{}'", repeat("x", 1023)),
        format!("{}true{}", repeat("(", 33), repeat(")", 33)),
        format!("{}true{}", repeat("!(", 32), repeat(")", 32)),
        format!("1{} > 1", repeat("+1", 40)),
        format!("{}true", repeat("data.a ? true : ", 40)),
    ] {
        let error = refused(&text);
        assert_eq!(error.code, ErrorCode::FilterTooCostly, "{text}: {error}");
    }
}

#[test]
fn what_is_long_but_plain_is_read() {
    let alternatives: Vec<String> = (0..45).map(|n| format!("topic == \"p.{n:02}\"")).collect();
    assert_eq!(verdict(&alternatives.join(" || "), &price()), Verdict::False);
    assert_eq!(verdict(&alternatives.join(" && "), &price()), Verdict::False);
    let names: Vec<String> = (0..150).map(|n| format!("'{n:03}'")).collect();
    assert_eq!(verdict(&format!("topic in [{}]", names.join(",")), &price()), Verdict::False);
    let nested = format!("{}true{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(verdict(&nested, &price()), Verdict::True);
}
