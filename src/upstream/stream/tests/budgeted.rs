use super::*;
use crate::upstream::{budget::Share, clock::Clock};

/// The rig's share, and the same one for somebody else.
fn shared(per_minute: u32, per_month: Option<u64>) -> (Rig, Share) {
    let mut other = None;
    let rig = Rig::sharing(BINANCE, |telemetry| {
        other = Some(budget(telemetry, per_minute, per_month));
        other.clone()
    });
    (rig, other.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_month_that_is_spent_is_told_as_the_reason_why_there_is_no_stream() {
    let (rig, other) = shared(60, Some(1));
    let now = Instant::now().into_std();
    other.take(1, now, START).unwrap();
    elapse(SECOND).await;
    let report = rig.report();
    let error = report.last_error.unwrap();
    assert_eq!((error.reason, &*error.message), (Reason::Budget, "the month's budget is spent"));
    assert_eq!((report.state, report.interval_ms), (State::Down, 0));
    // September has three days left at the start, and something more.
    assert!(report.next_due.unwrap() - START > 3 * 86_400 * 1_000_000);
    let status = rig.head("status.x").last.unwrap().update.clone();
    let status: serde_json::Value = serde_json::from_slice(&status.data).unwrap();
    assert_eq!((&status["reason"], &status["state"]), (&"budget".into(), &"down".into()));
    elapse(60 * SECOND).await;
    assert_eq!((rig.venue.dials(), rig.rest.polls()), (0, 0));
    let report = rig.report();
    assert_eq!(report.last_error.unwrap().message, "the month's budget is spent");
    assert_eq!((report.transport, report.interval_ms), (Some(Transport::Rest), 2000));
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_its_turn_behind_those_that_asked_before() {
    let (rig, other) = shared(6, None);
    let clock = Clock::tokio(START);
    // More than is there at once: it stands at the head of the queue before the stream comes.
    other.take(5, Instant::now().into_std(), START).unwrap();
    let began = Instant::now();
    let first = async {
        other.afford(3, &clock, 600 * SECOND, |_, _| {}).await;
        (began.elapsed(), rig.venue.dials() + rig.rest.polls())
    };
    let (waited, before) = first.await;
    assert!(waited >= 29 * SECOND, "{waited:?}");
    assert_eq!(before, 0, "the stream or its polls jumped the queue");
    elapse(60 * SECOND).await;
    assert!(rig.venue.dials() > 0);
}
