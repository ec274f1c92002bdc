//! What the fields of `data` are: their units and meanings, by topic.

use super::Symbol;

/// A field of `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it says, for a person.
    pub meaning: &'static str,
}

/// What a field is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A name, a yes or no, or a number whose unit depends on the source.
    None,
    /// The currency that a market is paid in.
    Quote,
    /// Always the same.
    Fixed(&'static str),
}

impl Unit {
    /// Its name, for a topic of the market `symbol`.
    pub fn name(self, symbol: Option<&Symbol>) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Quote => symbol.map(Symbol::quote),
            Self::Fixed(name) => Some(name),
        }
    }
}

/// The fields of a topic, as far as the protocol defines them.
pub fn of(topic: &str) -> &'static [Field] {
    let mut tokens = topic.split('.');
    match (tokens.next(), tokens.next(), tokens.next()) {
        (Some("price"), ..) => &PRICE,
        (Some("candle"), ..) => &CANDLE,
        (Some("signal"), ..) => &SIGNAL,
        (Some("onchain"), _, Some("gas")) => &GAS,
        (Some("onchain"), _, Some("fees")) => &FEES,
        (Some("onchain"), _, Some("height")) => &HEIGHT,
        (Some("onchain"), _, Some("tvl")) => &TVL,
        (Some("market"), Some("fear_greed"), _) => &FEAR_GREED,
        (Some("status"), ..) => &STATUS,
        _ => &[],
    }
}

const MICROSECONDS: Unit = Unit::Fixed("us");
const MILLISECONDS: Unit = Unit::Fixed("ms");
const GWEI: Unit = Unit::Fixed("gwei");
const SAT_PER_VBYTE: Unit = Unit::Fixed("sat/vB");

const PRICE: [Field; 10] = [
    field("price", Unit::Quote, "what one unit of the base was last worth"),
    field("bid", Unit::Quote, "the highest price that a buyer offers"),
    field("ask", Unit::Quote, "the lowest price that a seller asks"),
    // Exchanges count the base, aggregators the quote.
    field("volume_24h", Unit::None, "what was traded in 24 hours, counted as the source does"),
    field("change_24h_pct", Unit::Fixed("%"), "how far the price has moved in 24 hours"),
    field("high_24h", Unit::Quote, "the highest price in 24 hours"),
    field("low_24h", Unit::Quote, "the lowest price in 24 hours"),
    field("market_cap", Unit::Quote, "the price times what there is of the base"),
    field("sources", Unit::Fixed("sources"), "how many live sources count in a consolidated price"),
    field("spread_bps", Unit::Fixed("bps"), "from the lowest to the highest price that counts"),
];

const CANDLE: [Field; 9] = [
    field("start", MICROSECONDS, "when it begins"),
    field("end", MICROSECONDS, "when it ends"),
    field("open", Unit::Quote, "the first price"),
    field("high", Unit::Quote, "the highest price"),
    field("low", Unit::Quote, "the lowest price"),
    field("close", Unit::Quote, "the last price"),
    field("volume", Unit::None, "what was traded, counted as the source does"),
    field("count", Unit::Fixed("prices"), "how many prices it is made of"),
    field("closed", Unit::None, "whether it will not change any more"),
];

const SIGNAL: [Field; 4] = [
    field("value", Unit::None, "the signal; its scale is that of its name"),
    field("state", Unit::None, "what it advises: long, short or flat"),
    field("as_of", MICROSECONDS, "the time that it is about"),
    field("model", Unit::None, "what made it"),
];

const GAS: [Field; 4] = [
    field("base_fee", GWEI, "what every transaction pays"),
    field("slow", GWEI, "the price of gas for patience"),
    field("standard", GWEI, "the usual price of gas"),
    field("fast", GWEI, "the price of gas for haste"),
];

const FEES: [Field; 5] = [
    field("fastest", SAT_PER_VBYTE, "the fee for the next block"),
    field("half_hour", SAT_PER_VBYTE, "the fee for half an hour"),
    field("hour", SAT_PER_VBYTE, "the fee for an hour"),
    field("economy", SAT_PER_VBYTE, "the fee for patience"),
    field("minimum", SAT_PER_VBYTE, "the least that is relayed"),
];

const HEIGHT: [Field; 1] =
    [field("height", Unit::Fixed("blocks"), "the number of the newest block")];

const TVL: [Field; 1] = [field("tvl_usd", Unit::Fixed("USD"), "the value locked in the chain")];

const FEAR_GREED: [Field; 2] = [
    field("value", Unit::Fixed("points"), "0 is extreme fear, 100 extreme greed"),
    field("label", Unit::None, "the name of that range"),
];

const STATUS: [Field; 6] = [
    field("state", Unit::None, "live, stale or down"),
    field("age_ms", MILLISECONDS, "the age of the last confirmation"),
    field("reason", Unit::None, "why it is not live"),
    field("retry_at", MICROSECONDS, "when it will be tried again"),
    field("breaker", Unit::None, "closed, open or half_open"),
    field("budget_remaining", Unit::Fixed("requests"), "what is left of the upstream's budget"),
];

const fn field(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
    Field { name, unit, meaning }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(topic: &str, name: &str) -> Option<String> {
        let symbol = Symbol::parse("BTC-USD");
        let field = of(topic).iter().find(|field| field.name == name).unwrap();
        field.unit.name(symbol.as_ref()).map(str::to_owned)
    }

    #[test]
    fn units_are_those_of_the_market_or_fixed() {
        assert_eq!(unit("price.BTC-USD", "price").as_deref(), Some("USD"));
        assert_eq!(unit("price.BTC-USD.binance", "spread_bps").as_deref(), Some("bps"));
        assert_eq!(unit("price.BTC-USD", "volume_24h"), None);
        assert_eq!(unit("onchain.bitcoin.fees", "hour").as_deref(), Some("sat/vB"));
        assert_eq!(unit("market.fear_greed", "value").as_deref(), Some("points"));
        assert_eq!(Unit::Quote.name(None), None);
        assert!(of("bench.0").is_empty() && of("onchain.bitcoin").is_empty());
    }

    #[test]
    fn no_topic_has_a_field_twice() {
        for topic in ["price.A-B", "candle.A-B.1m", "signal.A-B.x", "onchain.c.gas", "status.x"] {
            let mut names: Vec<_> = of(topic).iter().map(|field| field.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), of(topic).len(), "{topic}");
        }
    }
}
