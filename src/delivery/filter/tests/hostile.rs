//! What overflows a stack or holds a core elsewhere.

use std::{fs, path::Path, thread};

use super::*;

/// An eighth of what a worker thread has.
const SMALL_STACK: usize = 256 << 10;

fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let worker = thread::Builder::new().stack_size(SMALL_STACK).spawn(run);
    worker.unwrap().join().unwrap();
}

/// Reads a text, and evaluates it where it is let through.
pub(super) fn survive(text: &str) {
    match compile(text) {
        Ok(filter) => {
            filter.evaluate(&price());
        }
        Err(error) => {
            let codes = [ErrorCode::BadFilter, ErrorCode::FilterTooCostly];
            assert!(codes.contains(&error.code), "{text:?}: {error}");
            assert!(error.message.len() < 700, "{error}");
            let panicked = error.message.ends_with("this cannot be read");
            assert!(!panicked, "the parser panicked on {text:?}");
        }
    }
}

/// What is repeated until it is as long as a filter may be.
#[rustfmt::skip]
const REPEATED: &[&str] = &[
    "(", "[", "{", ")", "]", "}", "!", "-", "- ", "+", "?", ":", ",", ".", "\"", "'", "`", "\\",
    "\0", "é", "\u{1f600}", "\u{202e}", "9", "a", "a ", "a.", ".a", "a(", "a[", "!(", "-(", "[[",
    "{a:", "{1:", "a{a:", "x?x:", "x?", "x?(", "a&&", "a||", "a||b&&", "a==", "1<", "1+", "1+(",
    "in ", "[1].map(x,", "[1,1].map(x,", "has(", "f(a,", "/", "//", "/*", "\n", "'''", "r'",
    "1e9", "0x", "1u", "data.", "data[", "a.a(", "(((?", "]))[", "a.map(x,a).",
];

/// What is nested.
const NESTED: &[(&str, &str, &str)] = &[
    ("(", "1", ")"),
    ("[", "1", "]"),
    ("{1:", "1", "}"),
    ("f(", "1", ")"),
    ("a[", "1", "]"),
    ("a{a:", "1", "}"),
    ("!(", "a", ")"),
    ("-(", "a", ")"),
    ("[1,1].map(x,", "x", ")"),
    ("[1].exists(x,", "x", ")"),
    ("(a?a:", "a", ")"),
    ("(a&&a||", "a", ")"),
    ("a.f(", "a", ")"),
    ("has(", "a.b", ")"),
];

fn hostile() -> Vec<String> {
    let mut texts: Vec<String> =
        REPEATED.iter().map(|part| part.repeat(1024 / part.len())).collect();
    for (open, inner, close) in NESTED {
        for depth in [20, 31, 32, 33, 100] {
            texts.push(format!("{}{inner}{}", open.repeat(depth), close.repeat(depth)));
        }
    }
    texts.push(format!("a{}", ".a".repeat(511)));
    texts.push(format!("a{}", "[1]".repeat(341)));
    texts.push(format!("{}x", "x?x:".repeat(255)));
    texts.push(format!("{}x{}", "x?".repeat(255), ":x".repeat(255)));
    texts.push(format!("1{}", "+1".repeat(511)));
    texts.push(format!("1{}", "==1".repeat(341)));
    texts.push(format!("a{}", "&&a".repeat(341)));
    texts.push(format!("a{}", "||a&&a".repeat(170)));
    texts.push(format!("{}a", "!".repeat(1023)));
    texts.push(format!("{}1", "-".repeat(1023)));
    texts.push(format!("'{}'", "(".repeat(1022)));
    texts.push(format!("'{}' == \"{}\"", "\\u00e9".repeat(80), "\u{1f600}".repeat(100)));
    texts.push(format!("topic{}", ".contains(topic)".repeat(60)));
    texts.push(format!("data.x in [{}1]", "data.y,".repeat(140)));
    texts.push("a".repeat(1_000_000));
    texts
}

/// A stack that overflows aborts the whole test binary.
#[test]
fn nothing_overflows_a_stack_or_holds_a_core() {
    on_small_stack(|| hostile().iter().for_each(|text| survive(text)));
}

/// The deepest expressions that are let through, of each kind of node that nests.
#[test]
fn evaluation_needs_little_stack() {
    for (before, open, inner, close) in [
        ("", "!(", "data.closed", ")"),
        ("", "(data.closed ? ", "true", " : false)"),
        ("", "(true && ", "data.closed", ")"),
        ("", "(false || ", "data.closed", ")"),
        ("", "(true == ", "data.closed", ")"),
        ("2 == ", "(1 + ", "1", ")"),
        ("1.0 < ", "-(", "data.price", ")"),
        ("topic == ", "(\"\" + ", "topic", ")"),
        ("1 < ", "math.abs(", "data.price", ")"),
        ("1 < ", "int(", "data.price", ")"),
        ("1 < ", "math.least(99, ", "data.price", ")"),
        ("", "data[", "topic", "]"),
        ("", "(true in [", "data.closed", "])"),
    ] {
        let nested = |depth: usize| {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            compile(&format!("{before}{open}{inner}{close}"))
        };
        let (depth, filter) = (1..=32)
            .rev()
            .find_map(|depth| Some((depth, nested(depth).ok()?)))
            .unwrap_or_else(|| panic!("{open}: {:?}", nested(1)));
        assert!(depth >= 15, "{open} nests {depth} deep only");
        on_small_stack(move || {
            filter.evaluate(&price());
        });
    }
}

/// What the fuzzer starts from, and what it has found.
#[test]
fn the_seeds_of_the_fuzzer_survive() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/filter");
    let files = fs::read_dir(&seeds).unwrap();
    let texts: Vec<_> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(texts.len() > 20, "{}", seeds.display());
    for text in texts {
        survive(&String::from_utf8_lossy(&text));
    }
}
