use std::collections::VecDeque;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use crate::{
    market::{Data, Decimal, Topic},
    upstream::{fetch::Validators, providers::DecodeError},
};

/// Answers in turn.
struct Script(Mutex<VecDeque<Result<Answer, FetchError>>>);

impl Fetch for Script {
    fn fetch<'a>(
        &'a self,
        _: &'a Request,
        _: Option<&'a Validators>,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        let next = self.0.lock().pop_front().unwrap();
        Box::pin(async move { next })
    }
}

/// Wants `look_ups` answered before its two requests. Reads `price` lists: `BTC=1`, `!ETH` for what is missing.
struct Fake {
    look_ups: usize,
}

impl Provider for Fake {
    fn preparation(&self) -> Vec<Request> {
        let wanted = if self.look_ups > 0 { 1 } else { 0 };
        vec![Request::default(); wanted]
    }

    fn prepared(&mut self, _: &Request, _: &Response) -> Result<(), DecodeError> {
        self.look_ups -= 1;
        Ok(())
    }

    fn requests(&self) -> Vec<Request> {
        vec![Request::default(); 2]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let mut batch = Batch::default();
        for word in std::str::from_utf8(&response.body).unwrap().split_whitespace() {
            match word.split_once('=') {
                None => batch.missing.push(word.to_owned()),
                Some((base, price)) => batch.ticks.push(Tick {
                    topic: Topic::parse(&format!("price.{base}-USD")).unwrap(),
                    data: Data::new().with("price", Decimal::parse(price).unwrap()),
                    ts: None,
                }),
            }
        }
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        ["BTC", "ETH"].map(|base| Topic::parse(&format!("price.{base}-USD")).unwrap()).to_vec()
    }
}

const NOW: i64 = 1_790_000_000_250_000;

fn said(body: &'static str, date_s: u64) -> Result<Answer, FetchError> {
    Ok(Answer {
        body: Some(body.into()),
        validators: Validators::default(),
        used: None,
        date: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(date_s)),
    })
}

fn refusal(status: u16) -> Result<Answer, FetchError> {
    let failure = FetchError::new(Reason::Http4xx, format!("status {status}"));
    Err(FetchError { status: Some(status), ..failure })
}

async fn asked(
    look_ups: usize,
    key: bool,
    script: impl IntoIterator<Item = Result<Answer, FetchError>>,
) -> (Asked, Vec<String>) {
    let script = Script(Mutex::new(script.into_iter().collect()));
    let mut provider = Fake { look_ups };
    let outcome = Asking::new(&script, None, Clock::tokio(NOW), 50.0).ask(&mut provider, key).await;
    assert!(script.0.lock().is_empty(), "not asked to the end");
    outcome
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_counted_over_all_requests_after_the_preparation() {
    let script = ["", "", "BTC=1", "ETH=2"].map(|body| said(body, 1_790_000_000));
    let (asked, problems) = asked(2, true, script).await;
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!((asked.topics_found, asked.topics, asked.authorised), (2, 2, Some(true)));
    assert_eq!((asked.fields, asked.unreachable), (vec!["price".to_owned()], None));
    assert_eq!((asked.time_ms, asked.clock_s), (Some(0), Some(0.25)));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let (asked, problems) =
        asked(0, false, [said("BTC=1", 1_790_000_000), said("ETH-USD", 1_790_000_000)]).await;
    assert_eq!((asked.topics_found, asked.topics, asked.authorised), (1, 2, None));
    assert_eq!(problems, ["ETH-USD"]);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_true_is_not_found() {
    let (asked, problems) =
        asked(0, false, [said("BTC=-1", 1_790_000_000), said("", 1_790_000_000)]).await;
    assert_eq!((asked.topics_found, asked.missing.len()), (0, 0));
    assert_eq!(problems, ["price.BTC-USD cannot be true: its price is not above zero, or absent"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_ends_the_asking_and_is_told_from_one_that_is_wanted() {
    for (key, expected) in [(true, "the key is refused"), (false, "it wants a key")] {
        for status in [401, 403] {
            let (asked, problems) = asked(0, key, [refusal(status)]).await;
            assert_eq!((asked.authorised, asked.unreachable), (Some(false), None));
            assert_eq!(problems.len(), 1);
            assert!(
                problems[0].starts_with(&format!("status {status}: {expected}")),
                "{problems:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_preparation_that_fails_ends_the_asking() {
    let (asked, problems) = asked(1, true, [refusal(404)]).await;
    assert_eq!((asked.topics_found, asked.topics), (0, 2));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("status 404: is the address right"), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn why_nothing_answered_is_one_word() {
    for (reason, message, expected) in [
        (Reason::Timeout, "no whole answer", "timeout"),
        (Reason::Tls, "bad certificate", "tls"),
        (Reason::Connect, "error sending request: dns error: no such", "dns"),
        (Reason::Connect, "tcp connect error: Connection refused", "refused"),
        (Reason::Connect, "10.0.0.1 has no public address; x", "not public"),
        (Reason::Connect, "reset", "connect"),
    ] {
        let (asked, _) = asked(0, false, [Err(FetchError::new(reason, message))]).await;
        assert_eq!((asked.unreachable, asked.time_ms), (Some(expected), None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_a_problem_from_two_seconds_on() {
    for (date_s, expected) in [
        (1_790_000_001, None),
        (1_790_000_060, Some("its clock is 60 s ahead of ours")),
        (1_758_464_000, Some("its clock is 31536000 s behind ours")),
        (1_789_999_940, Some("its clock is 60 s behind ours")),
    ] {
        let (_, problems) = asked(0, false, [said("BTC=1", date_s), said("ETH=1", date_s)]).await;
        assert_eq!(problems.len(), usize::from(expected.is_some()), "{problems:?}");
        assert!(problems.iter().all(|text| text.starts_with(expected.unwrap())), "{problems:?}");
    }
}

fn reported(text: &str) -> FetchError {
    FetchError { key_refused: true, ..FetchError::new(Reason::BadBody, text) }
}

#[tokio::test(start_paused = true)]
async fn a_key_refused_with_status_200_is_not_authorised() {
    for (key, expected) in [(true, "the key is refused"), (false, "it wants a key")] {
        let (asked, problems) = asked(0, key, [Err(reported("Invalid API Key"))]).await;
        assert_eq!(asked.authorised, Some(false));
        assert!(problems[0].contains(expected), "{problems:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_told() {
    let (asked, problems) = asked(0, false, [refusal(404), refusal(400)]).await;
    assert_eq!((asked.topics_found, asked.authorised), (0, None));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("status 404: "), "{problems:?}");
    assert!(problems[1].starts_with("status 400: "), "{problems:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_ends_its_own_feed_alone() {
    let telemetry = crate::telemetry::Telemetry::new().unwrap();
    let hub = crate::hub::Hub::new(crate::hub::Config::default(), 1, "e".into(), &telemetry);
    let deps = Deps {
        hub: std::sync::Arc::new(hub),
        telemetry,
        sandbox_url: None,
        credits: crate::upstream::credits::Book::default(),
    };
    let mut builder = Builder::new(deps);
    let mut runner = |name: &str| {
        let text = format!(
            "name = '{name}'\nprovider = 'mempool'\nbase_url = 'http://127.0.0.1:1'\n\
             allow_private = true"
        );
        builder.runner(toml::from_str(&text).unwrap()).unwrap()
    };
    let [mut first, mut second] = ["first", "second"].map(&mut runner);
    for (runner, panics) in [(&mut first, true), (&mut second, false)] {
        let Kind::Poll(asking) = &mut runner.kind else { panic!("not polled") };
        let script = ["BTC=1", "ETH=1"].map(|body| said(body, 1_790_000_000));
        asking.fetch = std::sync::Arc::new(Script(Mutex::new(script.into())));
        asking.factory = Box::new(move || {
            assert!(!panics, "a scripted fault");
            Ok(Box::new(Fake { look_ups: 0 }))
        });
    }
    let done = one_by_one(vec![(0, first), (1, second)], Clock::tokio(NOW)).await;
    let [(_, first), (_, second)] = done.try_into().unwrap();
    assert_eq!((first.feed.as_str(), first.asked.clone(), first.failed()), ("first", None, true));
    assert_eq!(first.problems, ["its provider panicked: a scripted fault: please report this"]);
    assert_eq!((second.feed.as_str(), second.failed()), ("second", false), "{second:?}");
}
