//! What a row of an answer says.

use super::{
    super::{body::excerpt, row::Row},
    endpoints::{Endpoint, Kind},
};
use crate::{
    market::{Data, Decimal, Tick, Topic},
    units::Micros,
};

/// Longest ticker of an index that becomes a part of field names.
const TICKER_BYTES_MAX: usize = 24;

impl Endpoint {
    /// What a row says of one token.
    ///
    /// # Errors
    /// Says what it lacks.
    pub(super) fn tick(&self, topic: &Topic, row: &Row<'_>, now: Micros) -> Result<Tick, String> {
        let at = row.date(self.time);
        let (data, ts) = match self.kind {
            Kind::Candle(_, length) => self.candle(row, length, now)?,
            Kind::Signal(_) => {
                let data = self.values(row)?.with_opt("as_of", at);
                (data.with("model", "token_metrics"), at)
            }
            _ => (self.values(row)?, at),
        };
        Ok(Tick { topic: topic.clone(), data, ts })
    }

    /// What the rows say of the market as a whole.
    ///
    /// # Errors
    /// Says what they lack.
    pub(super) fn overview(&self, topic: &Topic, rows: &[Row<'_>]) -> Result<Tick, String> {
        if let Kind::Indices(_) = self.kind {
            return Ok(Tick { topic: topic.clone(), data: self.indices(rows)?, ts: None });
        }
        // The first of the newest.
        let newest = rows.iter().rev().max_by_key(|row| row.date(self.time));
        let newest = newest.ok_or("is not in the answer")?;
        let at = newest.date(self.time);
        let data = self.values(newest)?.with_opt("as_of", at).with("model", "token_metrics");
        Ok(Tick { topic: topic.clone(), data, ts: at })
    }

    /// Whether a candle that begins at `start` has ended. Nothing else ends.
    pub(super) fn is_complete(&self, start: Option<Micros>, now: Micros) -> bool {
        match (self.kind, start) {
            (Kind::Candle(_, length), Some(start)) => start.saturating_add(length) <= now,
            _ => false,
        }
    }

    fn values(&self, row: &Row<'_>) -> Result<Data, String> {
        let (name, key) = self.essential;
        let value = row.number(key).essential(key)?;
        let state = self.state.and_then(|key| row.number(key).decimal());
        let mut data =
            Data::new().with(name, value).with_opt("state", state.as_ref().and_then(position));
        row.fill(&mut data, self.fields);
        for (name, key) in self.texts {
            if let Some(text) = row.id(key).filter(|text| !text.is_empty()) {
                data.push(*name, text);
            }
        }
        Ok(data)
    }

    fn candle(
        &self,
        row: &Row<'_>,
        length: Micros,
        now: Micros,
    ) -> Result<(Data, Option<Micros>), String> {
        let start = row.date(self.time).ok_or_else(|| format!("has no {}", self.time))?;
        let end = start.saturating_add(length);
        let closed = end <= now;
        let mut data = Data::new().with("start", start).with("end", end);
        let (name, key) = self.essential;
        data.push(name, row.number(key).essential(key)?);
        for (name, key) in self.fields {
            // A candle without one of its prices is none; not every one has a volume.
            match row.number(key).essential(key) {
                Ok(number) => data.push(*name, number),
                Err(_) if *name == "volume" => {}
                Err(why) => return Err(why),
            }
        }
        data.push("closed", closed);
        Ok((data, Some(if closed { end } else { start })))
    }

    /// All indices as one set of fields: `tm10` is the price of TM10, `tm10_grade` its grade.
    fn indices(&self, rows: &[Row<'_>]) -> Result<Data, String> {
        let mut data = Data::new();
        for row in rows {
            let Some(ticker) = row.text("TICKER").and_then(|ticker| field(&ticker)) else {
                continue;
            };
            let Some(price) = row.number(self.essential.1).decimal() else { continue };
            if data.get(&ticker).is_some() {
                continue;
            }
            data.push(ticker.clone(), price);
            for (suffix, key) in self.fields {
                if let Some(number) = row.number(key).decimal() {
                    data.push(format!("{ticker}{suffix}"), number);
                }
            }
        }
        if data.is_empty() {
            return Err("is not in the answer".to_owned());
        }
        Ok(data)
    }
}

/// A ticker as a part of a field's name: `TM-10` becomes `tm_10`.
fn field(ticker: &str) -> Option<String> {
    let ticker = ticker.trim();
    let fits = (1..=TICKER_BYTES_MAX).contains(&ticker.len());
    let name = ticker.chars().map(|ch| match ch {
        'a'..='z' | 'A'..='Z' | '0'..='9' => ch.to_ascii_lowercase(),
        _ => '_',
    });
    (fits && excerpt(ticker) == ticker).then(|| name.collect())
}

/// What a trading signal of 1, 0 or −1 means.
fn position(signal: &Decimal) -> Option<&'static str> {
    let digits = match signal.as_str().split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => signal.as_str(),
    };
    match digits {
        "1" => Some("long"),
        "0" | "-0" => Some("flat"),
        "-1" => Some("short"),
        _ => None,
    }
}
