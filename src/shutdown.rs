//! One signal to stop, and the tasks that are waited for.
//!
//! Stopping has stages so that a client is told before it is cut off: `Draining` (say so, take no
//! more), `Stopping` (producers end), `Closing` (sessions flush and close).

use std::{future::Future, io, sync::Arc, thread, time::Duration};

use tokio::{runtime::Builder, sync::watch};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// How far a shutdown has come. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serving.
    Running,
    /// Not ready any more; clients are told.
    Draining,
    /// Producers end.
    Stopping,
    /// Sessions flush and close.
    Closing,
}

/// Moves the shutdown on. Held by the app.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<watch::Sender<Stage>>);

/// Sees the shutdown. Cheap to clone; every part gets one.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Stage>);

/// Named tasks that are waited for at the end.
#[derive(Debug, Clone, Default)]
pub struct Tasks(TaskTracker);

/// A shutdown that has not begun.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

impl Trigger {
    /// Moves on to `stage`; never back.
    pub fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let forward = stage > *current;
            if forward {
                *current = stage;
            }
            forward
        });
    }
}

impl Shutdown {
    /// How far it has come. A trigger that is gone counts as the last stage.
    pub fn stage(&self) -> Stage {
        if self.0.has_changed().is_err() { Stage::Closing } else { *self.0.borrow() }
    }

    /// Waits for `stage` or a later one. A trigger that is gone counts as the last stage.
    pub async fn reached(&mut self, stage: Stage) {
        // An error means that the trigger was dropped: nothing more will come.
        drop(self.0.wait_for(|current| *current >= stage).await);
    }
}

impl Tasks {
    /// Runs `task` in the background under `name`. A panic ends that task alone and is logged.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        // The handle is dropped on purpose: the tracker waits for the task.
        drop(self.0.spawn(task.instrument(span)));
    }

    /// As [`Tasks::spawn`], on the runtime of `handle`.
    pub fn spawn_on<F>(&self, name: &'static str, task: F, handle: &tokio::runtime::Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        // The handle is dropped on purpose: the tracker waits for the task.
        drop(self.0.spawn_on(task.instrument(span), handle));
    }

    /// Runs `task` on a thread of its own, which has this name, with timers and without sockets: for
    /// what waits for nothing but the time. Where sockets are waited for as well, each timer that is
    /// set wakes the thread that has set it. A panic ends that thread alone.
    ///
    /// # Errors
    /// As the system says, when there is no room for a thread.
    pub fn spawn_thread<F>(&self, name: &str, task: F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let task = self.0.track_future(task);
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(task))?;
        Ok(())
    }

    /// Waits until no more tasks will come and every one has ended.
    pub async fn wait(&self) {
        self.0.wait().await;
    }

    /// Waits until every task has ended, at most `patience`. False when some had not.
    pub async fn join(&self, patience: Duration) -> bool {
        self.0.close();
        tokio::time::timeout(patience, self.0.wait()).await.is_ok()
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no task runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn stages_only_move_forward() {
        let (trigger, mut shutdown) = channel();
        trigger.advance(Stage::Stopping);
        trigger.advance(Stage::Draining);
        assert_eq!(shutdown.stage(), Stage::Stopping);
        shutdown.reached(Stage::Draining).await;
        drop(trigger);
        shutdown.reached(Stage::Closing).await;
        assert_eq!(shutdown.stage(), Stage::Closing);
    }

    #[tokio::test]
    async fn a_task_with_a_thread_of_its_own_is_waited_for() {
        let (tasks, (end, ended)) = (Tasks::default(), oneshot::channel::<()>());
        let (name, named) = oneshot::channel();
        let task = async move {
            drop(name.send(thread::current().name().map(str::to_owned)));
            // A timer works as well.
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(ended.await);
        };
        tasks.spawn_thread("apart", task).unwrap();
        assert_eq!(named.await.unwrap().as_deref(), Some("apart"));
        assert!(!tasks.join(Duration::from_millis(1)).await);
        assert_eq!(tasks.len(), 1);
        drop(end);
        assert!(tasks.join(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_alone_and_is_joined() {
        let tasks = Tasks::default();
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.spawn_thread("panics", async { panic!("on purpose") }).unwrap();
        tasks.spawn("lives", async {});
        assert!(tasks.join(Duration::from_secs(5)).await);
    }
}
