//! Answers that no upstream should give, and what becomes of a feed that gets them.

use std::{io::Write, time::Duration};

use crate::support::bad_upstream::{Do, answer, json, now_ms, row};

/// A price that is poison: no client may ever see it.
const POISON: &str = "\"66666.6\"";

type Script = Box<dyn Fn(&str, u64) -> Vec<Do> + Send + Sync>;

/// One kind of bad answer.
pub struct Case {
    pub name: &'static str,
    /// Why its feed is not live.
    pub reason: &'static str,
    /// Why its values are quarantined, where it has any.
    pub fault: Option<&'static str>,
    /// What is done with the nth request for a symbol.
    pub script: Script,
}

fn case(
    name: &'static str,
    reason: &'static str,
    script: impl Fn(&str, u64) -> Vec<Do> + Send + Sync + 'static,
) -> Case {
    Case { name, reason, fault: None, script: Box::new(script) }
}

/// A case whose values are quarantined.
fn held(
    name: &'static str,
    fault: &'static str,
    script: impl Fn(&str, u64) -> Vec<Do> + Send + Sync + 'static,
) -> Case {
    Case { fault: Some(fault), ..case(name, "quarantined", script) }
}

/// All of them. A redirect leads to `trap`, if it is followed.
pub fn all(trap: u16) -> Vec<Case> {
    let groups = [
        bodies(),
        encodings(),
        lengths(),
        prices(),
        shapes(),
        times(),
        statuses(),
        redirects(trap),
        slow(),
        connections(),
    ];
    groups.into_iter().flatten().collect()
}

fn good(symbol: &str) -> String {
    row(symbol, "\"100.5\"", now_ms())
}

fn poison(symbol: &str) -> String {
    row(symbol, POISON, now_ms())
}

fn bodies() -> Vec<Case> {
    let html = "<!doctype html><html><body>Just a moment...</body></html>";
    vec![
        case("truncated JSON", "bad_body", |symbol, _| {
            let body = good(symbol);
            json(&body[..body.len() - 9])
        }),
        case("HTML that says it is JSON", "bad_body", move |_, _| json(html)),
        case("HTML with 200", "bad_body", move |_, _| {
            answer("200 OK", "content-type: text/html\r\n", html)
        }),
        case("an empty body", "bad_body", |_, _| json("")),
        case("204", "bad_body", |_, _| answer("204 No Content", "", "")),
        case("NUL bytes", "bad_body", |_, _| json([0; 4096])),
        case("two documents", "bad_body", |symbol, _| json(poison(symbol).repeat(2))),
        case("a depth without end", "bad_body", |_, _| json("[".repeat(200_000))),
        case("a literal NaN", "bad_body", |symbol, _| json(row(symbol, "NaN", now_ms()))),
        case("an error with 200", "bad_body", |_, _| {
            json(r#"{"status":"error","message":"internal failure"}"#)
        }),
        case("a limit with 200", "rate_limited", |_, _| {
            json(r#"{"code":429,"message":"Rate limit exceeded, upgrade your plan"}"#)
        }),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// So much white space before the JSON, in the thousandth part.
pub fn gzip_bomb(symbol: &str, mebibytes: usize) -> Vec<u8> {
    let mut bytes = vec![b' '; mebibytes << 20];
    bytes.extend_from_slice(poison(symbol).as_bytes());
    gzip(&bytes)
}

pub fn encoded(encoding: &str, body: impl AsRef<[u8]>) -> Vec<Do> {
    let headers = format!("content-type: application/json\r\ncontent-encoding: {encoding}\r\n");
    answer("200 OK", &headers, body)
}

fn encodings() -> Vec<Case> {
    let bomb = gzip_bomb("BOMB-USD", 16);
    assert!(bomb.len() < 20 << 10, "{}", bomb.len());
    vec![
        case("a gzip bomb", "bad_body", move |_, _| encoded("gzip", &bomb)),
        case("gzip in gzip", "bad_body", |symbol, _| {
            encoded("gzip", gzip(&gzip(poison(symbol).as_bytes())))
        }),
        case("gzip that is none", "bad_body", |symbol, _| encoded("gzip", poison(symbol))),
        case("gzip cut short", "bad_body", |symbol, _| {
            let packed = gzip(poison(symbol).as_bytes());
            encoded("gzip", &packed[..packed.len() - 12])
        }),
        case("zstd, unasked", "bad_body", |_, _| encoded("zstd", b"\x28\xb5\x2f\xfd\x00")),
        case("brotli, unasked", "bad_body", |_, _| encoded("br", b"\x0b\x02\x80hello\x03")),
        case("UTF-16", "bad_body", |symbol, _| {
            let units =
                poison(symbol).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
            answer("200 OK", "content-type: application/json; charset=utf-16\r\n", units)
        }),
        case("bytes that are no UTF-8", "bad_body", |symbol, _| {
            let mut body = poison(symbol).into_bytes();
            body.splice(3..3, [0xff, 0xfe, 0xc3, 0x28]);
            json(body)
        }),
    ]
}

pub fn raw(head: &str, body: impl AsRef<[u8]>) -> Do {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body.as_ref());
    Do::Say(bytes)
}

fn lengths() -> Vec<Case> {
    let chunk = |symbol: &str| {
        let body = poison(symbol);
        format!("{:x}\r\n{body}\r\n", body.len())
    };
    vec![
        case("a length too long", "bad_body", |symbol, _| {
            vec![raw("content-length: 9999", poison(symbol)), Do::Close]
        }),
        case("a length too short", "bad_body", |symbol, _| {
            vec![raw("content-length: 20", poison(symbol)), Do::Close]
        }),
        case("a length below zero", "bad_body", |symbol, _| {
            vec![raw("content-length: -5", poison(symbol)), Do::Close]
        }),
        case("two lengths", "bad_body", |symbol, _| {
            vec![raw("content-length: 5\r\ncontent-length: 50", poison(symbol)), Do::Close]
        }),
        case("chunks without a last", "bad_body", move |symbol, _| {
            vec![raw("transfer-encoding: chunked", chunk(symbol)), Do::Close]
        }),
        case("chunks that stop", "timeout", move |symbol, _| {
            vec![raw("transfer-encoding: chunked", chunk(symbol)), Do::Hang]
        }),
        case("a chunk of no size", "bad_body", |symbol, _| {
            vec![raw("transfer-encoding: chunked", format!("zz\r\n{}", poison(symbol))), Do::Close]
        }),
        case("a chunk of any size", "bad_body", |symbol, _| {
            let body = format!("ffffffffffffffff0\r\n{}", poison(symbol));
            vec![raw("transfer-encoding: chunked", body), Do::Close]
        }),
        case("100 MiB, announced", "bad_body", |_, _| {
            vec![raw("content-length: 104857600", ""), Do::Repeat(vec![b' '; 64 << 10])]
        }),
        case("a body without end", "bad_body", |_, _| {
            vec![raw("connection: close", ""), Do::Repeat(vec![b' '; 64 << 10])]
        }),
    ]
}

fn prices() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("NaN", "\"NaN\""),
        ("inf", "\"inf\""),
        ("-Infinity", "\"-Infinity\""),
        ("1e400", "1e400"),
        ("1e400 in quotes", "\"1e400\""),
        ("1e-400", "1e-400"),
        ("1,234.5", "\"1,234.5\""),
        ("hexadecimal", "\"0x1p4\""),
        ("null", "null"),
        ("true", "true"),
        ("an empty price", "\"\""),
        ("digits of another script", "\"\u{661}\u{662}\""),
    ]
    .into_iter()
    .map(|(name, price)| case(name, "no_data", move |symbol, _| json(row(symbol, price, now_ms()))))
    .collect();
    for (name, price) in [("zero", "0"), ("minus zero", "-0.0"), ("negative", "\"-100.5\"")] {
        let script = move |symbol: &str, _| json(row(symbol, price, now_ms()));
        cases.push(held(name, "not_positive", script));
    }
    // Never twice alike, since a second answer like the first would confirm it.
    cases.push(held("next to nothing, then very much", "jump", |symbol, n| {
        let price = if n % 2 == 0 { "1e-30" } else { "1E+30" };
        json(row(symbol, price, now_ms()))
    }));
    cases
}

fn shapes() -> Vec<Case> {
    let with = |name, body: fn(&str) -> String| {
        case(name, "no_data", move |symbol: &str, _| json(body(symbol)))
    };
    vec![
        with("an empty list", |_| "[]".to_owned()),
        with("without the price", |symbol| format!(r#"[{{"symbol":"{symbol}","ts":1}}]"#)),
        with("without the symbol", |_| r#"[{"price":"66666.6","ts":1}]"#.to_owned()),
        with("a symbol that is a number", |_| r#"[{"symbol":17,"price":"66666.6"}]"#.to_owned()),
        with("a symbol that is an object", |_| r#"[{"symbol":{},"price":"66666.6"}]"#.to_owned()),
        with("another symbol", |_| row("OTHER-USD", POISON, now_ms())),
        with("a price that is an object", |symbol| row(symbol, r#"{"usd":66666.6}"#, now_ms())),
        with("a price that is a list", |symbol| row(symbol, "[66666.6]", now_ms())),
        with("rows that are lists", |symbol| format!(r#"[["{symbol}","66666.6"]]"#)),
        case("an object around the rows", "bad_body", |symbol, _| {
            json(format!(r#"{{"version":2,"data":{}}}"#, poison(symbol)))
        }),
        case("a bare text", "no_data", |_, _| json("\"66666.6\"")),
    ]
}

fn times() -> Vec<Case> {
    const HOUR: i64 = 3_600_000;
    let at = |name, fault, ts: fn() -> i64| {
        held(name, fault, move |symbol: &str, _| json(row(symbol, "\"100.7\"", ts())))
    };
    vec![
        at("an hour ago", "out_of_order", || now_ms() - HOUR),
        at("in an hour", "future", || now_ms() + HOUR),
        at("in six minutes", "future", || now_ms() + HOUR / 10),
        at("seconds for milliseconds", "past", || now_ms() / 1_000),
        at("microseconds for milliseconds", "future", || now_ms() * 1_000),
        at("the year 2262", "future", || 9_223_372_036_854),
        at("the first millisecond", "past", || 1),
    ]
}

fn statuses() -> Vec<Case> {
    let status = |name, reason, head: &'static str, headers: &'static str| {
        case(name, reason, move |symbol: &str, _| answer(head, headers, poison(symbol)))
    };
    vec![
        status("429", "rate_limited", "429 Too Many Requests", ""),
        status("429, garbage", "rate_limited", "429 Too Many Requests", "retry-after: soon\r\n"),
        status("429, below zero", "rate_limited", "429 Too Many Requests", "retry-after: -9\r\n"),
        status("418", "rate_limited", "418 I'm a teapot", ""),
        status("401", "http_4xx", "401 Unauthorized", "www-authenticate: Basic\r\n"),
        status("403", "http_4xx", "403 Forbidden", ""),
        status("404", "http_4xx", "404 Not Found", ""),
        status("451", "http_4xx", "451 Unavailable For Legal Reasons", ""),
        status("500", "http_5xx", "500 Internal Server Error", ""),
        status("503", "http_5xx", "503 Service Unavailable", ""),
        status("599", "http_5xx", "599 Whatever", ""),
        status("a status of no class", "bad_body", "999 Whatever", ""),
        case("304 unasked", "bad_body", |_, _| {
            vec![Do::Say(b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n".to_vec())]
        }),
    ]
}

fn redirects(trap: u16) -> Vec<Case> {
    let to = |name, place: String| {
        case(name, "bad_body", move |symbol: &str, _| {
            answer("301 Moved Permanently", &format!("location: {place}\r\n"), poison(symbol))
        })
    };
    vec![
        to("to a file", "file:///etc/passwd".to_owned()),
        to("to where clouds keep secrets", "http://169.254.169.254/never-asked".to_owned()),
        to("to another port", format!("http://127.0.0.1:{trap}/")),
        to("to another name", format!("http://localhost:{trap}/")),
        to("to a mapped address", format!("http://[::ffff:127.0.0.1]:{trap}/")),
        to("to a private address", "http://10.0.0.1/".to_owned()),
        to("to another scheme", format!("https://127.0.0.1:{trap}/")),
        to("to a host without a scheme", format!("//127.0.0.1:{trap}/")),
        to("in a loop", "/".to_owned()),
        to("to nowhere", "http://".to_owned()),
        case("to no place", "bad_body", |symbol, _| answer("302 Found", "", poison(symbol))),
    ]
}

fn slow() -> Vec<Case> {
    let apart = Duration::from_millis(100);
    vec![
        case("a body in drips", "timeout", move |symbol, _| {
            let body = poison(symbol);
            vec![raw(&format!("content-length: {}", body.len()), ""), Do::Drip(body.into(), apart)]
        }),
        case("a head in drips", "timeout", move |_, _| {
            vec![Do::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]".to_vec(), apart)]
        }),
        case("no answer", "timeout", |_, _| vec![Do::Hang]),
        case("a head and no body", "timeout", |_, _| vec![raw("content-length: 50", ""), Do::Hang]),
        case("for ever on the point of answering", "timeout", move |_, _| {
            let patience = [
                Do::Say(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
                Do::Wait(Duration::from_millis(10)),
            ];
            patience.into_iter().cycle().take(1_000).collect()
        }),
    ]
}

fn connections() -> Vec<Case> {
    vec![
        case("closes without an answer", "connect", |_, _| vec![Do::Close]),
        case("resets without an answer", "connect", |_, _| vec![Do::Reset]),
        case("resets in a body", "bad_body", |symbol, _| {
            let pause = Do::Wait(Duration::from_millis(30));
            vec![raw("content-length: 9999", poison(symbol)), pause, Do::Reset]
        }),
        case("closes in a head", "connect", |_, _| {
            vec![Do::Say(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()), Do::Close]
        }),
        case("is no HTTP", "bad_body", |_, _| {
            vec![Do::Say(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), Do::Close]
        }),
        case("a head without end", "bad_body", |_, _| {
            let line = format!("x-endless: {}\r\n", "x".repeat(1_000));
            vec![Do::Say(b"HTTP/1.1 200 OK\r\n".to_vec()), Do::Repeat(line.into_bytes())]
        }),
    ]
}
