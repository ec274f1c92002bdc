//! What differs between Token Metrics' endpoints. A further one is a row in [`ENDPOINTS`].

use crate::units::Micros;

/// Ids that a request names at most, and rows that an answer holds at most.
pub(super) const PAGE: usize = 100;

const HOUR: Micros = 3_600_000_000;

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// The key of the time that a row is about.
    pub(super) time: &'static str,
    /// Our name and the API's key of the field without which a row is of no use.
    pub(super) essential: (&'static str, &'static str),
    /// The key of the number that means a `state`.
    pub(super) state: Option<&'static str>,
    /// Further numbers: our name and the API's key.
    pub(super) fields: &'static [(&'static str, &'static str)],
    /// Texts: our name and the API's key.
    pub(super) texts: &'static [(&'static str, &'static str)],
    /// Ids that one request names: one where the answer is a history, of which several tokens would
    /// crowd each other's newest rows off the page.
    pub(super) ids: usize,
}

/// What a row becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `price.<SYMBOL>.<feed>`.
    Price,
    /// `signal.<SYMBOL>.<this>`.
    Signal(&'static str),
    /// `candle.<SYMBOL>.<this>`, so many microseconds long.
    Candle(&'static str, Micros),
    /// `market.<this>`: the newest row is about the market as a whole.
    Market(&'static str),
    /// `market.<this>`: each row is an index, and becomes fields that bear its ticker.
    Indices(&'static str),
}

const PLAIN: Endpoint = Endpoint {
    path: "/price",
    kind: Kind::Price,
    time: "DATE",
    essential: ("price", "CURRENT_PRICE"),
    state: None,
    fields: &[],
    texts: &[],
    ids: PAGE,
};

/// Rows of `/hourly-ohlcv` and `/daily-ohlcv`.
const CANDLE: Endpoint = Endpoint {
    time: "TIMESTAMP",
    essential: ("open", "OPEN"),
    fields: &[("high", "HIGH"), ("low", "LOW"), ("close", "CLOSE"), ("volume", "VOLUME")],
    ids: 1,
    ..PLAIN
};

pub(super) const ENDPOINTS: [(&str, Endpoint); 11] = [
    ("price", PLAIN),
    (
        "trading_signals",
        Endpoint {
            path: "/trading-signals",
            kind: Kind::Signal("tm_trading_signal"),
            essential: ("value", "TRADING_SIGNAL"),
            state: Some("TRADING_SIGNAL"),
            fields: &[
                ("trend", "TOKEN_TREND"),
                ("trader_grade", "TM_TRADER_GRADE"),
                ("investor_grade", "TM_INVESTOR_GRADE"),
            ],
            ..PLAIN
        },
    ),
    (
        "hourly_trading_signals",
        Endpoint {
            path: "/hourly-trading-signals",
            kind: Kind::Signal("tm_hourly_trading_signal"),
            time: "TIMESTAMP",
            essential: ("value", "SIGNAL"),
            state: Some("SIGNAL"),
            fields: &[("position", "POSITION"), ("close", "CLOSE")],
            ids: 1,
            ..PLAIN
        },
    ),
    (
        "trader_grades",
        Endpoint {
            path: "/trader-grades",
            kind: Kind::Signal("tm_trader_grade"),
            essential: ("value", "TM_TRADER_GRADE"),
            fields: &[
                ("ta_grade", "TA_GRADE"),
                ("quant_grade", "QUANT_GRADE"),
                ("change_24h_pct", "TM_TRADER_GRADE_24H_PCT_CHANGE"),
            ],
            ..PLAIN
        },
    ),
    (
        "investor_grades",
        Endpoint {
            path: "/investor-grades",
            kind: Kind::Signal("tm_investor_grade"),
            essential: ("value", "TM_INVESTOR_GRADE"),
            fields: &[
                ("change_7d_pct", "TM_INVESTOR_GRADE_7D_PCT_CHANGE"),
                ("fundamental_grade", "FUNDAMENTAL_GRADE"),
                ("technology_grade", "TECHNOLOGY_GRADE"),
                ("valuation_grade", "VALUATION_GRADE"),
                ("defi_usage_score", "DEFI_USAGE_SCORE"),
                ("community_score", "COMMUNITY_SCORE"),
                ("exchange_score", "EXCHANGE_SCORE"),
                ("vc_score", "VC_SCORE"),
                ("tokenomics_score", "TOKENOMICS_SCORE"),
                ("defi_scanner_score", "DEFI_SCANNER_SCORE"),
                ("activity_score", "ACTIVITY_SCORE"),
                ("security_score", "SECURITY_SCORE"),
                ("repository_score", "REPOSITORY_SCORE"),
                ("collaboration_score", "COLLABORATION_SCORE"),
            ],
            ..PLAIN
        },
    ),
    (
        "tm_grade",
        Endpoint {
            path: "/tm-grade",
            kind: Kind::Signal("tm_grade"),
            essential: ("value", "TM_GRADE"),
            state: Some("TM_GRADE_SIGNAL"),
            fields: &[
                ("fundamental_grade", "FUNDAMENTAL_GRADE"),
                // The `h` is small in this one.
                ("change_24h_pct", "TM_GRADE_24h_PCT_CHANGE"),
                ("trader_grade_change_24h", "TM_TRADER_GRADE_24H_CHANGE"),
            ],
            texts: &[
                ("grade_signal", "TM_GRADE_SIGNAL"),
                ("fundamental_class", "FUNDAMENTAL_GRADE_CLASS"),
                ("momentum", "MOMENTUM"),
            ],
            ..PLAIN
        },
    ),
    (
        "market_metrics",
        Endpoint {
            path: "/market-metrics",
            kind: Kind::Market("tm_metrics"),
            essential: ("total_market_cap", "TOTAL_CRYPTO_MCAP"),
            state: Some("TM_GRADE_SIGNAL"),
            fields: &[
                ("high_grade_pct", "TM_GRADE_PERC_HIGH_COINS"),
                ("signal", "TM_GRADE_SIGNAL"),
                ("last_signal", "LAST_TM_GRADE_SIGNAL"),
            ],
            ..PLAIN
        },
    ),
    (
        "indices",
        Endpoint {
            path: "/indices",
            kind: Kind::Indices("tm_indices"),
            essential: ("", "PRICE"),
            fields: &[
                ("_change_24h_pct", "24H"),
                ("_volume_24h", "24H_VOLUME"),
                ("_market_cap", "MARKET_CAP"),
                ("_grade", "INDEX_GRADE"),
            ],
            ..PLAIN
        },
    ),
    (
        "sentiments",
        Endpoint {
            path: "/sentiments",
            kind: Kind::Market("tm_sentiment"),
            time: "DATETIME",
            essential: ("value", "MARKET_SENTIMENT_GRADE"),
            fields: &[
                ("news", "NEWS_SENTIMENT_GRADE"),
                ("reddit", "REDDIT_SENTIMENT_GRADE"),
                ("twitter", "TWITTER_SENTIMENT_GRADE"),
            ],
            texts: &[
                ("label", "MARKET_SENTIMENT_LABEL"),
                ("news_label", "NEWS_SENTIMENT_LABEL"),
                ("reddit_label", "REDDIT_SENTIMENT_LABEL"),
                ("twitter_label", "TWITTER_SENTIMENT_LABEL"),
            ],
            ..PLAIN
        },
    ),
    ("hourly_ohlcv", Endpoint { path: "/hourly-ohlcv", kind: Kind::Candle("1h", HOUR), ..CANDLE }),
    (
        "daily_ohlcv",
        Endpoint { path: "/daily-ohlcv", kind: Kind::Candle("1d", 24 * HOUR), ..CANDLE },
    ),
];
