//! What happens where demand, budgets, breakers, adaptive pace and consolidation meet.

use super::{
    super::Poll,
    rig::{Rig, Running, SECOND, Step, elapse},
};
use crate::{
    hub::FeedReport,
    market::{Breaker, Pattern, Reason, State},
    units::Micros,
    upstream::demand::Demand,
};

/// The end of the month in which rigs start.
const MONTH_END: Micros = 1_790_812_800_000_000;
const NAME: &str = "price.BTC-USD.a";

fn wanted() -> Pattern {
    Pattern::parse(NAME).unwrap()
}

fn report(rig: &Rig, feed: &Running) -> FeedReport {
    feed.feed.report(rig.clock.now())
}

fn on_demand(rig: &Rig) -> impl FnOnce(Poll) -> Poll + use<> {
    let demand = Demand::new(rig.hub.clone());
    |poll| poll.on_demand(demand)
}

/// Fails `failures` times in a row after one good answer, five of which open the breaker, and goes
/// well from then on.
fn breaking(failures: usize) -> Vec<Step> {
    let mut steps = vec![Step::Body("5")];
    steps.extend(vec![Step::Fail(Reason::Http5xx, None); failures]);
    steps.push(Step::Body("6"));
    steps
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_rests_behind_an_open_breaker_stays_down_until_it_is_wanted_and_answers() {
    let rig = Rig::new();
    let feed = rig.feed_on_demand("a", &breaking(6), false);
    rig.hub.interest().begin(&wanted());
    elapse(5).await;
    rig.hub.interest().end(&wanted());
    // The first trial fails as well: the grace is over before the second.
    while !report(&rig, &feed).paused {
        elapse(1).await;
    }
    let calls = feed.script.calls();
    assert_eq!((calls, report(&rig, &feed).breaker), (7, Breaker::Open));
    for _ in 0..60 {
        elapse(2).await;
        let status = rig.head(NAME).status;
        assert_eq!((status.state, status.reason), (State::Down, Some(Reason::Paused)));
        assert_eq!(rig.head("price.BTC-USD").status.state, State::Down);
        assert_eq!(feed.script.calls(), calls);
    }
    rig.hub.interest().begin(&wanted());
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(feed.script.calls(), calls + 1);
    let now = report(&rig, &feed);
    assert_eq!((now.breaker, now.state, now.paused), (Breaker::Closed, State::Live, false));
    assert_eq!(rig.head(NAME).status.state, State::Live);
    assert_eq!(rig.data(NAME), r#"{"price":"6"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_rests_spends_no_credit() {
    let rig = Rig::new();
    let share = rig.budget_of_month(600, 1_000);
    let feed = rig.start("a", &[Step::Body("5")], Some(share), false, on_demand(&rig));
    let left = || report(&rig, &feed).budget.unwrap().per_month_remaining.unwrap();
    elapse(3_600).await;
    assert_eq!(left(), 1_000);
    rig.hub.interest().begin(&wanted());
    elapse(60).await;
    rig.hub.interest().end(&wanted());
    elapse(60).await;
    let rests = left();
    assert_eq!(rests, 1_000 - u64::try_from(feed.script.calls()).unwrap());
    assert!((940..=960).contains(&rests), "{rests}");
    elapse(3_600).await;
    assert_eq!(left(), rests);
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_the_month_is_spent_is_told_so_and_served_in_the_next() {
    let rig = Rig::starting(MONTH_END - 300_000_000);
    let share = rig.budget_of_month(600, 3);
    let feed = rig.start("a", &[Step::Body("5")], Some(share), false, on_demand(&rig));
    rig.hub.interest().begin(&wanted());
    elapse(60).await;
    assert_eq!(feed.script.calls(), 3);
    let status = rig.head(NAME).status;
    assert_eq!((status.state, status.reason), (State::Down, Some(Reason::Budget)));
    let retry_at = status.retry_at.unwrap();
    assert!((0..2_000_000).contains(&(retry_at - MONTH_END)), "{retry_at}");
    assert!(!report(&rig, &feed).paused);
    elapse(242).await;
    assert_eq!(rig.head(NAME).status.state, State::Live);
    assert!(feed.script.calls() > 3);
}

#[tokio::test(start_paused = true)]
async fn a_month_that_begins_when_nobody_is_left_costs_nothing() {
    let rig = Rig::starting(MONTH_END - 300_000_000);
    let share = rig.budget_of_month(600, 3);
    let feed = rig.start("a", &[Step::Body("5")], Some(share), false, on_demand(&rig));
    rig.hub.interest().begin(&wanted());
    elapse(60).await;
    rig.hub.interest().end(&wanted());
    elapse(600).await;
    assert_eq!(feed.script.calls(), 3);
    let now = report(&rig, &feed);
    assert!(now.paused);
    assert_eq!(now.budget.unwrap().per_month_remaining, Some(3));
    rig.hub.interest().begin(&wanted());
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(feed.script.calls(), 4);
    assert_eq!(rig.head(NAME).status.state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_waits_for_its_budget_until_nobody_is_left_is_made_when_somebody_comes() {
    let rig = Rig::starting(MONTH_END - 300_000_000);
    let share = rig.budget_of_month(600, 6);
    let feed = rig.start("a", &breaking(5), Some(share), false, on_demand(&rig));
    rig.hub.interest().begin(&wanted());
    elapse(90).await;
    assert_eq!((feed.script.calls(), report(&rig, &feed).breaker), (6, Breaker::HalfOpen));
    rig.hub.interest().end(&wanted());
    elapse(600).await;
    assert_eq!(feed.script.calls(), 6);
    assert_eq!(rig.head(NAME).status.state, State::Down);
    rig.hub.interest().begin(&wanted());
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!((feed.script.calls(), report(&rig, &feed).breaker), (7, Breaker::Closed));
    assert_eq!(rig.head(NAME).status.state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_neighbour_holds_back_a_feed_that_is_wanted_again() {
    let rig = Rig::new();
    let share = rig.budget(600);
    let limited = Step::Fail(Reason::RateLimited, Some(60));
    rig.feed_with("b", &[limited, Step::Body("5")], Some(share.clone()), false);
    let feed = rig.start("a", &[Step::Body("5")], Some(share), false, on_demand(&rig));
    elapse(10).await;
    rig.hub.interest().begin(&wanted());
    elapse(48).await;
    assert_eq!(feed.script.calls(), 0);
    assert_eq!(rig.head(NAME).status.reason, Some(Reason::Budget));
    elapse(5).await;
    assert!(feed.script.calls() > 0);
    assert_eq!(rig.head(NAME).status.state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_kept_by_a_feed_that_rests_in_between() {
    let rig = Rig::new();
    let limited = Step::Fail(Reason::RateLimited, Some(120));
    let feed = rig.feed_on_demand("a", &[Step::Body("5"), limited, Step::Body("6")], false);
    rig.hub.interest().begin(&wanted());
    elapse(5).await;
    rig.hub.interest().end(&wanted());
    elapse(60).await;
    rig.hub.interest().begin(&wanted());
    elapse(120).await;
    let gaps = feed.script.gaps();
    assert!((120.0..121.0).contains(&gaps[1]), "{gaps:?}");
    assert_eq!(rig.data(NAME), r#"{"price":"6"}"#);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_feed_that_has_slowed_down_serves_who_comes_at_once_and_stays_live() {
    let rig = Rig::new();
    let demand = on_demand(&rig);
    let set = |poll: Poll| demand(poll).adaptive();
    let feed = rig.start("a", &[Step::Body("5")], None, false, set);
    rig.hub.interest().begin(&wanted());
    elapse(60).await;
    assert_eq!(report(&rig, &feed).interval_ms, 3_333);
    rig.hub.interest().end(&wanted());
    elapse(120).await;
    assert!(report(&rig, &feed).paused);
    let calls = feed.script.calls();
    rig.hub.interest().begin(&wanted());
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(feed.script.calls(), calls + 1);
    for _ in 0..60 {
        assert_eq!(rig.head(NAME).status.state, State::Live);
        elapse(1).await;
    }
    let gaps = feed.script.gaps();
    assert!(gaps.iter().all(|gap| *gap >= 1.5), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_feed_leaves_to_its_neighbour_what_it_does_not_need() {
    let rig = Rig::new();
    // 30 polls a minute each would be twice as much.
    let share = rig.budget(40);
    let adaptive = rig.start("a", &[Step::Body("5")], Some(share.clone()), false, Poll::adaptive);
    let neighbour = rig.feed_with("b", &[Step::Body("7")], Some(share), false);
    elapse(900).await;
    let (few, many) = (adaptive.script.calls(), neighbour.script.calls());
    assert!(few + many <= 40 * 15 + 40, "{few} {many}");
    assert!(few < 280 && many > 330, "{few} {many}");
    for topic in [NAME, "price.BTC-USD.b"] {
        assert_eq!(rig.head(topic).status.state, State::Live, "{topic}");
    }
    assert_eq!(report(&rig, &adaptive).breaker, Breaker::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_rests_leaves_the_median_and_comes_back_to_it() {
    let rig = Rig::new();
    let resting = rig.feed_on_demand("a", &[Step::Body("5")], false);
    rig.feed("b", &[Step::Body("7")]);
    let sources = |count: u32| format!(r#""sources":{count}"#);
    elapse(10).await;
    assert!(rig.data("price.BTC-USD").contains(&sources(1)), "{}", rig.data("price.BTC-USD"));
    rig.hub.interest().begin(&wanted());
    elapse(10).await;
    assert!(rig.data("price.BTC-USD").contains(&sources(2)), "{}", rig.data("price.BTC-USD"));
    assert!(rig.data("price.BTC-USD").contains(r#""price":"5""#));
    rig.hub.interest().end(&wanted());
    while !report(&rig, &resting).paused {
        elapse(1).await;
    }
    elapse(11).await;
    let alone = rig.data("price.BTC-USD");
    assert!(alone.contains(&sources(1)) && alone.contains(r#""price":"7""#), "{alone}");
    assert_eq!(rig.head("price.BTC-USD").status.state, State::Live);
    rig.hub.interest().begin(&wanted());
    elapse(1).await;
    assert!(rig.data("price.BTC-USD").contains(&sources(2)));
}
