//! The month's units of budgets (credits), counted over restarts where the operator names a
//! directory.
//!
//! `ledger` decides, `form` is the file's text, `store` the directory, `keeper` the task that
//! writes. A budget sees only its [`Credits`].

mod form;
mod keeper;
mod ledger;
mod store;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::{
    form::{Account, Record},
    ledger::{Ledger, Refusal},
    store::Store,
};
pub use self::{keeper::Keeper, store::StateError};
use super::calendar;
use crate::units::{Micros, Secret};

/// Time until a request whose units are being written as spent asks again,
const UNSECURED_RETRY: Duration = Duration::from_millis(10);

/// and while they cannot be written.
const FAILING_RETRY: Duration = Duration::from_secs(1);

/// Units that may not be spent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// How long to wait before asking again.
    pub wait: Duration,
    /// What denies them.
    pub by: By,
}

/// What denies units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The minute, or the upstream, which wants to be left alone: whoever asks next is denied too.
    Minute,
    /// The month has not so many left. A request that costs less may still be possible.
    Month,
    /// The month has them, but they are not written as spent yet.
    Disk,
}

/// What budgets and the task that writes have in common.
#[derive(Debug, Default)]
struct Desk {
    /// More is to be written.
    wake: Notify,
    /// Why the last write failed; none when it did not.
    failing: Mutex<Option<String>>,
}

/// One budget's units of the month. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Credits {
    ledger: Arc<Mutex<Ledger>>,
    desk: Arc<Desk>,
}

/// Every budget's units, and what is on disk of them. By default all are counted in memory.
#[derive(Debug, Default)]
pub struct Book {
    store: Option<Store>,
    /// What was on disk at the start, less what budgets have taken over.
    unclaimed: Vec<Record>,
    accounts: Vec<(Account, Credits)>,
    desk: Arc<Desk>,
}

impl Credits {
    /// Counted in memory: a restart begins with a full month.
    pub fn in_memory(limit: u64) -> Self {
        Self { ledger: Arc::new(Mutex::new(Ledger::in_memory(limit))), desk: Arc::default() }
    }

    /// Whether `units` may be spent at `wall`.
    ///
    /// # Errors
    /// Why they may not.
    pub fn check(&self, units: u32, wall: Micros) -> Result<(), Denied> {
        let checked = self.ledger.lock().check(units.into(), wall);
        checked.map_err(|refusal| self.denied(refusal, wall))
    }

    /// Spends `units` at `wall`, if they may be spent: nothing comes between the question and the
    /// deed, so that a count that is written in the end holds all that was spent.
    ///
    /// # Errors
    /// Why nothing is spent.
    pub fn spend(&self, units: u32, wall: Micros) -> Result<(), Denied> {
        let (spent, wants) = {
            let mut ledger = self.ledger.lock();
            (ledger.spend(units.into(), wall), ledger.wants())
        };
        if wants {
            self.desk.wake.notify_one();
        }
        spent.map_err(|refusal| self.denied(refusal, wall))
    }

    fn denied(&self, refusal: Refusal, wall: Micros) -> Denied {
        match refusal {
            Refusal::Spent => Denied { wait: calendar::until_next_month(wall), by: By::Month },
            Refusal::Unsecured => {
                self.desk.wake.notify_one();
                let failing = self.desk.failing.lock().is_some();
                let wait = if failing { FAILING_RETRY } else { UNSECURED_RETRY };
                Denied { wait, by: By::Disk }
            }
        }
    }

    /// Units that the month at `wall` has left.
    pub fn remaining(&self, wall: Micros) -> u64 {
        self.ledger.lock().remaining(wall)
    }

    /// Why the last request waits though the month has units left: they cannot be written as
    /// spent.
    pub fn trouble(&self) -> Option<String> {
        if self.ledger.lock().starved() { self.desk.failing.lock().clone() } else { None }
    }
}

impl Book {
    /// The count that is kept in `dir`, which is ours until the [`Keeper`] ends. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process uses it, or what is in it cannot be
    /// read.
    pub fn open(dir: &Path, wall: Micros) -> Result<Self, StateError> {
        let (store, records) = Store::open(dir)?;
        let now = calendar::month_index(wall);
        // What is over must not be carried along for ever.
        let unclaimed: Vec<Record> =
            records.into_iter().filter(|record| record.mark.month >= now).collect();
        for ahead in unclaimed.iter().filter(|record| record.mark.month > now) {
            let (host, month) = (&ahead.account.host, form::month_text(ahead.mark.month));
            let file = store.path();
            tracing::warn!(
                %host, month, file = %file.display(),
                "credits are counted for a month that has not begun: a clock is or was wrong"
            );
        }
        Ok(Self { store: Some(store), unclaimed, ..Self::default() })
    }

    /// The units of a budget that has not asked before, `limit` of them a month.
    pub fn credits(&mut self, host: &str, key: Option<&Secret>, limit: u64) -> Credits {
        if self.store.is_none() {
            return Credits::in_memory(limit);
        }
        let account = Account::new(host, key);
        let known = self.unclaimed.iter().position(|record| record.account == account);
        let mark = known.map(|index| self.unclaimed.swap_remove(index).mark);
        let ledger = Arc::new(Mutex::new(Ledger::kept(limit, mark)));
        let credits = Credits { ledger, desk: self.desk.clone() };
        self.accounts.push((account, credits.clone()));
        credits
    }

    /// The task that writes, where something is written. To be called when all budgets have their
    /// credits.
    pub fn keeper(self) -> Option<Keeper> {
        let store = Arc::new(self.store?);
        Some(Keeper::new(store, self.unclaimed, self.accounts, self.desk))
    }
}
