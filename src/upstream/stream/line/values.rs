//! What a connection has said last, and what becomes of what it says now.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::{task::yield_now, time::Instant};

use crate::{
    market::{Tick, Topic},
    units::Micros,
    upstream::{providers::stream::Confirmed, publish::Publisher},
};

/// Ticks that are published before other tasks get a turn.
const TURN: usize = 128;

/// After so long without a quarantine, the next is a burst of its own.
const BURST: Duration = Duration::from_secs(10);

/// The last value of each topic, where it was accepted.
pub(super) struct Values {
    known: HashMap<Topic, Tick>,
    /// The number of the connection.
    connection: u64,
    quarantined_at: Option<Instant>,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Taken {
    /// It said something of a market, true or not.
    pub(super) data: bool,
    /// It brought or confirmed at least one value.
    pub(super) good: bool,
    /// So many values are older than what came before by another way, and were passed over.
    pub(super) passed_over: u64,
}

impl Values {
    /// Nothing has been said on the connection of number `connection`.
    pub(super) fn new(connection: u64) -> Self {
        Self { known: HashMap::new(), connection, quarantined_at: None }
    }

    /// Whether a value of `topic` has been accepted.
    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.known.contains_key(topic)
    }

    /// Publishes what was said at `rx`.
    ///
    /// A heartbeat for the whole connection is no data: it comes also where the venue's prices do
    /// not.
    pub(super) async fn take(
        &mut self,
        publisher: &Mutex<Publisher>,
        ticks: Vec<Tick>,
        confirmed: Confirmed,
        rx: Micros,
    ) -> Taken {
        let mut taken = Taken { data: !ticks.is_empty(), ..Taken::default() };
        let mut quarantined = false;
        let mut ticks = ticks.into_iter();
        while ticks.len() > 0 {
            {
                let mut publisher = publisher.lock();
                let hub = publisher.hub().clone();
                let _together = hub.batch();
                for tick in ticks.by_ref().take(TURN) {
                    match publisher.publish_streamed(&tick, self.connection, rx) {
                        Ok(Some(_)) => {
                            taken.good = true;
                            self.known.insert(tick.topic.clone(), tick);
                        }
                        Ok(None) => taken.passed_over += 1,
                        Err(_) => {
                            quarantined = true;
                            // What came last is not what was accepted last: nothing confirms that.
                            self.known.remove(&tick.topic);
                        }
                    }
                }
            }
            if ticks.len() > 0 {
                yield_now().await;
            }
        }
        self.burst(publisher, quarantined);
        match confirmed {
            Confirmed::Nothing => {}
            Confirmed::One(topic) => {
                if let Some(tick) = self.known.get(&topic) {
                    publisher.lock().confirm(tick, rx);
                    (taken.data, taken.good) = (true, true);
                }
            }
            Confirmed::All => taken.good |= self.confirm_all(publisher, rx).await,
        }
        taken
    }

    async fn confirm_all(&self, publisher: &Mutex<Publisher>, rx: Micros) -> bool {
        for (count, tick) in self.known.values().enumerate() {
            if count % TURN == TURN - 1 {
                yield_now().await;
            }
            publisher.lock().confirm(tick, rx);
        }
        !self.known.is_empty()
    }

    fn burst(&mut self, publisher: &Mutex<Publisher>, quarantined: bool) {
        let now = Instant::now();
        if quarantined {
            self.quarantined_at = Some(now);
        } else if self.quarantined_at.is_some_and(|at| now - at >= BURST) {
            publisher.lock().clean();
            self.quarantined_at = None;
        }
    }
}
