//! The simulated market: all assets, the venues that quote them, and a block chain. Pure: it is
//! told how many steps have passed and reads no clock.

use rand::Rng;

use crate::units::Micros;

use super::{
    assets::Asset,
    chain::Chain,
    dice::{Wave, dice},
    path::{Path, Point, STEP_MS},
};

/// One basis point.
const BPS: f64 = 1e-4;

/// Who quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Venue {
    /// An exchange: its quotes move with every step.
    Binance,
    /// The same.
    Coinbase,
    /// The same.
    Kraken,
    /// An aggregator, which looks every ten seconds.
    CoinGecko,
    /// The same.
    TokenMetrics,
    /// The same.
    DefiLlama,
}

/// Everything that is simulated.
#[derive(Debug)]
pub(super) struct Market {
    coins: Vec<Coin>,
    chain: Chain,
    tether: Wave,
    step: u64,
    epoch: Micros,
}

/// An asset in the market.
#[derive(Debug)]
pub(super) struct Coin {
    /// What it is.
    pub(super) asset: &'static Asset,
    path: Path,
    binance: Tilt,
    coinbase: Tilt,
    kraken: Tilt,
    coingecko: Tilt,
    token_metrics: Tilt,
    defillama: Tilt,
    mood: Wave,
}

/// How a venue's quotes of one asset differ from the simulated price.
#[derive(Debug)]
struct Tilt {
    bias: f64,
    wave: Wave,
    half_spread: f64,
}

/// What one unit of something is worth, in USD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Worth {
    now: f64,
    day_ago: f64,
}

/// What a venue says of one asset, in one quote currency; volume in coins. Prices are whole ticks:
/// `low <= price <= high`, `bid < price < ask`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quote {
    pub(super) step: u64,
    pub(super) price: f64,
    pub(super) bid: f64,
    pub(super) ask: f64,
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) volume: f64,
}

/// A rating of one asset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rating {
    /// 1 to buy, -1 to sell, 0 for neither: where the last hour went.
    pub(super) signal: i8,
    /// The same for the day.
    pub(super) trend: i8,
    /// 0 to 100, moving slowly.
    pub(super) trader_grade: f64,
    /// How much that changed in a day, in percent.
    pub(super) trader_grade_change: f64,
    /// 0 to 100, moving more slowly.
    pub(super) investor_grade: f64,
}

impl Market {
    /// A market at step 0, which is the moment `epoch`.
    pub(super) fn new(
        seed: u64,
        volatility: f64,
        assets: &[&'static Asset],
        epoch: Micros,
    ) -> Self {
        let coin = |asset: &&'static Asset| Coin::new(seed, volatility, asset);
        Self {
            coins: assets.iter().map(coin).collect(),
            chain: Chain::new(dice(seed, "chain")),
            tether: Wave::draw(&mut dice(seed, "tether"), 1.5 * BPS, 12_000.0),
            step: 0,
            epoch,
        }
    }

    /// Goes on to `step`; an earlier one changes nothing.
    pub(super) fn advance_to(&mut self, step: u64) {
        self.step = self.step.max(step);
        self.chain.advance_to(step);
        for coin in &mut self.coins {
            coin.path.advance_to(step);
        }
    }

    /// Where it is.
    pub(super) fn step(&self) -> u64 {
        self.step
    }

    /// The moment of a step.
    pub(super) fn time_of(&self, step: u64) -> Micros {
        let passed = Micros::try_from(step.saturating_mul(STEP_MS * 1_000)).unwrap_or(Micros::MAX);
        self.epoch.saturating_add(passed)
    }

    /// All assets, in the table's order.
    pub(super) fn coins(&self) -> &[Coin] {
        &self.coins
    }

    /// The asset with a ticker in upper case.
    pub(super) fn coin(&self, symbol: &str) -> Option<&Coin> {
        self.coins.iter().find(|coin| coin.asset.symbol == symbol)
    }

    /// The block chain.
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What one unit of a quote currency is worth in USD; `None` for one that is not quoted. The
    /// dollar tokens are a little off a dollar, as they are.
    pub(super) fn worth(&self, currency: &str) -> Option<Worth> {
        match currency {
            "USD" => Some(Worth::fixed(1.0)),
            "USDT" => Some(Worth::fixed(1.0 - 4.0 * BPS + self.tether.at(self.step))),
            "USDC" => Some(Worth::fixed(1.0 - BPS)),
            "EUR" => Some(Worth::fixed(1.084)),
            "BTC" | "ETH" => self.coin(currency).map(|coin| coin.worth(Venue::CoinGecko)),
            _ => None,
        }
    }
}

impl Worth {
    /// What always is worth the same.
    pub(super) fn fixed(usd: f64) -> Self {
        Self { now: usd, day_ago: usd }
    }

    /// How much of it some USD are.
    pub(super) fn buys(self, usd: f64) -> f64 {
        usd / self.now
    }
}

impl Coin {
    fn new(seed: u64, volatility: f64, asset: &'static Asset) -> Self {
        let symbol = asset.symbol;
        let named = |role: &str| dice(seed, &format!("{symbol}/{role}"));
        let tilt = |venue: &str| Tilt::draw(&mut named(venue));
        let dice = dice(seed, symbol);
        Self {
            asset,
            path: Path::new(dice, volatility, asset.start_usd, asset.daily_volume),
            binance: tilt("binance"),
            coinbase: tilt("coinbase"),
            kraken: tilt("kraken"),
            coingecko: tilt("coingecko"),
            token_metrics: tilt("tokenmetrics"),
            defillama: tilt("defillama"),
            mood: Wave::draw(&mut named("mood"), 15.0, 200_000.0),
        }
    }

    /// What `venue` says, in a currency worth `unit`, with `decimals` to a price.
    pub(super) fn quote(&self, venue: Venue, unit: Worth, decimals: u8) -> Quote {
        let (point, tilt, usd) = (self.seen_by(venue), self.tilt(venue), self.worth(venue));
        let tick = 10_f64.powi(-i32::from(decimals));
        let whole = |price: f64| (price / tick).round().max(2.0);
        let exact = usd.now / unit.now;
        let price = whole(exact);
        let bid = whole(exact * (1.0 - tilt.half_spread)).min(price - 1.0);
        let ask = whole(exact * (1.0 + tilt.half_spread)).max(price + 1.0);
        let open = whole(usd.day_ago / unit.day_ago);
        // The extremes do not swing with the tilt: a high stays until it is passed.
        let then = (1.0 + tilt.bias) / unit.now;
        Quote {
            step: point.step,
            price: price * tick,
            bid: bid * tick,
            ask: ask * tick,
            open: open * tick,
            high: whole(point.high * then).max(price).max(open) * tick,
            low: whole(point.low * then).min(price).min(open) * tick,
            volume: point.volume,
        }
    }

    fn worth(&self, venue: Venue) -> Worth {
        let (point, tilt) = (self.seen_by(venue), self.tilt(venue));
        Worth {
            now: point.price * (1.0 + tilt.bias + tilt.wave.at(point.step)),
            day_ago: point.open * (1.0 + tilt.bias),
        }
    }

    fn tilt(&self, venue: Venue) -> &Tilt {
        match venue {
            Venue::Binance => &self.binance,
            Venue::Coinbase => &self.coinbase,
            Venue::Kraken => &self.kraken,
            Venue::CoinGecko => &self.coingecko,
            Venue::TokenMetrics => &self.token_metrics,
            Venue::DefiLlama => &self.defillama,
        }
    }

    /// What Token Metrics thinks of it.
    pub(super) fn rating(&self) -> Rating {
        let point = self.path.held();
        let side = |deviations: f64| match deviations {
            up if up > 0.5 => 1,
            down if down < -0.5 => -1,
            _ => 0,
        };
        let mood = self.mood.at(point.step);
        let grade = |value: f64| value.clamp(0.0, 100.0);
        Rating {
            signal: side(point.hour_move),
            trend: side(point.day_move),
            trader_grade: grade(50.0 + 12.0 * point.day_move + mood),
            trader_grade_change: (8.0 * point.day_move).clamp(-100.0, 100.0),
            investor_grade: grade(55.0 + 4.0 * point.day_move + mood / 2.0),
        }
    }

    fn seen_by(&self, venue: Venue) -> Point {
        match venue {
            Venue::Binance | Venue::Coinbase | Venue::Kraken => self.path.now(),
            Venue::CoinGecko | Venue::TokenMetrics | Venue::DefiLlama => self.path.held(),
        }
    }
}

impl Tilt {
    fn draw(dice: &mut rand_chacha::ChaCha8Rng) -> Self {
        Self {
            bias: dice.random_range(-1.5..1.5) * BPS,
            wave: Wave::draw(dice, 1.5 * BPS, 600.0),
            half_spread: dice.random_range(0.2..1.2) * BPS,
        }
    }
}

impl Quote {
    /// Change over the day.
    pub(super) fn change(&self) -> f64 {
        self.price - self.open
    }

    /// The same in percent of the price a day before.
    pub(super) fn change_pct(&self) -> f64 {
        self.change() / self.open * 100.0
    }

    /// A plausible average price of the day's trades.
    pub(super) fn average(&self) -> f64 {
        (self.open + self.high + self.low + self.price) / 4.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::assets::{ASSETS, select};
    use super::*;

    fn market(seed: u64, names: &[&str]) -> Market {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Market::new(seed, 0.6, &select(&names).unwrap(), 0)
    }

    #[test]
    fn an_asset_does_not_depend_on_which_others_there_are() {
        let (mut all, mut alone) = (market(1, &[]), market(1, &["SOL"]));
        all.advance_to(5_000);
        for step in (0..=5_000).step_by(13) {
            alone.advance_to(step);
        }
        alone.advance_to(5_000);
        let quote = |market: &Market| {
            market.coin("SOL").unwrap().quote(Venue::Binance, Worth::fixed(1.0), 3)
        };
        assert_eq!(quote(&all), quote(&alone));
        assert_ne!(quote(&all), quote(&market(2, &["SOL"])));
    }

    #[test]
    fn quotes_are_ordered_and_venues_differ_by_a_few_basis_points() {
        let mut market = market(9, &[]);
        for step in [0, 777, 40_000] {
            market.advance_to(step);
            for coin in market.coins() {
                let decimals = coin.asset.decimals;
                let quote = |venue| coin.quote(venue, Worth::fixed(1.0), decimals);
                let binance = quote(Venue::Binance);
                for exchange in [Venue::Binance, Venue::Coinbase, Venue::Kraken].map(quote) {
                    assert!(exchange.bid < exchange.price && exchange.price < exchange.ask);
                    assert!(exchange.low <= exchange.price && exchange.price <= exchange.high);
                    assert!(exchange.ask / exchange.bid < 1.001, "{exchange:?}");
                }
                let others = [Venue::Coinbase, Venue::Kraken, Venue::CoinGecko];
                for other in others.into_iter().chain([Venue::TokenMetrics, Venue::DefiLlama]) {
                    let ratio = quote(other).price / binance.price;
                    assert!((0.99..1.01).contains(&ratio), "{} {ratio}", coin.asset.symbol);
                }
            }
        }
    }

    #[test]
    fn an_aggregator_looks_every_ten_seconds() {
        let mut market = market(1, &["BTC"]);
        let mut seen = Vec::new();
        for step in 0..1_000 {
            market.advance_to(step);
            let quote = market.coin("BTC").unwrap().quote(Venue::CoinGecko, Worth::fixed(1.0), 2);
            seen.push((quote.step, quote.price.to_bits()));
        }
        seen.dedup();
        assert_eq!(seen.len(), 10);
    }

    #[test]
    fn dollar_tokens_are_a_little_off_a_dollar() {
        let market = market(1, &["BTC"]);
        for token in ["USDT", "USDC"] {
            let usd = market.worth(token).unwrap().now;
            assert!(usd != 1.0 && (usd - 1.0).abs() < 0.001, "{token} {usd}");
        }
        assert_eq!(market.worth("ETH"), None);
    }

    #[test]
    fn grades_stay_in_range_and_signals_take_every_side() {
        let mut market = market(1, &[]);
        let mut signals = Vec::new();
        for hour in 0..24 {
            market.advance_to(hour * 36_000);
            for coin in market.coins() {
                let rating = coin.rating();
                assert!((0.0..=100.0).contains(&rating.trader_grade), "{rating:?}");
                assert!((0.0..=100.0).contains(&rating.investor_grade), "{rating:?}");
                signals.push(rating.signal);
            }
        }
        signals.sort_unstable();
        signals.dedup();
        assert_eq!(signals, [-1, 0, 1]);
        assert_eq!(market.coins().len(), ASSETS.len());
    }
}
