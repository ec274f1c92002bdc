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

/// Assets that some venues call otherwise, and their common names.
const VENUE_NAMES: [(&str, &str); 2] = [("XBT", "BTC"), ("XDG", "DOGE")];

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

    /// Other spellings that mean it, such as `BTC/USD` and `BTCUSD`, the common ones first.
    pub fn aliases(&self) -> Vec<String> {
        let quote = self.quote();
        let mut bases = vec![self.base()];
        bases.extend(
            VENUE_NAMES.iter().filter(|(_, name)| *name == self.base()).map(|(venue, _)| *venue),
        );
        let spellings = bases.into_iter().flat_map(|base| {
            let separated = ["/", "-", "_", ""].map(|between| format!("{base}{between}{quote}"));
            separated.into_iter().chain([format!("{base}-{quote}").to_ascii_lowercase()])
        });
        // Not every pair can be told apart without a separator.
        let means_it = |text: &String| *text != *self.0 && Self::parse(text).as_ref() == Some(self);
        spellings.filter(means_it).collect()
    }
}

/// The common name of an asset that some venues call otherwise.
fn asset(name: &str) -> &str {
    VENUE_NAMES.iter().find(|(venue, _)| *venue == name).map_or(name, |(_, common)| *common)
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
    fn aliases_mean_the_symbol() {
        let aliases = |text| Symbol::parse(text).unwrap().aliases();
        let btc = aliases("BTC-USD");
        for alias in ["BTC/USD", "BTC_USD", "BTCUSD", "btc-usd", "XBT-USD", "XBTUSD"] {
            assert!(btc.iter().any(|known| known == alias), "{alias} in {btc:?}");
        }
        assert!(!btc.contains(&"BTC-USD".to_owned()));
        // No quote currency that is known: only a separator tells where the base ends.
        assert_eq!(aliases("ABC-XYZ"), ["ABC/XYZ", "ABC_XYZ", "abc-xyz"]);
    }

    #[test]
    fn what_names_no_market_is_refused() {
        for text in ["", "USD", "*", ">", "BTC-", "-USD", "A-B-C", "BTC-U$D", "FOO", "1inch"] {
            assert_eq!(Symbol::parse(text), None, "{text}");
        }
    }
}
