mod demand;
mod doubt;
mod meetings;
mod rig;

use std::{sync::atomic::Ordering, time::Duration};

use self::rig::{Rig, SECOND, Step, elapse};
use crate::{
    market::{Breaker, Reason, State},
    shutdown::Stage,
};

#[tokio::test(start_paused = true)]
async fn values_are_published_once_and_confirmed_while_they_do_not_change() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body("5"), Step::Body("6")]);
    elapse(61).await;
    for topic in ["price.BTC-USD.a", "price.BTC-USD"] {
        let head = rig.head(topic);
        assert_eq!((head.seq, head.status.state), (2, State::Live), "{topic}");
        assert!(head.status.age_ms.unwrap() <= 2_200);
    }
    assert_eq!(rig.data("price.BTC-USD"), r#"{"price":"6","sources":1,"spread_bps":"0.00"}"#);
    assert!((29..=32).contains(&feed.script.calls()));
    let report = feed.feed.report(rig.clock.now());
    assert_eq!((report.state, report.last_error), (State::Live, None));
    assert_eq!(report.interval_ms, 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_obeyed_for_as_long_as_it_says() {
    let rig = Rig::new();
    let limited = Step::Fail(Reason::RateLimited, Some(30));
    let feed = rig.feed("a", &[Step::Body("5"), limited, Step::Body("5")]);
    elapse(60).await;
    let gap = feed.script.gaps()[1];
    assert!((30.0..31.0).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_its_topics_go_stale_with_the_reason_and_the_time_of_the_next_try() {
    let rig = Rig::new();
    let limited = Step::Fail(Reason::RateLimited, Some(60));
    rig.feed("a", &[Step::Body("5"), limited, Step::Body("5")]);
    elapse(15).await;
    for topic in ["price.BTC-USD.a", "price.BTC-USD"] {
        let status = rig.head(topic).status;
        assert_eq!(status.state, State::Stale, "{topic}");
        assert_eq!(status.reason, Some(Reason::RateLimited), "{topic}");
        let in_secs = (status.retry_at.unwrap() - rig.clock.now()) / 1_000_000;
        assert!((45..=48).contains(&in_secs), "{topic} {in_secs}");
    }
    let status = rig.data("status.a");
    assert!(status.contains(r#""state":"stale""#), "{status}");
    assert!(status.contains(r#""reason":"rate_limited""#), "{status}");
    assert!(status.contains(r#""retry_at":179"#), "{status}");
    elapse(60).await;
    assert_eq!(rig.head("price.BTC-USD").status.state, State::Live);
    assert!(!rig.data("status.a").contains("reason"));
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_then_open_the_breaker_for_ever_longer() {
    let rig = Rig::new();
    let down = Step::Fail(Reason::Connect, None);
    let feed = rig.feed("a", &[down]);
    elapse(600).await;
    let gaps = feed.script.gaps();
    let bounds = [2.2, 2.2, 4.0, 8.0];
    for (gap, bound) in gaps.iter().zip(bounds) {
        assert!((2.0..=bound + 0.01).contains(gap), "{gaps:?}");
    }
    for (gap, least) in gaps[4..].iter().zip([10.0, 20.0, 40.0, 60.0, 60.0]) {
        assert!((least..=least + 33.0).contains(gap), "{gaps:?}");
    }
    assert!(feed.script.calls() < 20);
    // How long it waits is no interval.
    assert_eq!(feed.feed.report(rig.clock.now()).interval_ms, 2_000);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_takes_topics_down_and_the_trial_after_it_brings_them_back() {
    let rig = Rig::new();
    let mut steps = vec![Step::Body("5")];
    steps.extend(vec![Step::Fail(Reason::Http5xx, None); 5]);
    steps.push(Step::Body("5"));
    let feed = rig.feed("a", &steps);
    while feed.feed.report(rig.clock.now()).breaker != Breaker::Open {
        tokio::time::sleep(SECOND / 10).await;
    }
    for topic in ["price.BTC-USD.a", "price.BTC-USD"] {
        let status = rig.head(topic).status;
        assert_eq!(status.state, State::Down, "{topic}");
        assert_eq!(status.reason, Some(Reason::BreakerOpen), "{topic}");
    }
    let status = rig.data("status.a");
    assert!(status.contains(r#""state":"down""#), "{status}");
    assert!(status.contains(r#""breaker":"open""#), "{status}");
    elapse(31).await;
    let report = feed.feed.report(rig.clock.now());
    assert_eq!((report.state, report.breaker), (State::Live, Breaker::Closed));
    assert_eq!(report.last_error.unwrap().reason, Reason::Http5xx);
    assert_eq!(rig.head("price.BTC-USD").status.state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_page_for_people_is_a_bad_body() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body(" \n<!doctype html>"), Step::Body("oops")]);
    elapse(1).await;
    let error = feed.feed.report(rig.clock.now()).last_error.unwrap();
    assert_eq!(error.reason, Reason::BadBody);
    assert!(error.message.contains("markup"));
    assert!(
        rig.telemetry
            .render()
            .contains(r#"tickwire_upstream_requests_total{feed="a",outcome="bad_body"} 1"#)
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_that_feed_within_a_second_and_leaves_its_neighbour_alone() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body("panic"), Step::Body("5")]);
    let neighbour = rig.feed("b", &[Step::Body("7")]);
    elapse(1).await;
    assert_eq!(feed.made.load(Ordering::Relaxed), 2);
    assert!(feed.script.gaps()[0] < 1.0, "{:?}", feed.script.gaps());
    assert_eq!(rig.data("price.BTC-USD.a"), r#"{"price":"5"}"#);
    let error = feed.feed.report(rig.clock.now()).last_error.unwrap();
    assert!(error.message.starts_with("panicked"), "{error:?}");
    elapse(60).await;
    assert_eq!(neighbour.made.load(Ordering::Relaxed), 1);
    assert!(neighbour.script.gaps().iter().all(|gap| *gap < 2.5));
    let text = rig.telemetry.render();
    assert!(text.contains(r#"tickwire_upstream_restarts_total{feed="a"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn one_that_panics_for_ever_is_held_back_by_its_breaker() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body("panic")]);
    elapse(120).await;
    assert!(feed.script.calls() <= 10, "{}", feed.script.calls());
}

#[tokio::test(start_paused = true)]
async fn not_modified_confirms_what_is_known() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Tagged("5", "v1"), Step::NotModified]);
    elapse(60).await;
    let head = rig.head("price.BTC-USD.a");
    assert_eq!((head.seq, head.status.state), (1, State::Live));
    let calls = feed.script.calls.lock();
    assert_eq!(calls[0].1, None);
    assert_eq!(calls[1].1.as_ref().unwrap().etag.as_deref(), Some("v1"));
    assert_eq!(calls[5].1.as_ref().unwrap().etag.as_deref(), Some("v1"));
    assert!(rig.telemetry.render().contains(r#"outcome="not_modified""#));
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_feed_slows_down_while_nothing_changes_and_stays_live() {
    let rig = Rig::new();
    let mut steps = vec![Step::Tagged("5", "v1")];
    steps.extend(vec![Step::NotModified; 10]);
    steps.extend([Step::Body("6"), Step::Body("7"), Step::Body("7")]);
    let feed = rig.feed_adaptive("a", &steps);
    for _ in 0..30 {
        elapse(1).await;
        assert_eq!(rig.head("price.BTC-USD").status.state, State::Live);
    }
    assert!((8..=11).contains(&feed.script.calls()), "{}", feed.script.calls());
    assert_eq!(feed.feed.report(rig.clock.now()).interval_ms, 3_333);
    while rig.data("price.BTC-USD.a") != r#"{"price":"6"}"# {
        elapse(1).await;
    }
    assert_eq!(feed.feed.report(rig.clock.now()).interval_ms, 2_000);
}

#[tokio::test(start_paused = true)]
async fn a_jump_is_published_once_a_second_poll_confirms_it() {
    let rig = Rig::new();
    let steps = ["100", "1000", "101", "1000", "1001"].map(Step::Body);
    rig.feed("a", &steps);
    elapse(15).await;
    assert_eq!(rig.data("price.BTC-USD.a"), r#"{"price":"1001"}"#);
    assert_eq!(rig.head("price.BTC-USD.a").seq, 3);
    let text = rig.telemetry.render();
    assert!(text.contains(r#"tickwire_quarantined_total{feed="a",reason="jump"} 2"#));
}

#[tokio::test(start_paused = true)]
async fn a_feed_whose_every_value_is_quarantined_says_so() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Body("5"), Step::Body("-1")]);
    elapse(15).await;
    let report = feed.feed.report(rig.clock.now());
    assert_eq!(report.state, State::Stale);
    assert_eq!(report.last_error.unwrap().reason, Reason::Quarantined);
    assert_eq!(report.breaker, Breaker::Closed);
    let status = rig.head("price.BTC-USD").status;
    assert_eq!(status.reason, Some(Reason::Quarantined));
}

#[tokio::test(start_paused = true)]
async fn preparation_is_tried_again_and_comes_before_the_first_poll() {
    let rig = Rig::new();
    let down = Step::Fail(Reason::Timeout, None);
    let feed = rig.feed_with("a", &[down, Step::Body("ids"), Step::Body("5")], None, true);
    elapse(1).await;
    assert_eq!(rig.head("price.BTC-USD.a").status.state, State::Down);
    elapse(3).await;
    assert_eq!(rig.data("price.BTC-USD.a"), r#"{"price":"5"}"#);
    assert!(feed.script.gaps()[1] < 0.1);
}

#[tokio::test(start_paused = true)]
async fn feeds_of_one_budget_never_ask_more_than_it_allows() {
    let rig = Rig::new();
    let share = rig.budget(20);
    let one = rig.feed_with("a", &[Step::Body("5")], Some(share.clone()), false);
    let two = rig.feed_with("b", &[Step::Body("5")], Some(share), false);
    elapse(300).await;
    let calls = one.script.calls() + two.script.calls();
    assert!((95..=101).contains(&calls), "{calls}");
    assert!(one.script.calls().abs_diff(two.script.calls()) <= 2);
    // In the first minute more goes out at once, and then nothing for a while; after it, in turns.
    let gaps = [one.script.gaps(), two.script.gaps()];
    let longest = gaps.iter().flat_map(|gaps| &gaps[20..]).copied().fold(0.0, f64::max);
    assert!(longest < 7.0, "{longest} {gaps:?}");
    assert_eq!(rig.head("price.BTC-USD.a").status.state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn what_a_stall_made_it_miss_is_not_caught_up() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Slow(45), Step::Body("5")]);
    elapse(80).await;
    let gaps = feed.script.gaps();
    assert!(gaps.len() > 10 && gaps[1..].iter().all(|gap| *gap > 1.5), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn weight_that_the_upstream_counts_is_not_asked_again_within_the_minute() {
    let rig = Rig::new();
    let share = rig.budget(60);
    let feed = rig.feed_with("a", &[Step::Used(60), Step::Body("5")], Some(share), false);
    elapse(55).await;
    assert_eq!(feed.script.calls(), 1);
    assert_eq!(feed.feed.report(rig.clock.now()).budget.unwrap().remaining, 0);
    elapse(20).await;
    assert!(feed.script.calls() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_of_one_feed_holds_back_those_that_share_its_budget() {
    let rig = Rig::new();
    let share = rig.budget(600);
    let limited = Step::Fail(Reason::RateLimited, Some(60));
    rig.feed_with("a", &[limited, Step::Body("5")], Some(share.clone()), false);
    let other = rig.feed_with("b", &[Step::Body("5")], Some(share), false);
    elapse(50).await;
    assert!(other.script.calls() <= 1);
    let error = other.feed.report(rig.clock.now()).last_error.unwrap();
    assert_eq!(error.reason, Reason::Budget);
    elapse(20).await;
    assert!(other.script.calls() > 1);
    let state = other.feed.report(rig.clock.now()).state;
    assert_eq!(state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_status_is_told_every_ten_seconds() {
    let rig = Rig::new();
    rig.feed("a", &[Step::Body("5")]);
    elapse(1).await;
    let before = rig.head("status.a").seq;
    elapse(60).await;
    let told = rig.head("status.a").seq - before;
    assert!((5..=6).contains(&told), "{told}");
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_a_feed_in_the_middle_of_a_request() {
    let rig = Rig::new();
    let feed = rig.feed("a", &[Step::Hang]);
    elapse(1).await;
    assert_eq!(feed.script.calls(), 1);
    rig.trigger.advance(Stage::Draining);
    assert!(!rig.tasks.join(Duration::from_millis(10)).await);
    rig.trigger.advance(Stage::Stopping);
    assert!(rig.tasks.join(Duration::from_millis(10)).await);
}
