//! What writing to some clients adds to the server's figures, gathered so that the lines of memory
//! that all threads count into are fetched once for them all. Pure.

use super::{
    run::{Bulk, Moments, Run},
    tally::Tally,
    view::Letter,
};
use crate::{telemetry::LatencyBatch, units::Micros};

/// Figures that are not in the metrics yet.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) tally: Tally,
    pub(super) delivery: LatencyBatch,
    pub(super) end_to_end: LatencyBatch,
    now: Micros,
}

impl Account {
    /// The kernel has just taken something: what is said to be delivered next was in it.
    pub(super) fn written(&mut self, now: Micros) {
        self.now = now;
    }

    /// The kernel took the last byte of `letter`.
    pub(super) fn delivered(&mut self, letter: &Letter) {
        self.tally.delivered += 1;
        self.delivery.record(self.now.saturating_sub(letter.rx));
        if let Some(ts) = letter.ts {
            self.end_to_end.record(self.now.saturating_sub(ts));
        }
    }

    /// So many clients were offered a run.
    pub(super) fn offered_run(&mut self, run: &Run, clients: usize) {
        self.tally.offered += (run.len() * clients) as u64;
    }

    /// As [`Account::delivered`], for all updates of a run that so many clients got.
    pub(super) fn delivered_run(&mut self, bulk: &Bulk, clients: usize) {
        self.tally.delivered += (bulk.rx.all.len() * clients) as u64;
        note(&mut self.delivery, self.now, &bulk.rx, clients);
        note(&mut self.end_to_end, self.now, &bulk.ts, clients);
    }
}

fn note(batch: &mut LatencyBatch, now: Micros, moments: &Moments, clients: usize) {
    let Ok(count) = u32::try_from(moments.all.len() * clients) else { return };
    let most = now.saturating_sub(moments.first);
    let spread = moments.spread.saturating_mul(i64::try_from(clients).unwrap_or(i64::MAX));
    let sum = most.saturating_mul(count.into()).saturating_sub(spread);
    let alike = [now.saturating_sub(moments.last), most, sum];
    if count > 0 && !batch.record_alike(count, alike) {
        for _ in 0..clients {
            moments.all.iter().for_each(|moment| batch.record(now.saturating_sub(*moment)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{delivery::run::Run, hub, market::Tick, telemetry::Telemetry};

    /// A run of as many updates of one topic, received and dated at these moments.
    fn run(moments: &[(Micros, Option<Micros>)]) -> Run {
        let telemetry = Telemetry::new().unwrap();
        let hub = hub::Hub::new(hub::Config::default(), 1, Arc::from("e1"), &telemetry);
        let topic = crate::market::Topic::parse("price.A-B").unwrap();
        let mut run: Option<Run> = None;
        for (count, (rx, ts)) in (0_i64..).zip(moments) {
            let data = crate::market::Data::new().with("n", count);
            let tick = Tick { topic: topic.clone(), data, ts: *ts };
            hub.publish(&tick, &Arc::from("test"), *rx, 1_000_000);
            let issued = hub.topic("price.A-B").unwrap().head(*rx).last.unwrap();
            match &mut run {
                Some(run) => run.push(&issued),
                None => run = Some(Run::new(&issued, 1)),
            }
        }
        run.unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_run_is_accounted_for_as_its_updates_would_be(
            moments in prop::collection::vec(
                (1_000_000_i64..1_006_000, prop::option::of(900_000_i64..1_010_000)), 1..20),
            now in 1_003_000_i64..1_020_000,
            clients in 1_usize..4,
        ) {
            let run = run(&moments);
            let (mut together, mut one_by_one) = (Account::default(), Account::default());
            together.written(now);
            one_by_one.written(now);
            together.delivered_run(run.bulk(), clients);
            together.offered_run(&run, clients);
            for _ in 0..clients {
                for offer in &run.offers {
                    let frame = offer.issued.frame().clone();
                    one_by_one.delivered(&Letter::new(&offer.issued.update, frame));
                }
            }
            prop_assert_eq!(together.tally.offered, one_by_one.tally.delivered);
            prop_assert_eq!(together.delivery.counted(), one_by_one.delivery.counted());
            prop_assert_eq!(together.end_to_end.counted(), one_by_one.end_to_end.counted());
            prop_assert_eq!(together.tally.delivered, one_by_one.tally.delivered);
            let frames: Vec<u8> = run.offers.iter().flat_map(|one| one.issued.frame().to_vec()).collect();
            prop_assert_eq!(&run.bulk().bytes[..], &frames[..]);
        }
    }
}
