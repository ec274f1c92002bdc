//! Canonical trading symbols and the spellings that mean them.

use std::{fmt, sync::Arc};

/// A market in canonical form, `BASE-QUOTE` in upper case: `BTC-USD`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol(Arc<str>);

/// Quote currencies by which an unseparated spelling such as `BTCUSDT` is split. Where one ends
/// with another, the longer stands first. TUSD and BUSD are left out: `DOTUSD` and `BNBUSD` are
/// markets in USD.
const QUOTES: [&str; 17] = [
    "FDUSD", "USDT", "USDC", "USDE", "DAI", "USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "TRY",
    "BRL", "BTC", "ETH", "BNB",
];

impl Symbol {
    /// Reads a canonical symbol or one of the spellings that mean it: `BTC/USD`, `btc-usd`,
    /// `BTC_USD`, `BTCUSD`, `XBT-USD`. `None` when the text is not recognisably a market.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let (base, quote) = match upper.split_once(['-', '/', '_']) {
            Some((base, quote)) => (base, quote),
            None => QUOTES.iter().find_map(|quote| {
                let base = upper.strip_suffix(quote)?;
                (!base.is_empty()).then_some((base, *quote))
            })?,
        };
        let valid = |part: &str| {
            (1..=20).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !valid(base) || !valid(quote) {
            return None;
        }
        Some(Self(format!("{}-{}", asset(base), asset(quote)).into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is bought: `BTC` of `BTC-USD`.
    pub fn base(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// What it is paid in: `USD` of `BTC-USD`.
    pub fn quote(&self) -> &str {
        self.0.split('-').nth(1).unwrap_or_default()
    }
}

/// The common name of an asset that some venues call otherwise.
fn asset(name: &str) -> &str {
    match name {
        "XBT" => "BTC",
        "XDG" => "DOGE",
        name => name,
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_market_agree() {
        for text in ["BTC-USD", "BTC/USD", "btc-usd", "BTCUSD", "XBT-USD", "xbtusd", "btc_usd"] {
            assert_eq!(Symbol::parse(text).unwrap().as_str(), "BTC-USD", "{text}");
        }
        assert_eq!(Symbol::parse("BTCUSDT").unwrap().as_str(), "BTC-USDT");
        assert_eq!(Symbol::parse("DOTUSD").unwrap().as_str(), "DOT-USD");
        assert_eq!(Symbol::parse("ETHBTC").unwrap().as_str(), "ETH-BTC");
    }

    #[test]
    fn what_names_no_market_is_refused() {
        for text in ["", "USD", "*", ">", "BTC-", "-USD", "A-B-C", "BTC-U$D", "FOO", "1inch"] {
            assert_eq!(Symbol::parse(text), None, "{text}");
        }
    }
}
