//! Keeps a feed's work going: a panic in one feed ends neither that feed nor another.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;

use crate::shutdown::{Shutdown, Stage};

/// Time between a panic and the restart.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// Work that goes on until it is dropped and can begin anew after a panic.
pub trait Work: Send {
    /// Does it.
    fn run(&mut self) -> impl Future<Output = ()> + Send;

    /// It panicked with `message` and will be run again.
    fn panicked(&mut self, message: &str);

    /// It will not be run again: what there is to say to others is said, and briefly.
    fn stopped(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Runs `work` until producers are to stop, in the middle of a request if need be.
pub async fn supervise(mut work: impl Work, mut shutdown: Shutdown) {
    loop {
        // What the work holds stays consistent over a panic: its locks do not poison, and `run`
        // begins by making everything anew that a half-done step could have left behind.
        let run = AssertUnwindSafe(work.run()).catch_unwind();
        let ended = tokio::select! {
            biased;
            () = shutdown.reached(Stage::Stopping) => break,
            ended = run => ended,
        };
        let Err(panic) = ended else { break };
        work.panicked(text(panic.as_ref()));
        tokio::select! {
            biased;
            () = shutdown.reached(Stage::Stopping) => break,
            () = tokio::time::sleep(RESTART_AFTER) => {}
        }
    }
    work.stopped().await;
}

/// What a panic said.
pub(super) fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
