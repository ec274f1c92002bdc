//! A node of a chain that is like Ethereum, by JSON-RPC: height and price of gas, asked as one
//! batch. Shapes: Ethereum's execution API specification.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    Batch, DecodeError, Provider, Request, Response,
    body::{self, excerpt},
    markets::endpoint,
    mistake::{Mistake, Mistakes},
    row::Row,
};
use crate::{
    market::{Data, Decimal, Reason, Tick, Topic},
    units::Secret,
    upstream::{
        chains,
        config::{FeedConfig, ProviderKind},
    },
};

/// Both calls. The percentiles of what blocks pay above the base fee are those of [`SPEEDS`].
const BATCH: &[u8] = br#"[{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]},{"jsonrpc":"2.0","id":2,"method":"eth_feeHistory","params":["0x5","latest",[10,50,90]]}]"#;

const HEIGHT: &str = "1";
const FEES: &str = "2";

const SPEEDS: [&str; 3] = ["slow", "standard", "fast"];

/// Codes by which nodes say that we ask too much: EIP-1474, and those of hosting services.
const LIMIT_CODES: [&str; 4] = ["-32005", "-32029", "-32097", "429"];

const ENDPOINTS: [(&str, ()); 1] = [("gas", ())];

/// One chain: two topics.
#[derive(Debug)]
pub(super) struct Evm {
    height: Topic,
    gas: Topic,
    api_key: Option<Secret>,
}

impl Evm {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig, api_key: Option<Secret>) -> Result<Self, Mistakes> {
        endpoint(feed, &ENDPOINTS)?;
        let chain = feed.chain();
        chains::check(ProviderKind::Evm, chain).map_err(|why| Mistake::at("chain", why))?;
        let topic = |metric: &str| {
            Topic::parse(&format!("onchain.{chain}.{metric}"))
                .map_err(|error| Mistake::at("chain", error.to_string()))
        };
        // Hosting services take the key in the path or as a bearer token; only the latter stays out
        // of logs.
        let bearer = api_key.map(|key| Secret::new(format!("Bearer {}", key.expose())));
        Ok(Self { height: topic("height")?, gas: topic("gas")?, api_key: bearer })
    }

    fn height(&self, result: &RawValue) -> Result<Tick, String> {
        let number = quantity(result).and_then(|number| i64::try_from(number).ok());
        let height =
            number.ok_or_else(|| format!("is not a block number: {}", excerpt(result.get())))?;
        Ok(Tick { topic: self.height.clone(), data: Data::new().with("height", height), ts: None })
    }

    /// What the next block asks, and on top of it what the last ones were paid.
    fn gas(&self, result: &RawValue) -> Result<Tick, String> {
        let history = Row::read(result)
            .ok_or_else(|| format!("is not a fee history: {}", excerpt(result.get())))?;
        // One more than there are blocks: the last is that of the block to come.
        let base = elements(history.raw("baseFeePerGas"))
            .and_then(|fees| quantity(fees.last()?))
            .ok_or("has no baseFeePerGas")?;
        let mut data = Data::new().with("base_fee", gwei(base)?);
        for (place, speed) in SPEEDS.into_iter().enumerate() {
            if let Some(price) = tip(&history, place).and_then(|tip| base.checked_add(tip)) {
                data.push(speed, gwei(price)?);
            }
        }
        Ok(Tick { topic: self.gas.clone(), data, ts: None })
    }
}

impl Provider for Evm {
    fn requests(&self) -> Vec<Request> {
        let api_key = self.api_key.clone();
        vec![Request {
            secret_headers: api_key.map(|key| ("authorization".into(), key)).into_iter().collect(),
            body: Some(Bytes::from_static(BATCH)),
            ..Request::default()
        }]
    }

    /// Answers of a batch come in any order, each with the id of its call.
    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        if body::text(response)?.starts_with('{') {
            // The batch as a whole is refused.
            let refusal: Row<'_> = body::json(response)?;
            return Err(refused(&refusal)
                .unwrap_or_else(|| DecodeError::bad_body("one answer where a batch was due")));
        }
        let answers: Vec<&RawValue> = body::json(response)?;
        let answers: Vec<Row<'_>> = answers.into_iter().filter_map(Row::read).collect();
        let mut refusals: Vec<DecodeError> = answers.iter().filter_map(refused).collect();
        // Who asks too much learns it, though the other call was answered.
        let limited = refusals.iter().position(|error| error.reason == Reason::RateLimited);
        if let Some(limited) = limited {
            return Err(refusals.swap_remove(limited));
        }
        let of = |id: &str| answers.iter().find(|answer| answer.id("id").as_deref() == Some(id));
        let mut batch = Batch::default();
        batch.take(&self.height, result(of(HEIGHT)).and_then(|result| self.height(result)));
        batch.take(&self.gas, result(of(FEES)).and_then(|result| self.gas(result)));
        match refusals.pop() {
            Some(refusal) if batch.ticks.is_empty() => Err(refusal),
            _ => Ok(batch),
        }
    }

    fn topics(&self) -> Vec<Topic> {
        vec![self.height.clone(), self.gas.clone()]
    }
}

/// What an answer with an `error` says.
fn refused(answer: &Row<'_>) -> Option<DecodeError> {
    let raw = answer.raw("error").filter(|raw| raw.get() != "null")?;
    let Some(error) = Row::read(raw) else {
        return Some(DecodeError::reported(false, raw.get()));
    };
    let code = error.id("code").unwrap_or_default();
    let message = error.text("message").unwrap_or_default();
    let limited = LIMIT_CODES.contains(&code.as_str());
    Some(DecodeError::reported(limited, &format!("{code} {message}")))
}

fn result<'a>(answer: Option<&Row<'a>>) -> Result<&'a RawValue, String> {
    let answer = answer.ok_or("is not in the answer")?;
    if let Some(refusal) = refused(answer) {
        return Err(refusal.message);
    }
    let result = answer.raw("result").filter(|raw| raw.get() != "null");
    result.ok_or_else(|| "has no result".to_owned())
}

/// What the blocks of a fee history were paid above the base fee at one of the percentiles: the
/// (lower) median, so that one odd block does not move it.
fn tip(history: &Row<'_>, percentile: usize) -> Option<u128> {
    let of_block = |block: &&RawValue| {
        let tips = elements(Some(block))?;
        tips.get(percentile).and_then(|tip| quantity(tip))
    };
    let blocks = elements(history.raw("reward"))?;
    let mut tips: Vec<u128> = blocks.iter().filter_map(of_block).collect();
    tips.sort_unstable();
    tips.get(tips.len().saturating_sub(1) / 2).copied()
}

fn elements(raw: Option<&RawValue>) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw?.get()).ok()
}

/// A quantity as nodes write it: `"0x1b4"`.
fn quantity(raw: &RawValue) -> Option<u128> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    let digits = text.strip_prefix("0x")?;
    // A sign would be read as well.
    let hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    hex.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// Wei as gwei, exactly, without trailing zeros.
fn gwei(wei: u128) -> Result<Decimal, String> {
    const WEI: u128 = 1_000_000_000;
    let text = format!("{}.{:09}", wei / WEI, wei % WEI);
    Decimal::parse(text.trim_end_matches('0').trim_end_matches('.'))
        .map_err(|_| "is out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wei_become_gwei_without_loss() {
        for (wei, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_000_000_000, "1"),
            (10_000_000_000, "10"),
            (100, "0.0000001"),
            (1_234_567_890, "1.23456789"),
        ] {
            assert_eq!(gwei(wei).unwrap().as_str(), text);
        }
    }

    #[test]
    fn only_hexadecimal_text_is_a_quantity() {
        let read = |json: &str| quantity(serde_json::from_str(json).unwrap());
        assert_eq!(read("\"0x1b4\""), Some(436));
        assert_eq!(read("\"0x0\""), Some(0));
        assert_eq!(read(&format!("\"0x{}\"", "f".repeat(32))), Some(u128::MAX));
        for json in ["\"0x\"", "\"1b4\"", "\"0x+1\"", "\"0xg\"", "436", "null", "\"0x 1\""] {
            assert_eq!(read(json), None, "{json}");
        }
        assert_eq!(read(&format!("\"0x{}\"", "f".repeat(33))), None);
    }

    proptest! {
        #[test]
        fn gwei_of_any_quantity_are_those_of_the_hexadecimal_text(wei in any::<u128>()) {
            let json = format!("\"{wei:#x}\"");
            prop_assert_eq!(quantity(serde_json::from_str(&json).unwrap()), Some(wei));
            let text = gwei(wei).unwrap();
            let (whole, fraction) = text.as_str().split_once('.').unwrap_or((text.as_str(), ""));
            let back: u128 = format!("{whole}{fraction:0<9}").parse().unwrap();
            prop_assert_eq!(back, wei);
        }
    }
}
