//! A simulated block chain: what a transaction costs, and how many blocks there are.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::number::digits;

/// Steps between two looks at the chain: 10 s.
const SLOT_STEPS: u64 = 100;

/// Chance of a block in a slot: one every 30 s, so that somebody who watches sees one.
const BLOCK_CHANCE: f64 = 1.0 / 3.0;

const FIRST_HEIGHT: u64 = 900_000;

/// The same of the chain that is like Ethereum, which has a block in every slot.
const FIRST_EVM_HEIGHT: u64 = 23_000_000;

/// What a satoshi for a byte is in wei for gas: makes 12 sat/vB some 0.6 gwei.
const WEI_PER_SAT: f64 = 50_000_000.0;

/// Where the logarithm of the fastest fee wants to be (12 sat/vB), how fast it goes back there,
/// and how much it moves in a slot.
const HOME: f64 = 2.484_9;
const PULL: f64 = 0.02;
const NOISE: f64 = 0.12;

/// Fees and height, a function of seed and step.
#[derive(Debug)]
pub(super) struct Chain {
    dice: ChaCha8Rng,
    slot: u64,
    height: u64,
    log_fee: f64,
}

/// Fees in whole sat/vB, each at least 1 and none above the one before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fees {
    /// For the next block.
    pub(super) fastest: f64,
    /// For half an hour.
    pub(super) half_hour: f64,
    /// For an hour.
    pub(super) hour: f64,
    /// For some day.
    pub(super) economy: f64,
    /// Below this nothing is relayed.
    pub(super) minimum: f64,
}

/// What waits for a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Backlog {
    /// Transactions.
    pub(super) count: u64,
    /// Their size in vB.
    pub(super) vsize: u64,
    /// What they pay, in satoshi.
    pub(super) total_fee: u64,
}

/// What gas costs, in wei: the base fee, and tips none of which is above the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gas {
    pub(super) base_fee: u64,
    pub(super) slow_tip: u64,
    pub(super) standard_tip: u64,
    pub(super) fast_tip: u64,
}

impl Chain {
    /// A chain at step 0.
    pub(super) fn new(dice: ChaCha8Rng) -> Self {
        Self { dice, slot: 0, height: FIRST_HEIGHT, log_fee: HOME }
    }

    /// Goes on to `step`; an earlier one changes nothing.
    pub(super) fn advance_to(&mut self, step: u64) {
        while self.slot < step / SLOT_STEPS {
            self.slot += 1;
            let noise: f64 = self.dice.sample(StandardNormal);
            self.log_fee += PULL * (HOME - self.log_fee) + NOISE * noise;
            self.height += u64::from(self.dice.random_bool(BLOCK_CHANCE));
        }
    }

    /// Number of the newest block.
    pub(super) fn height(&self) -> u64 {
        self.height
    }

    /// What waits: the more, the dearer the next block is.
    pub(super) fn backlog(&self) -> Backlog {
        let vsize = self.log_fee.exp() * 2_500_000.0;
        let fees = self.fees();
        let average =
            (fees.fastest + fees.half_hour + fees.hour + fees.economy + fees.minimum) / 5.0;
        Backlog {
            count: (vsize / 410.0) as u64,
            vsize: vsize as u64,
            total_fee: (vsize * average) as u64,
        }
    }

    /// Number of the newest block of the chain that is like Ethereum.
    pub(super) fn evm_height(&self) -> u64 {
        FIRST_EVM_HEIGHT + self.slot
    }

    /// What gas costs there: it follows the fees of the other chain, as people do.
    pub(super) fn gas(&self) -> Gas {
        let base = self.log_fee.exp() * WEI_PER_SAT;
        let wei = |share: f64| digits(base * share, 0).parse().unwrap_or(0);
        Gas {
            base_fee: wei(1.0),
            slow_tip: wei(0.001),
            standard_tip: wei(0.05),
            fast_tip: wei(0.5),
        }
    }

    /// What to pay.
    pub(super) fn fees(&self) -> Fees {
        let fastest = self.log_fee.exp();
        let share = |share: f64| (fastest * share).round().max(1.0);
        Fees {
            fastest: share(1.0),
            half_hour: share(0.8),
            hour: share(0.6),
            economy: share(0.3),
            minimum: share(0.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dice::dice;
    use super::*;

    #[test]
    fn fees_are_ordered_and_at_least_one_and_come_back_home() {
        let mut chain = Chain::new(dice(1, "chain"));
        let mut sum = 0.0;
        for slot in 1..=20_000 {
            chain.advance_to(slot * SLOT_STEPS);
            let fees = chain.fees();
            let ordered = [fees.fastest, fees.half_hour, fees.hour, fees.economy, fees.minimum];
            assert!(ordered.is_sorted_by(|faster, slower| faster >= slower), "{fees:?}");
            assert!(fees.minimum >= 1.0 && fees.fastest < 1_000.0, "{fees:?}");
            sum += fees.fastest;
        }
        assert!((8.0..30.0).contains(&(sum / 20_000.0)), "{}", sum / 20_000.0);
    }

    #[test]
    fn a_block_comes_about_every_thirty_seconds() {
        let mut chain = Chain::new(dice(1, "chain"));
        chain.advance_to(864_000);
        let blocks = chain.height() - FIRST_HEIGHT;
        assert!((2_500..3_300).contains(&blocks), "{blocks} in a day");
    }

    #[test]
    fn the_chain_does_not_depend_on_how_it_is_asked() {
        let (mut often, mut once) = (Chain::new(dice(7, "c")), Chain::new(dice(7, "c")));
        for step in 0..12_345 {
            often.advance_to(step);
        }
        once.advance_to(12_345);
        often.advance_to(100);
        assert_eq!((often.fees(), often.height()), (once.fees(), once.height()));
        assert_eq!((often.gas(), often.evm_height()), (once.gas(), once.evm_height()));
        assert_eq!(once.evm_height(), FIRST_EVM_HEIGHT + 123);
        let gas = once.gas();
        assert!(gas.slow_tip < gas.standard_tip && gas.standard_tip < gas.fast_tip, "{gas:?}");
        assert!((1_000_000..100_000_000_000).contains(&gas.base_fee), "{gas:?}");
    }
}
