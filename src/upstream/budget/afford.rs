//! How a feed waits until its budget has what a request costs.
//!
//! The feeds of a budget stand in a queue: who asks first takes first, so that none is left with
//! nothing by others that ask more often, or for less. That is fair only for what comes back soon
//! and to everybody, the units of the minute. Whom the month denies would stand at the head for
//! weeks, while others could still take what is left of it; so he steps out of the queue, and comes
//! again at its end when he may be lucky. Likewise while the count cannot be written.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{By, Denied, Share};
use crate::upstream::clock::Clock;

const MINUTE_SPENT: &str = "the budget is spent";
const MONTH_SPENT: &str = "the month's budget is spent";

impl Share {
    /// Waits until the budget has what a request costs, and takes it: `weight` units, or what the
    /// configuration says where that is 0. `tell` hears of each wait that is trouble, and why: one
    /// of `patience` or more (a shorter one is pacing), or one that the month is to blame for.
    pub async fn afford(
        &self,
        weight: u32,
        clock: &Clock,
        patience: Duration,
        mut tell: impl FnMut(Duration, &str),
    ) {
        loop {
            let mut turn = pin!(self.queue.lock());
            let turn = loop {
                match timeout(patience, turn.as_mut()).await {
                    Ok(turn) => break turn,
                    Err(_) => tell(patience, MINUTE_SPENT),
                }
            };
            let wait = loop {
                let taken = self.take(weight, Instant::now().into_std(), clock.now());
                let Err(Denied { wait, by }) = taken else { return };
                let trouble = self.trouble();
                match (by, &trouble) {
                    (_, Some(trouble)) => tell(wait, trouble),
                    (By::Month, None) => tell(wait, MONTH_SPENT),
                    (By::Minute | By::Disk, None) if wait >= patience => tell(wait, MINUTE_SPENT),
                    (By::Minute | By::Disk, None) => {}
                }
                if by == By::Month || trouble.is_some() {
                    break wait;
                }
                sleep(wait).await;
            };
            drop(turn);
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests;
