//! Where chance comes from: generators and slow waves, each named, all from one seed.

use std::f64::consts::TAU;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator called `name` under `seed`. Its own name, rather than a shared generator, makes
/// what happens to one asset independent of which others are simulated.
pub(super) fn dice(seed: u64, name: &str) -> ChaCha8Rng {
    let mut key = [0_u8; 32];
    let bytes = seed.to_le_bytes().into_iter().chain(name.bytes());
    for (slot, byte) in key.iter_mut().zip(bytes) {
        *slot = byte;
    }
    ChaCha8Rng::from_seed(key)
}

/// A slow swing around zero: a function of the step alone, so it costs nothing to catch up.
#[derive(Debug)]
pub(super) struct Wave {
    amplitude: f64,
    period_steps: f64,
    phase: f64,
}

impl Wave {
    /// A wave with a drawn phase and a period within a quarter of `period_steps`.
    pub(super) fn draw(dice: &mut ChaCha8Rng, amplitude: f64, period_steps: f64) -> Self {
        Self {
            amplitude,
            period_steps: period_steps * dice.random_range(0.75..1.25),
            phase: dice.random_range(0.0..TAU),
        }
    }

    /// Its height at a step.
    pub(super) fn at(&self, step: u64) -> f64 {
        self.amplitude * (TAU * step as f64 / self.period_steps + self.phase).sin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_is_known_by_seed_and_name() {
        let first = |seed, name| dice(seed, name).random::<u64>();
        assert_eq!(first(1, "BTC"), first(1, "BTC"));
        assert_ne!(first(1, "BTC"), first(1, "ETH"));
        assert_ne!(first(1, "BTC"), first(2, "BTC"));
    }

    #[test]
    fn a_wave_stays_within_its_amplitude_and_moves() {
        let wave = Wave::draw(&mut dice(1, "wave"), 2.0, 100.0);
        let heights: Vec<f64> = (0..500).map(|step| wave.at(step)).collect();
        assert!(heights.iter().all(|height| height.abs() <= 2.0));
        assert!(heights.iter().any(|height| *height > 1.9));
        assert!(heights.iter().any(|height| *height < -1.9));
    }
}
