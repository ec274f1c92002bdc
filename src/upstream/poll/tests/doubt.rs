//! Answers that are held back or that confirm nothing.

use super::*;
use crate::telemetry::Logged;

#[tokio::test(start_paused = true)]
async fn a_burst_of_values_that_are_held_back_is_one_line_in_the_log_and_counted_in_full() {
    let log = Logged::here();
    let rig = Rig::new();
    let mut steps = vec![Step::Body("5")];
    steps.extend(["-1", "0", "9000", "-1"].map(Step::Body));
    // No answer is no sign that the burst is over.
    steps.push(Step::Fail(Reason::Http5xx, None));
    steps.extend(vec![Step::Body("-1"); 20]);
    steps.push(Step::Body("5"));
    let feed = rig.feed("a", &steps);
    elapse(30).await;
    assert!((10..20).contains(&feed.script.calls()), "{}", feed.script.calls());
    assert_eq!(log.count("more is counted"), 1);
    let text = rig.telemetry.render();
    assert!(text.contains(r#"tickwire_quarantined_total{feed="a",reason="jump"} 1"#), "{text}");
    elapse(30).await;
    let count = rig.telemetry.render();
    assert!(count.contains(r#"{feed="a",reason="not_positive"} 23"#), "{count}");

    rig.feed("b", &["5", "-1", "-1", "6", "-1", "-1", "7"].map(Step::Body));
    elapse(20).await;
    assert_eq!(log.count("more is counted"), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn unchanged_for_ever_is_live_for_ever() {
    let rig = Rig::new();
    rig.feed("a", &[Step::Tagged("5", "v1"), Step::NotModified]);
    for _ in 0..720 {
        elapse(5).await;
        let head = rig.head("price.BTC-USD.a");
        assert_eq!((head.seq, head.status.state), (1, State::Live));
    }
}

#[tokio::test(start_paused = true)]
async fn unchanged_without_having_been_asked_is_a_bad_body_and_confirms_nothing() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body("5"), Step::NotModified]);
    elapse(14).await;
    let error = feed.feed.report(rig.clock.now()).last_error.unwrap();
    assert_eq!(error.reason, Reason::BadBody);
    assert_ne!(rig.head("price.BTC-USD.a").status.state, State::Live);
    assert_eq!(rig.data("price.BTC-USD.a"), r#"{"price":"5"}"#);
    assert!(feed.script.calls.lock().iter().all(|(_, known)| known.is_none()));
}
