//! The task that writes how far credits may be spent, and in the end how far they were.

use std::{io, sync::Arc, time::Duration};

use super::{
    Credits, Desk,
    form::{Account, Record},
    ledger::{Ledger, Mark},
    store::Store,
};
use crate::shutdown::{Shutdown, Stage};

/// Time between a write that failed and the next,
const RETRY_FIRST: Duration = Duration::from_millis(500);

/// doubled each time up to this.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Writes the count of spent credits.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<Store>,
    /// Budgets that are not configured now, but may be again this month.
    unclaimed: Vec<Record>,
    accounts: Vec<(Account, Credits)>,
    desk: Arc<Desk>,
}

impl Keeper {
    pub(super) fn new(
        store: Arc<Store>,
        unclaimed: Vec<Record>,
        accounts: Vec<(Account, Credits)>,
        desk: Arc<Desk>,
    ) -> Self {
        Self { store, unclaimed, accounts, desk }
    }

    /// Writes what is wanted until producers are to stop; then nothing is spent any more and the
    /// exact count is written.
    pub async fn run(self, mut shutdown: Shutdown) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.reached(Stage::Stopping) => break,
                () = self.desk.wake.notified() => {}
            }
            let mut rest = RETRY_FIRST;
            while self.wanted() && !self.write(|ledger| ledger.mark()).await {
                tokio::select! {
                    biased;
                    () = shutdown.reached(Stage::Stopping) => break,
                    () = tokio::time::sleep(rest) => rest = (rest * 2).min(RETRY_MAX),
                }
            }
        }
        // Should this fail, what is on disk counts more as spent than was.
        self.write(Ledger::close).await;
    }

    fn wanted(&self) -> bool {
        self.accounts.iter().any(|(_, credits)| credits.ledger.lock().wants())
    }

    /// Writes what `mark` says of each ledger. False when that failed.
    async fn write(&self, mark: impl Fn(&mut Ledger) -> Option<Mark>) -> bool {
        let marks: Vec<Option<Mark>> =
            self.accounts.iter().map(|(_, credits)| mark(&mut credits.ledger.lock())).collect();
        let mut records = self.unclaimed.clone();
        records.extend(self.accounts.iter().zip(&marks).filter_map(|((account, _), mark)| {
            mark.map(|mark| Record { account: account.clone(), mark })
        }));
        let store = self.store.clone();
        let written = tokio::task::spawn_blocking(move || store.write(&records)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.wrote(&marks);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn wrote(&self, marks: &[Option<Mark>]) {
        for ((_, credits), mark) in self.accounts.iter().zip(marks) {
            if let Some(mark) = mark {
                credits.ledger.lock().secure(*mark);
            }
        }
        if self.desk.failing.lock().take().is_some() {
            let file = self.store.path();
            tracing::info!(file = %file.display(), "spent credits are written again");
        }
    }

    fn failed(&self, error: &io::Error) {
        let file = self.store.path();
        let message = format!("spent credits cannot be written to {}: {error}", file.display());
        let mut failing = self.desk.failing.lock();
        if failing.is_none() {
            let file = file.display();
            tracing::error!(
                %file, %error,
                "spent credits cannot be written: no more than the reserved ones are spent"
            );
        }
        *failing = Some(message);
    }
}
