//! In what order the clients of a shard are written to: in turns, so that no delivery, however many
//! clients it goes to, keeps a ping, a new connection or an update of another topic waiting.

use std::{collections::VecDeque, time::Instant};

use super::index::Touched;

/// Clients written to before others get their turn: some 300 µs.
pub(super) const TURN: usize = 64;

/// Clients that a batch of events has touched, by how far what touched them is spread.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// By something of which one turn can write all.
    pub(super) narrow: Touched,
    /// By nothing else than what goes to more clients than that.
    pub(super) wide: Touched,
}

impl Spread {
    /// Where those belong whom something has touched that goes to so many.
    pub(super) fn with(&mut self, members: usize) -> &mut Touched {
        if members <= TURN { &mut self.narrow } else { &mut self.wide }
    }
}

/// Clients that a flush is due for, by when it is their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    narrow: VecDeque<Touched>,
    wide: VecDeque<Touched>,
}

impl Turns {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.narrow.is_empty() && self.wide.is_empty()
    }

    /// Adds the clients of a batch.
    pub(super) fn add(&mut self, spread: Spread) {
        for (queue, mut touched) in
            [(&mut self.narrow, spread.narrow), (&mut self.wide, spread.wide)]
        {
            if !touched.is_empty() {
                // They are taken from the end.
                touched.reverse();
                queue.push_back(touched);
            }
        }
    }

    /// Adds clients that nothing but a large delivery has touched, as far as is known.
    pub(super) fn add_wide(&mut self, wide: Touched) {
        self.add(Spread { narrow: Touched::new(), wide });
    }

    /// Writes to those whose turn it is: some of either kind, so that neither starves the other.
    pub(super) fn take(&mut self, now: Instant) {
        for queue in [&mut self.narrow, &mut self.wide] {
            let mut left = TURN;
            while left > 0
                && let Some(first) = queue.front_mut()
            {
                let kept = first.len().saturating_sub(left);
                for client in first.drain(kept..).rev() {
                    client.flush_apart(now);
                    left -= 1;
                }
                if first.is_empty() {
                    queue.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, IoSlice},
        sync::Arc,
    };

    use bytes::Bytes;
    use parking_lot::Mutex;

    use super::*;
    use crate::{
        delivery::{
            Bounds, SocketWriter,
            client::Client,
            metrics::{Metrics, TransportKind},
        },
        protocol::encoding::Format,
        telemetry::Telemetry,
    };

    type Log = Arc<Mutex<Vec<usize>>>;

    /// A socket that notes whose it is each time it is written to.
    struct Noted(usize, Log);

    impl SocketWriter for Noted {
        fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.1.lock().push(self.0);
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }
    }

    /// Clients to whom something waits to be written.
    fn clients(numbers: std::ops::Range<usize>, log: &Log) -> Touched {
        let metrics = Arc::new(Metrics::new(&Telemetry::new().unwrap(), TransportKind::WebSocket));
        let bounds = Bounds { updates: 1, bytes: 1 };
        let client = |number| {
            let (writer, now) = (Box::new(Noted(number, log.clone())), Instant::now());
            let client = Client::new(writer, bounds, Format::default(), metrics.clone(), now);
            client.control(Bytes::from_static(b"x"));
            Arc::new(client)
        };
        numbers.map(client).collect()
    }

    #[test]
    fn a_large_delivery_goes_on_a_turn_at_a_time_and_in_order() {
        let (log, mut turns) = (Log::default(), Turns::default());
        turns.add_wide(clients(0..100, &log));
        turns.add_wide(clients(100..TURN * 2, &log));
        turns.take(Instant::now());
        assert_eq!(*log.lock(), Vec::from_iter(0..TURN));
        assert!(!turns.is_empty());
        turns.take(Instant::now());
        assert_eq!(*log.lock(), Vec::from_iter(0..TURN * 2));
        assert!(turns.is_empty());
    }

    #[test]
    fn a_small_delivery_need_not_wait_for_a_large_one_nor_stop_it() {
        let (log, mut turns) = (Log::default(), Turns::default());
        turns.add_wide(clients(0..1000, &log));
        turns.take(Instant::now());
        log.lock().clear();
        let mut spread = Spread::default();
        spread.with(3).extend(clients(5000..5003, &log));
        turns.add(spread);
        turns.take(Instant::now());
        assert_eq!(log.lock()[..4], [5000, 5001, 5002, TURN]);
        assert_eq!(log.lock().len(), 3 + TURN);
    }

    #[test]
    fn small_deliveries_without_end_leave_turns_to_the_large_and_are_bounded_themselves() {
        let (log, mut turns) = (Log::default(), Turns::default());
        turns.add_wide(clients(0..TURN * 3, &log));
        for _ in 0..3 {
            for _ in 0..4 {
                let narrow = clients(5000..5000 + TURN, &log);
                turns.add(Spread { narrow, wide: Touched::new() });
            }
            log.lock().clear();
            turns.take(Instant::now());
            let wide = log.lock().iter().filter(|number| **number < 5000).count();
            assert_eq!((wide, log.lock().len()), (TURN, 2 * TURN));
        }
    }
}
