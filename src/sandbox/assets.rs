//! What is traded in the simulated market, and what each imitated API calls it.

/// One base asset.
#[derive(Debug)]
pub(super) struct Asset {
    /// Ticker in upper case: `BTC`.
    pub(super) symbol: &'static str,
    /// Name in words.
    pub(super) name: &'static str,
    /// Id at CoinGecko, the real one.
    pub(super) coingecko_id: &'static str,
    /// Id at Token Metrics. Real for BTC and ETH; the others are made up, since a client has to
    /// ask `/tokens` for them anyway.
    pub(super) token_metrics_id: u32,
    /// Price in USD a day before the simulation begins.
    pub(super) start_usd: f64,
    /// Decimals of a price: the tick is `10^-decimals`.
    pub(super) decimals: u8,
    /// Coins in circulation.
    pub(super) supply: f64,
    /// Traded in a day, in coins, about.
    pub(super) daily_volume: f64,
}

/// A row of the table, in the order: symbol, name, CoinGecko, Token Metrics, USD, decimals, supply
/// in millions, share of the supply traded in a day.
type Row = (&'static str, &'static str, &'static str, u32, f64, u8, f64, f64);

const fn asset(row: Row) -> Asset {
    let (symbol, name, coingecko_id, token_metrics_id, start_usd, decimals, millions, turnover) =
        row;
    let supply = millions * 1e6;
    Asset {
        symbol,
        name,
        coingecko_id,
        token_metrics_id,
        start_usd,
        decimals,
        supply,
        daily_volume: supply * turnover,
    }
}

/// All of them. Decimals are chosen so that a price moves about every second step or oftener.
#[rustfmt::skip]
pub(super) static ASSETS: [Asset; 30] = [
    asset(("BTC", "Bitcoin", "bitcoin", 3375, 68_900.50, 2, 19.9, 0.015)),
    asset(("ETH", "Ethereum", "ethereum", 3306, 3_520.25, 2, 120.7, 0.04)),
    asset(("SOL", "Solana", "solana", 3988, 165.40, 3, 540.0, 0.05)),
    asset(("XRP", "XRP", "ripple", 3413, 2.1840, 4, 59_000.0, 0.03)),
    asset(("BNB", "BNB", "binancecoin", 3334, 652.30, 2, 139.3, 0.02)),
    asset(("DOGE", "Dogecoin", "dogecoin", 3432, 0.17250, 6, 149_000.0, 0.06)),
    asset(("ADA", "Cardano", "cardano", 3401, 0.7120, 5, 35_800.0, 0.04)),
    asset(("AVAX", "Avalanche", "avalanche-2", 4071, 28.450, 3, 421.0, 0.05)),
    asset(("LINK", "Chainlink", "chainlink", 3456, 16.320, 3, 657.0, 0.05)),
    asset(("DOT", "Polkadot", "polkadot", 3961, 5.2300, 4, 1_560.0, 0.04)),
    asset(("LTC", "Litecoin", "litecoin", 3398, 91.25, 3, 76.0, 0.08)),
    asset(("BCH", "Bitcoin Cash", "bitcoin-cash", 3409, 415.60, 2, 19.9, 0.05)),
    asset(("UNI", "Uniswap", "uniswap", 3974, 7.6500, 4, 628.0, 0.06)),
    asset(("ATOM", "Cosmos Hub", "cosmos", 3570, 4.8100, 4, 470.0, 0.06)),
    asset(("XLM", "Stellar", "stellar", 3405, 0.28640, 5, 31_000.0, 0.03)),
    asset(("NEAR", "NEAR Protocol", "near", 3983, 2.8700, 4, 1_230.0, 0.07)),
    asset(("APT", "Aptos", "aptos", 5126, 5.4200, 4, 640.0, 0.05)),
    asset(("ARB", "Arbitrum", "arbitrum", 5294, 0.4120, 5, 4_900.0, 0.08)),
    asset(("OP", "Optimism", "optimism", 4987, 0.7860, 5, 1_740.0, 0.08)),
    asset(("FIL", "Filecoin", "filecoin", 3966, 2.7400, 4, 670.0, 0.06)),
    asset(("TRX", "TRON", "tron", 3411, 0.27150, 5, 94_900.0, 0.01)),
    asset(("SHIB", "Shiba Inu", "shiba-inu", 4226, 0.000_013_420_0, 10, 589_000_000.0, 0.03)),
    asset(("PEPE", "Pepe", "pepe", 5331, 0.000_011_250_0, 10, 420_690_000.0, 0.12)),
    asset(("AAVE", "Aave", "aave", 3929, 258.40, 2, 15.2, 0.08)),
    asset(("SUI", "Sui", "sui", 5362, 3.2500, 4, 3_400.0, 0.09)),
    asset(("TON", "Toncoin", "the-open-network", 4302, 3.1200, 4, 2_470.0, 0.02)),
    asset(("HBAR", "Hedera", "hedera-hashgraph", 3702, 0.18240, 5, 42_300.0, 0.04)),
    asset(("XMR", "Monero", "monero", 3399, 332.10, 2, 18.4, 0.02)),
    asset(("ETC", "Ethereum Classic", "ethereum-classic", 3404, 18.640, 3, 152.0, 0.05)),
    asset(("INJ", "Injective", "injective-protocol", 3968, 12.750, 3, 100.0, 0.09)),
];

/// The assets named, in the table's order; all when none is named. Case does not matter, and
/// `BTC-USD` names BTC.
///
/// # Errors
/// The first name that the table does not have.
pub(super) fn select(names: &[String]) -> Result<Vec<&'static Asset>, String> {
    let base = |name: &str| name.split(['-', '/']).next().unwrap_or_default().to_owned();
    let is = |asset: &Asset, name: &str| asset.symbol.eq_ignore_ascii_case(&base(name));
    let unknown = names.iter().find(|name| !ASSETS.iter().any(|asset| is(asset, name)));
    if let Some(name) = unknown {
        return Err(name.clone());
    }
    let wanted = |asset: &&Asset| names.is_empty() || names.iter().any(|name| is(asset, name));
    Ok(ASSETS.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_assets_share_a_name_anywhere() {
        let symbols: HashSet<_> = ASSETS.iter().map(|asset| asset.symbol).collect();
        let gecko: HashSet<_> = ASSETS.iter().map(|asset| asset.coingecko_id).collect();
        let token_metrics: HashSet<_> = ASSETS.iter().map(|asset| asset.token_metrics_id).collect();
        assert_eq!([symbols.len(), gecko.len(), token_metrics.len()], [ASSETS.len(); 3]);
    }

    #[test]
    fn a_price_has_enough_ticks_to_move_in() {
        for asset in &ASSETS {
            let ticks = asset.start_usd * 10_f64.powi(i32::from(asset.decimals));
            assert!(ticks > 10_000.0, "{} has {ticks} ticks", asset.symbol);
        }
    }

    #[test]
    fn assets_are_selected_by_base_and_unknown_ones_refused() {
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let symbols = |wanted: &[&str]| {
            select(&names(wanted)).map(|all| all.iter().map(|a| a.symbol).collect::<Vec<_>>())
        };
        assert_eq!(symbols(&["eth", "BTC-USD"]), Ok(vec!["BTC", "ETH"]));
        assert_eq!(symbols(&["BTC", "NOPE"]), Err("NOPE".to_owned()));
        assert_eq!(symbols(&[]).unwrap().len(), ASSETS.len());
    }
}
