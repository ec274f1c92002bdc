//! Any text as a filter: it is refused with a code and a place, or it is evaluated; nothing panics,
//! and nothing takes long.

#![no_main]

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tickwire::{
    delivery::{Filters, Memo},
    market::{Topic, Update},
    protocol::code::ErrorCode,
};

static FILTERS: LazyLock<Filters> = LazyLock::new(Filters::new);
static UPDATE: LazyLock<Update> = LazyLock::new(|| Update {
    topic: Topic::parse("price.BTC-USD").expect("a topic"),
    epoch: "k3f9".into(),
    seq: 57,
    ts: Some(1_790_000_000_123_000),
    rx: 1_790_000_000_150_123,
    source: "coinbase".into(),
    data: Bytes::from_static(
        br#"{"price":"68900.50","bid":"68900.10","sources":3,"state":"long","closed":true,"zero":0}"#,
    ),
});

fuzz_target!(|text: &str| {
    let start = Instant::now();
    match FILTERS.compile(text) {
        Ok(filter) => {
            let alone = filter.evaluate(&UPDATE);
            assert_eq!(Memo::new(&UPDATE).verdict(&filter), alone);
        }
        Err(error) => {
            assert!(matches!(error.code, ErrorCode::BadFilter | ErrorCode::FilterTooCostly));
            assert!(!error.message.ends_with("this cannot be read"), "the parser panicked");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{text:?}");
});
