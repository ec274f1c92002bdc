//! Misbehaviour on purpose: which faults are switched on, and which request meets one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;

use super::{
    ROUTES, STREAMS,
    config::{Fault, FaultKind},
    dice::dice,
};

/// Switches faults at run time and counts requests. Cheap to clone; all clones are one switch.
#[derive(Debug, Clone)]
pub struct FaultSwitch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    faults: Mutex<Vec<Fault>>,
    dice: Mutex<ChaCha8Rng>,
    /// One for each route, and none for paths that do not exist: a client cannot make it grow.
    counters: Vec<(&'static str, AtomicU64)>,
    counted: Notify,
}

/// What is to go wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mishap {
    pub(super) kind: FaultKind,
    pub(super) retry_after: Option<Duration>,
}

impl FaultSwitch {
    pub(super) fn new(seed: u64, faults: Vec<Fault>) -> Self {
        let paths = ROUTES.iter().chain(STREAMS);
        Self(Arc::new(Inner {
            faults: Mutex::new(faults),
            dice: Mutex::new(dice(seed, "faults")),
            counters: paths.map(|(path, _)| (*path, AtomicU64::new(0))).collect(),
            counted: Notify::new(),
        }))
    }

    /// Replaces all faults. Requests that arrived before keep theirs.
    pub fn set(&self, faults: Vec<Fault>) {
        *self.0.faults.lock() = faults;
    }

    /// Requests that have arrived so far, answered or not, on a path of [`ROUTES`] or
    /// [`STREAMS`]; on all that begin with it when it ends in `*`.
    pub fn requests(&self, path: &str) -> u64 {
        let counted = self.0.counters.iter().filter(|(route, _)| covers(path, route));
        counted.map(|(_, counter)| counter.load(Ordering::Acquire)).sum()
    }

    /// Waits until [`Self::requests`] is at least `count`.
    pub async fn reached(&self, path: &str, count: u64) {
        loop {
            let counted = self.0.counted.notified();
            tokio::pin!(counted);
            // Listening begins before looking, so that nothing falls between the two.
            counted.as_mut().enable();
            if self.requests(path) >= count {
                return;
            }
            counted.await;
        }
    }

    pub(super) fn count(&self, path: &str) {
        if let Some((_, counter)) = self.0.counters.iter().find(|(route, _)| *route == path) {
            counter.fetch_add(1, Ordering::AcqRel);
            self.0.counted.notify_waiters();
        }
    }

    /// Draws what goes wrong with a request. The first fault that strikes wins; each one that
    /// could have struck costs one draw, so that a seed and an order of requests give the same
    /// mishaps again.
    pub(super) fn strike(&self, path: &str) -> Option<Mishap> {
        let faults = self.0.faults.lock();
        let mut dice = self.0.dice.lock();
        faults
            .iter()
            .filter(|fault| covers(&fault.path, path))
            .find(|fault| dice.random::<f64>() < fault.probability)
            .map(|fault| Mishap {
                kind: fault.kind,
                retry_after: fault.retry_after.map(|span| span.0),
            })
    }
}

fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEES: &str = "/mempool/api/v1/fees/recommended";

    fn fault(path: &str, kind: FaultKind, probability: f64) -> Fault {
        Fault { path: path.to_owned(), kind, probability, retry_after: None }
    }

    #[test]
    fn a_fault_strikes_the_paths_it_names_and_no_other() {
        let hang = |path| vec![fault(path, FaultKind::Hang, 1.0)];
        let switch = FaultSwitch::new(1, hang("/mempool/*"));
        assert_eq!(switch.strike(FEES).unwrap().kind, FaultKind::Hang);
        assert_eq!(switch.strike("/binance/api/v3/ticker/price"), None);
        switch.set(hang(FEES));
        assert!(switch.strike(FEES).is_some());
        assert_eq!(switch.strike("/mempool/api/blocks/tip/height"), None);
        switch.set(Vec::new());
        assert_eq!(switch.strike(FEES), None);
    }

    #[test]
    fn the_first_of_several_faults_that_strikes_wins() {
        let faults = vec![
            fault("*", FaultKind::Hang, 0.0),
            fault(FEES, FaultKind::Html, 1.0),
            fault("*", FaultKind::Slow, 1.0),
        ];
        let switch = FaultSwitch::new(1, faults);
        assert_eq!(switch.strike(FEES).unwrap().kind, FaultKind::Html);
        assert_eq!(switch.strike("/elsewhere").unwrap().kind, FaultKind::Slow);
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_should_and_the_same_ones_again() {
        let draw = |seed| {
            let switch = FaultSwitch::new(seed, vec![fault("*", FaultKind::Slow, 0.25)]);
            (0..4_000).map(|_| switch.strike(FEES).is_some()).collect::<Vec<_>>()
        };
        let struck = draw(1).iter().filter(|struck| **struck).count();
        assert!((900..1_100).contains(&struck), "{struck} of 4000");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_and_can_be_waited_for() {
        let switch = FaultSwitch::new(1, Vec::new());
        let wait = switch.reached("/mempool/*", 2);
        let requests = async {
            switch.count(FEES);
            tokio::task::yield_now().await;
            switch.count("/nowhere");
            switch.count("/mempool/api/blocks/tip/height");
        };
        tokio::join!(wait, requests);
        assert_eq!(switch.requests(FEES), 1);
        assert_eq!(switch.requests("*"), 2);
        assert_eq!(switch.requests("/nowhere"), 0);
    }
}
