//! The task of one stream: what must happen though nobody pulls.

use std::{pin::Pin, time::Instant};

use tokio::time::{Sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    super::{HEARTBEAT, LINGER, Sessions, greeting},
    deadlines::{Deadlines, Due},
    pipe::Pipe,
};
use crate::{
    delivery::Subscriber,
    protocol::code::ErrorCode,
    shutdown::{Shutdown, Stage},
};

/// Runs a stream to its end.
pub(super) async fn run(
    sessions: &Sessions,
    subscriber: &Subscriber,
    pipe: &Pipe,
    connection: &CancellationToken,
) {
    let write = sessions.settings.write_deadline;
    let deadlines = Deadlines { heartbeat: HEARTBEAT, write };
    let mut shutdown = sessions.shutdown.clone();
    let mut stage = Stage::Draining;
    let mut timer = Box::pin(sleep_until(Instant::now().into()));
    loop {
        let flow = pipe.flow(subscriber.flow());
        if pipe.is_gone() {
            return;
        }
        if flow.broken {
            // Its account cannot be relied on: it must not go on as if nothing had been lost.
            return connection.cancel();
        }
        let now = Instant::now();
        match deadlines.due(&flow, now) {
            Due::Nothing => {}
            Due::Heartbeat => {
                subscriber.say(&greeting::heartbeat(), now);
                continue;
            }
            Due::End => {
                sessions.metrics.error(ErrorCode::SlowConsumer);
                return connection.cancel();
            }
        }
        timer.as_mut().reset(deadlines.next(&flow, now).into());
        if wait(subscriber, pipe, timer.as_mut(), &mut shutdown, stage).await {
            if stage == Stage::Closing {
                return close(subscriber, pipe, connection).await;
            }
            stage = Stage::Closing;
            subscriber.say(&greeting::farewell(), Instant::now());
        }
    }
}

/// Waits for the next thing to happen. True when the shutdown has come to `stage`.
async fn wait(
    subscriber: &Subscriber,
    pipe: &Pipe,
    timer: Pin<&mut Sleep>,
    shutdown: &mut Shutdown,
    stage: Stage,
) -> bool {
    tokio::select! {
        () = shutdown.reached(stage) => return true,
        () = pipe.changed() => {}
        () = subscriber.woken() => subscriber.flush(Instant::now()),
        () = timer => subscriber.flush(Instant::now()),
    }
    false
}

/// Ends the stream in order: what waits is still sent, if that does not take long.
async fn close(subscriber: &Subscriber, pipe: &Pipe, connection: &CancellationToken) {
    pipe.watch();
    let emptied = async {
        loop {
            let flow = pipe.flow(subscriber.flow());
            if flow.broken || !flow.waiting {
                return;
            }
            tokio::select! {
                () = pipe.changed() => {}
                () = subscriber.woken() => subscriber.flush(Instant::now()),
            }
        }
    };
    drop(timeout(LINGER, emptied).await);
    subscriber.end();
    pipe.finish();
    // The end of the body does not mean that the client has read it.
    drop(timeout(LINGER, connection.cancelled()).await);
    connection.cancel();
}
