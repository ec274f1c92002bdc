//! Filters from text to verdict: good ones, bad ones, hostile ones.

mod hostile;
mod random;
mod refusals;
mod sharing;
mod verdicts;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Filter, Filters, Memo, Verdict};
use crate::{
    market::{Topic, Update},
    protocol::code::{ErrorBody, ErrorCode},
};

/// No filter may take longer to be read, in a debug build on a busy machine.
const READ_MAX: Duration = Duration::from_millis(200);

fn update(topic: &str, ts: Option<i64>, data: &'static str) -> Update {
    Update {
        topic: Topic::parse(topic).unwrap(),
        epoch: "k3f9".into(),
        seq: 57,
        ts,
        rx: 1_790_000_000_150_123,
        source: "coinbase".into(),
        data: Bytes::from_static(data.as_bytes()),
    }
}

fn price() -> Update {
    update(
        "price.BTC-USD",
        Some(1_790_000_000_123_000),
        r#"{"price":"68900.50","bid":"68900.10","change_24h_pct":"-2.5","sources":3,"label":"40",
            "state":"long","closed":true,"note":"Fear é","zero":0}"#,
    )
}

fn compile(text: &str) -> Result<Arc<Filter>, ErrorBody> {
    let start = Instant::now();
    let compiled = Filters::new().compile(text);
    let took = start.elapsed();
    assert!(took < READ_MAX, "{took:?} for {text:?}");
    compiled
}

fn verdict(text: &str, update: &Update) -> Verdict {
    match compile(text) {
        Ok(filter) => filter.evaluate(update),
        Err(error) => panic!("{text}: {error}"),
    }
}

fn refused(text: &str) -> ErrorBody {
    match compile(text) {
        Ok(filter) => panic!("{filter:?} was accepted"),
        Err(error) => error,
    }
}

fn fault(text: &str) -> String {
    match verdict(text, &price()) {
        Verdict::Error(fault) => fault.to_string(),
        other => panic!("{text}: {other:?}"),
    }
}
