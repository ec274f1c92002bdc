//! Random filters: a soup of tokens survives, and well-formed ones mean what CEL means.

use std::{collections::HashMap, thread};

use proptest::prelude::*;

use super::{hostile::survive, *};

const TOKENS: [&str; 56] = [
    "topic",
    "source",
    "data",
    "ts",
    "rx",
    "data.price",
    "data.state",
    "data.missing",
    ".",
    "..",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "?",
    ":",
    "&&",
    "||",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "=",
    "&",
    "in",
    "has",
    "has(data.bid)",
    "size",
    "contains",
    "math.abs(",
    "true",
    "false",
    "null",
    "1",
    "2.5",
    "3u",
    "\"a\"",
    "'b'",
    "r'\\'",
    "\"",
    "'''",
    ",",
    "//",
    "map(x,",
    "b'x'",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_soup_of_tokens_survives(
        soup in prop::collection::vec((prop::sample::select(&TOKENS[..]), any::<bool>()), 0..80),
    ) {
        let parts = soup.iter().map(|(token, space)| [*token, if *space { " " } else { "" }]);
        survive(&parts.flatten().collect::<String>());
    }

    #[test]
    fn any_text_survives(text in "\\PC{0,200}") {
        survive(&text);
    }

    /// Against the interpreter of the `cel` crate, where it and we mean the same: no sums of
    /// different kinds, no fields that are texts and numbers at once.
    #[test]
    fn filters_mean_what_cel_means(text in truth()) {
        let expected = in_cel(&text);
        match compile(&text).map(|filter| filter.evaluate(&price())) {
            Ok(Verdict::True) => prop_assert_eq!(expected, Some(true), "{}", text),
            Ok(Verdict::False) => prop_assert_ne!(expected, Some(true), "{}", text),
            Ok(Verdict::Error(_)) => prop_assert_eq!(expected, None, "{}", text),
            Err(error) => prop_assert_eq!(error.code, ErrorCode::FilterTooCostly, "{}", text),
        }
    }
}

fn one_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(texts).prop_map(str::to_owned).boxed()
}

fn infix(
    left: BoxedStrategy<String>,
    operators: &'static [&'static str],
    right: BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    (left, prop::sample::select(operators), right)
        .prop_map(|(left, operator, right)| format!("({left} {operator} {right})"))
        .boxed()
}

fn sums(
    leaves: &'static [&'static str],
    operators: &'static [&'static str],
) -> BoxedStrategy<String> {
    one_of(leaves)
        .prop_recursive(2, 6, 2, move |inner| {
            let inner = inner.boxed();
            infix(inner.clone(), operators, inner)
        })
        .boxed()
}

const COMPARISONS: &[&str] = &["<", "<=", ">", ">=", "==", "!="];

/// Expressions that are true or false, or fail.
fn truth() -> BoxedStrategy<String> {
    let int = sums(
        &["0", "1", "3", "data.sources", "data.zero", "rx", "size(topic)", "data.missing"],
        &["+", "-", "*", "/", "%"],
    );
    let double = sums(
        &["0.5", "68900.5", "data.price", "data.bid", "-data.change_24h_pct", "data.missing"],
        &["+", "-", "*"],
    );
    let text = one_of(&["topic", "source", "data.state", "data.missing", "\"long\"", "\"price\""]);
    let number = prop_oneof![int, double].boxed();
    let leaf = prop_oneof![
        4 => infix(number.clone(), COMPARISONS, number.clone()),
        2 => infix(text.clone(), COMPARISONS, text.clone()),
        1 => (number.clone(), number.clone(), number)
            .prop_map(|(needle, one, two)| format!("({needle} in [{one}, {two}])")),
        1 => (text.clone(), one_of(&["startsWith", "endsWith", "contains"]), text)
            .prop_map(|(text, how, part)| format!("{text}.{how}({part})")),
        2 => one_of(&["true", "false", "data.closed", "has(data.bid)", "has(data.missing)"]),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let inner = inner.boxed();
        prop_oneof![
            3 => infix(inner.clone(), &["&&", "||", "==", "!="], inner.clone()),
            1 => inner.clone().prop_map(|inner| format!("!{inner}")),
            1 => (inner.clone(), inner.clone(), inner)
                .prop_map(|(condition, yes, no)| format!("({condition} ? {yes} : {no})")),
        ]
    })
    .boxed()
}

/// What CEL makes of `text`; `None` where it fails.
fn in_cel(text: &str) -> Option<bool> {
    let run = || {
        let data: HashMap<String, cel::Value> = HashMap::from([
            ("price".to_owned(), 68900.5.into()),
            ("bid".to_owned(), 68900.1.into()),
            ("change_24h_pct".to_owned(), (-2.5).into()),
            ("sources".to_owned(), 3.into()),
            ("zero".to_owned(), 0.into()),
            ("state".to_owned(), "long".into()),
            ("closed".to_owned(), true.into()),
        ]);
        let mut context = cel::Context::default();
        context.add_variable_from_value("data", data);
        context.add_variable_from_value("topic", "price.BTC-USD");
        context.add_variable_from_value("source", "coinbase");
        context.add_variable_from_value("rx", price().rx);
        match cel::Program::compile(text).unwrap().execute(&context) {
            Ok(cel::Value::Bool(truth)) => Some(truth),
            _ => None,
        }
    };
    thread::scope(|scope| {
        let deep = thread::Builder::new().stack_size(64 << 20);
        deep.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}
