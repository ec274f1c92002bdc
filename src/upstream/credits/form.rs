//! The file of spent credits as it is written. Pure.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::ledger::Mark;
use crate::units::Secret;

/// What this version writes, and the only one that it reads.
const VERSION: u32 = 1;

/// Bytes of a key's hash that tell it from others, two digits each.
const FINGERPRINT_BYTES: usize = 8;

/// Whose units are counted: those of a host under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As the budget names it.
    pub host: String,
    /// The first 16 hexadecimal digits of the SHA-256 of the key; none where none is sent.
    pub key: Option<String>,
}

/// One account and what is on disk of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose units.
    pub account: Account,
    /// How many of which month.
    pub mark: Mark,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    budgets: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    host: String,
    key_sha256: Option<String>,
    /// `2026-11`.
    month: String,
    /// Units spent, or reserved to be.
    reserved: u64,
}

/// Only this is looked at before the version is known.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Account {
    /// The account of `host` under `key`, which is not kept.
    pub fn new(host: &str, key: Option<&Secret>) -> Self {
        let key = key.map(|key| {
            let hash = digest(&SHA256, key.expose().as_bytes());
            hash.as_ref().iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect()
        });
        Self { host: host.to_owned(), key }
    }
}

/// The file's text.
///
/// # Errors
/// Says what cannot be written as JSON.
pub fn write(records: &[Record]) -> Result<String, String> {
    let line = |record: &Record| Line {
        host: record.account.host.clone(),
        key_sha256: record.account.key.clone(),
        month: month_text(record.mark.month),
        reserved: record.mark.reserved,
    };
    let file = File { version: VERSION, budgets: records.iter().map(line).collect() };
    let mut text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
    text.push('\n');
    Ok(text)
}

/// The records of a file's text.
///
/// # Errors
/// Says why the text is none that this version wrote.
pub fn read(text: &str) -> Result<Vec<Record>, String> {
    let damaged = |error: serde_json::Error| format!("it is damaged ({error})");
    let head: Head = serde_json::from_str(text).map_err(damaged)?;
    if head.version != VERSION {
        return Err(format!(
            "it is of version {}, and this Tickwire reads version {VERSION}",
            head.version
        ));
    }
    let file: File = serde_json::from_str(text).map_err(damaged)?;
    let mut records: Vec<Record> = Vec::with_capacity(file.budgets.len());
    for line in file.budgets {
        let month = month_index(&line.month)
            .ok_or_else(|| format!("it is damaged ({:?} is no month)", line.month))?;
        let account = Account { host: line.host, key: line.key_sha256 };
        if records.iter().any(|record| record.account == account) {
            return Err(format!("it is damaged ({:?} is in it twice)", account.host));
        }
        records.push(Record { account, mark: Mark { month, reserved: line.reserved } });
    }
    Ok(records)
}

/// `2026-11` of a month's number.
pub fn month_text(index: i64) -> String {
    format!("{:04}-{:02}", 1970 + index.div_euclid(12), index.rem_euclid(12) + 1)
}

fn month_index(text: &str) -> Option<i64> {
    let (year, month) = text.split_once('-')?;
    let year: i64 = year.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let month: i64 = month.parse().ok().filter(|month| (1..=12).contains(month))?;
    let index = (year - 1970) * 12 + month - 1;
    (month_text(index) == text).then_some(index)
}
