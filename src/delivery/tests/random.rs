//! Random interleavings of everything that can happen to a shard, against the model. A failure
//! tells its seed; `PROPTEST_RNG_SEED` repeats it and `PROPTEST_CASES` asks for more.

use std::time::Duration;

use proptest::{prelude::*, test_runner::RngSeed};

use super::{
    run::Run,
    steps::{Step, step},
};

fn run(steps: &[Step], drain: bool) {
    let mut run = Run::new();
    for step in steps {
        run.step(step);
        run.audit();
    }
    if drain {
        run.drain();
        run.audit();
    }
    run.judge(drain);
    run.reconcile();
}

/// What the first client gets when the shard is up to date whenever one of the others does
/// something, with or without the others doing it. So little time passes that nothing becomes stale:
/// in which order the hub finds that topics have aged is chance. And the shard always takes all
/// events, since what nobody else wants is not in its channel.
fn bytes_of_first(steps: &[Step], alone: bool) -> Vec<u8> {
    let mut run = Run::new();
    for step in steps {
        let of_another = step.client().is_some_and(|client| client > 0);
        if of_another {
            run.pump(usize::MAX);
        }
        match step {
            _ if of_another && alone => {}
            Step::Advance { by } => {
                let by = (*by).min(Duration::from_millis(200));
                run.step(&Step::Advance { by });
            }
            Step::Pump { .. } | Step::PumpBatch => run.pump(usize::MAX),
            step => run.step(step),
        }
    }
    run.world.wire(0).bytes()
}

/// More where `PROPTEST_CASES` says so.
fn at_least(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    config.cases = config.cases.max(cases);
    config.failure_persistence = None;
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(rand::random());
    }
    if let RngSeed::Fixed(seed) = config.rng_seed {
        println!("PROPTEST_RNG_SEED={seed}");
    }
    config
}

proptest! {
    #![proptest_config(at_least(10_000))]

    #[test]
    fn whatever_happens_each_update_is_accounted_for(
        steps in prop::collection::vec(step(), 1..30),
        drain in prop::bool::weighted(0.8),
    ) {
        run(&steps, drain);
    }
}

proptest! {
    #![proptest_config(at_least(2_000))]

    #[test]
    fn a_client_gets_the_same_bytes_whatever_others_do(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        prop_assert_eq!(bytes_of_first(&steps, false), bytes_of_first(&steps, true));
    }
}
