//! Feeds that are polled only while somebody subscribes.

use super::rig::{Rig, Running, SECOND, Step, elapse};
use crate::{
    market::{Pattern, Reason, State},
    upstream::Clock,
};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

fn report(rig: &Rig, feed: &Running) -> crate::hub::FeedReport {
    let clock: &Clock = &rig.clock;
    feed.feed.report(clock.now())
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_while_nobody_subscribes_and_the_first_subscription_is_served_at_once() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &[Step::Body("5")], false);
    elapse(600).await;
    assert_eq!(feed.script.calls(), 0);
    assert!(report(&rig, &feed).paused);
    assert_eq!(rig.head("price.BTC-USD.a").status.reason, Some(Reason::Paused));
    assert!(rig.data("status.a").contains(r#""reason":"paused""#), "{}", rig.data("status.a"));
    rig.hub.interest().begin(&pattern("price.ETH-USD"));
    elapse(60).await;
    assert_eq!(feed.script.calls(), 0);
    rig.hub.interest().begin(&pattern("price.BTC-USD.a"));
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(feed.script.calls(), 1);
    assert_eq!(rig.head("price.BTC-USD.a").status.state, State::Live);
    elapse(60).await;
    assert!((28..=32).contains(&feed.script.calls()), "{}", feed.script.calls());
    let gaps = feed.script.gaps();
    assert!(gaps.iter().all(|gap| *gap >= 1.5), "{gaps:?}");
    assert!(!report(&rig, &feed).paused);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_and_a_consolidated_topic_count_as_interest() {
    for text in ["price.>", "*.BTC-USD.*", "price.BTC-USD", ">"] {
        let rig = Rig::new();
        let feed = rig.feed_on_demand("a", &[Step::Body("5")], false);
        elapse(10).await;
        rig.hub.interest().begin(&pattern(text));
        elapse(1).await;
        assert_eq!(feed.script.calls(), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_for_thirty_seconds_after_the_last_has_left_and_then_rests() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &[Step::Body("5")], false);
    let wanted = pattern("price.BTC-USD.a");
    rig.hub.interest().begin(&wanted);
    elapse(60).await;
    rig.hub.interest().end(&wanted);
    elapse(27).await;
    let before = feed.script.calls();
    assert!((40..=45).contains(&before), "{before}");
    elapse(300).await;
    let after = feed.script.calls();
    assert!((before + 1..=before + 2).contains(&after), "{before} {after}");
    let status = rig.head("price.BTC-USD.a").status;
    assert_eq!((status.state, status.reason), (State::Down, Some(Reason::Paused)));
    assert!(report(&rig, &feed).paused);
}

#[tokio::test(start_paused = true)]
async fn who_comes_within_the_grace_keeps_it_going() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &[Step::Body("5")], false);
    let wanted = pattern("price.BTC-USD.a");
    for _ in 0..5 {
        rig.hub.interest().begin(&wanted);
        elapse(5).await;
        rig.hub.interest().end(&wanted);
        elapse(25).await;
    }
    let gaps = feed.script.gaps();
    assert!(gaps.len() > 70 && gaps.iter().all(|gap| *gap < 2.5), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_does_not_hurry_a_breaker_that_is_open() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &[Step::Fail(Reason::RateLimited, Some(300))], false);
    let wanted = pattern("price.BTC-USD.a");
    rig.hub.interest().begin(&wanted);
    elapse(10).await;
    for _ in 0..4 {
        rig.hub.interest().end(&wanted);
        elapse(40).await;
        rig.hub.interest().begin(&wanted);
        elapse(5).await;
    }
    assert_eq!(feed.script.calls(), 1);
    elapse(200).await;
    assert_eq!(feed.script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_must_be_prepared_is_prepared_when_it_is_wanted() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &[Step::Body("5")], true);
    elapse(60).await;
    assert_eq!(feed.script.calls(), 0);
    rig.hub.interest().begin(&pattern("price.>"));
    elapse(1).await;
    assert_eq!(feed.script.calls(), 2);
    assert_eq!(rig.head("price.BTC-USD.a").status.state, State::Live);
}
