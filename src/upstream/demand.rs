//! Whether anybody wants what a feed publishes, for feeds with `demand = "subscribed"`.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{hub::Hub, market::Topic};

/// How long a feed goes on after the last subscription has ended: who reconnects, or looks at
/// another page and comes back, finds it live.
const GRACE: Duration = Duration::from_secs(30);

/// One feed's view of what is subscribed.
pub struct Demand {
    hub: Arc<Hub>,
    changes: watch::Receiver<()>,
    interest: Interest,
}

#[derive(Debug, Clone, Copy)]
enum Interest {
    /// Nobody has subscribed yet.
    None,
    /// Somebody subscribes.
    Some,
    /// The last subscription ended then.
    Until(Instant),
}

impl Demand {
    /// Nobody is known to subscribe.
    pub fn new(hub: Arc<Hub>) -> Self {
        let changes = hub.interest().changes();
        Self { hub, changes, interest: Interest::None }
    }

    /// Waits until `due`, and knows then since when nobody subscribes to `topics`.
    pub async fn sleep_until(&mut self, due: Instant, topics: &[Topic]) {
        self.look(topics);
        loop {
            tokio::select! {
                () = sleep_until(due) => break,
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        sleep_until(due).await;
                        break;
                    }
                    self.look(topics);
                }
            }
        }
        self.look(topics);
    }

    /// Whether nobody has subscribed for longer than the grace.
    pub fn is_gone(&self) -> bool {
        match self.interest {
            Interest::Some => false,
            Interest::None => true,
            Interest::Until(end) => end.elapsed() >= GRACE,
        }
    }

    /// Waits until nobody has subscribed to `topics` for longer than the grace.
    pub async fn gone(&mut self, topics: &[Topic]) {
        loop {
            self.look(topics);
            let end = match self.interest {
                Interest::None => return,
                Interest::Some => None,
                Interest::Until(end) => Some(end + GRACE),
            };
            tokio::select! {
                () = passed(end) => return,
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        // The hub ends with the server: nothing changes any more.
                        return passed(end).await;
                    }
                }
            }
        }
    }

    /// Waits until somebody subscribes to one of `topics`.
    pub async fn come(&mut self, topics: &[Topic]) {
        loop {
            self.look(topics);
            if matches!(self.interest, Interest::Some) || self.changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// A feed that does not know its topics yet is asked once, to learn them: nobody could
    /// subscribe to what nobody has heard of.
    fn look(&mut self, topics: &[Topic]) {
        let wanted = topics.is_empty() || self.hub.interest().in_any(topics);
        self.interest = match (wanted, self.interest) {
            (true, _) => Interest::Some,
            (false, Interest::Some) => Interest::Until(Instant::now()),
            (false, before) => before,
        };
    }
}

/// Waits until a moment has passed; without one, for ever.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
