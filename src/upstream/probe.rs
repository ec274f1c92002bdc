//! Asks each feed once and says what came of it, without a hub behind it: for an operator who has
//! written a configuration and wants to know whether it works.

mod advice;

use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    time::{Duration, SystemTime},
};

use futures::{FutureExt, StreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    Deps,
    budget::{Denied, Share},
    build::{self, Builder, Kind, Runner},
    clock::Clock,
    config::{FeedConfig, Setting},
    fetch::{Answer, Fetch, FetchError},
    poll::report::{decode, ends_poll},
    providers::{Batch, Provider, Request, Response},
    supervise,
    validate::Validator,
};
use crate::market::{Reason, Tick};

/// Hosts that are asked at a time; the feeds of one host follow each other.
const HOSTS_AT_ONCE: usize = 4;

/// Longest wait for a budget: a minute's units are there again by then.
const BUDGET_WAIT_MAX: Duration = Duration::from_secs(60);

/// Rounds of preparation after which a provider is taken not to come to an end.
const PREPARATIONS_MAX: usize = 20;

/// A clock that is off by more makes times of values and signatures wrong.
const CLOCK_TOLERANCE_S: f64 = 2.0;

/// Failures of a feed, and problems of its items, that are told; beyond it, how many more there are.
const TOLD_MAX: usize = 10;

/// What came of one feed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probed {
    /// The feed's name.
    pub feed: String,
    /// Its provider.
    pub provider: &'static str,
    /// Whether it has a key, or another secret that it sends.
    pub key: bool,
    /// What came of asking; `null` where there is nobody to ask (`synthetic`, `push`).
    pub asked: Option<Asked>,
    /// What is wrong and what to do about it, a line each. Never a key.
    pub problems: Vec<String>,
}

/// What came of asking one upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Asked {
    /// Why nothing answered; `null` when it did, whatever it said.
    pub unreachable: Option<&'static str>,
    /// Whether the key is good; `null` where there is none or it is not known.
    pub authorised: Option<bool>,
    /// Topics of which there is a valid value.
    pub topics_found: usize,
    /// Topics that there should be.
    pub topics: usize,
    /// Names of the fields in the values.
    pub fields: Vec<String>,
    /// Milliseconds from a request to its whole answer, of the slowest.
    pub time_ms: Option<u64>,
    /// Seconds by which the upstream's clock is ahead of ours. It tells whole seconds only.
    pub clock_s: Option<f64>,
    /// Units of this minute that the upstream says are spent.
    pub budget_used: Option<u32>,
    /// What was asked for and is not there, a text each: `ETH-USDT is not in the answer`.
    pub missing: Vec<String>,
}

impl Probed {
    /// Whether it can be asked and did not answer with a value.
    pub fn failed(&self) -> bool {
        match &self.asked {
            Some(asked) => asked.topics_found == 0,
            // What could not even be set up is as bad; what asks nobody has no problem.
            None => !self.problems.is_empty(),
        }
    }
}

/// Asks each feed once; the answers are in the order of `feeds`.
pub async fn probe(feeds: Vec<FeedConfig>, deps: Deps) -> Vec<Probed> {
    let mut builder = Builder::new(deps);
    let mut done = Vec::new();
    let mut hosts: Vec<(String, Vec<(usize, Runner)>)> = Vec::new();
    for (index, config) in feeds.into_iter().enumerate() {
        let (feed, provider) = (config.name.clone(), config.provider.name());
        let host = builder.target(&config).ok();
        let host = host.and_then(|target| target.base.host_str().map(str::to_owned));
        match builder.runner(config) {
            Err(problem) => {
                let problems = vec![problem];
                done.push((index, Probed { feed, provider, key: false, asked: None, problems }));
            }
            Ok(runner) => {
                let host = host.unwrap_or_default();
                match hosts.iter_mut().find(|(known, _)| *known == host) {
                    Some((_, runners)) => runners.push((index, runner)),
                    None => hosts.push((host, vec![(index, runner)])),
                }
            }
        }
    }
    let clock = builder.clock;
    let asked = stream::iter(hosts).map(|(_, runners)| one_by_one(runners, clock.clone()));
    let asked: Vec<_> = asked.buffer_unordered(HOSTS_AT_ONCE).collect().await;
    done.extend(asked.into_iter().flatten());
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, probed)| probed).collect()
}

async fn one_by_one(runners: Vec<(usize, Runner)>, clock: Clock) -> Vec<(usize, Probed)> {
    let mut done = Vec::with_capacity(runners.len());
    for (index, runner) in runners {
        let (feed, provider) = (runner.config.name.clone(), runner.config.provider.name());
        // Whatever it has done by then is dropped with it.
        let probed = AssertUnwindSafe(one(runner, &clock)).catch_unwind().await;
        let probed = probed.unwrap_or_else(|panic| {
            let said = supervise::text(panic.as_ref());
            let problem = format!("its provider panicked: {said}: please report this");
            Probed { feed, provider, key: false, asked: None, problems: vec![problem] }
        });
        done.push((index, probed));
    }
    done
}

async fn one(runner: Runner, clock: &Clock) -> Probed {
    let Runner { feed, config, kind } = runner;
    let mut probed = Probed {
        feed: config.name.clone(),
        provider: config.provider.name(),
        key: false,
        asked: None,
        problems: Vec::new(),
    };
    match kind {
        Kind::Synthetic => {}
        Kind::Push { key, .. } => probed.key = key.is_some(),
        Kind::Poll(build::Asking { fetch, factory, stream }) => {
            let secret = |setting: &Setting| matches!(setting, Setting::Secret(_));
            probed.key = config.api_key.is_some()
                || config.headers.values().chain(config.query.values()).any(secret);
            match factory() {
                Err(problem) => probed.problems.push(problem),
                Ok(mut provider) => {
                    let share = feed.budget().cloned();
                    let asking =
                        Asking::new(fetch.as_ref(), share, clock.clone(), config.max_jump_pct);
                    let (asked, problems) = asking.ask(provider.as_mut(), probed.key).await;
                    (probed.asked, probed.problems) = (Some(asked), problems);
                }
            }
            // The values that it brings are those of the polls, which stand in for it.
            if let Some(stream) = stream
                && let Err(error) = stream.dial.dial().await
            {
                let advice = advice::of(&error, probed.key);
                probed.problems.push(format!("its stream does not open: {advice}"));
            }
        }
    }
    probed
}

/// One feed while it is asked.
struct Asking<'a> {
    fetch: &'a dyn Fetch,
    share: Option<Share>,
    clock: Clock,
    validator: Validator,
    asked: Asked,
    fields: BTreeSet<String>,
    /// With the path of the request that failed.
    failures: Vec<(String, FetchError)>,
    answered: bool,
    problems: Vec<String>,
}

impl<'a> Asking<'a> {
    fn new(fetch: &'a dyn Fetch, share: Option<Share>, clock: Clock, jump_max_pct: f64) -> Self {
        Self {
            fetch,
            share,
            clock,
            validator: Validator::new(jump_max_pct),
            asked: Asked::default(),
            fields: BTreeSet::new(),
            failures: Vec::new(),
            answered: false,
            problems: Vec::new(),
        }
    }

    async fn ask(mut self, provider: &mut dyn Provider, key: bool) -> (Asked, Vec<String>) {
        if self.prepare(provider).await {
            let requests = provider.requests();
            let many = requests.len() > 1;
            for request in requests {
                let decoded = match self.request(&request).await {
                    Ok(response) => {
                        decode(&response, |response| provider.decode(&request, response))
                            .map(|batch| self.take(&batch, response.rx))
                    }
                    Err(failure) => Err(failure),
                };
                let place = if many { request.path.as_str() } else { "" };
                if self.gives_up(place, decoded) {
                    break;
                }
            }
        }
        self.asked.topics = provider.topics().len().max(self.asked.topics_found);
        self.conclude(key);
        (self.asked, self.problems)
    }

    /// Makes the requests that come before the first poll; false when polling cannot begin.
    async fn prepare(&mut self, provider: &mut dyn Provider) -> bool {
        for _ in 0..PREPARATIONS_MAX {
            let requests = provider.preparation();
            if requests.is_empty() {
                return true;
            }
            for request in requests {
                let taken = match self.request(&request).await {
                    Ok(response) => {
                        decode(&response, |response| provider.prepared(&request, response))
                    }
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = taken {
                    self.failures.push((String::new(), failure));
                    return false;
                }
            }
        }
        let message = format!("not prepared after {PREPARATIONS_MAX} rounds");
        self.failures.push((String::new(), FetchError::new(Reason::NoData, message)));
        false
    }

    fn gives_up(&mut self, path: &str, outcome: Result<(), FetchError>) -> bool {
        let Err(failure) = outcome else { return false };
        let over = ends_poll(failure.reason) || advice::refuses(&failure);
        self.failures.push((path.to_owned(), failure));
        over
    }

    async fn request(&mut self, request: &Request) -> Result<Response, FetchError> {
        self.afford(request).await?;
        let (sent, sent_at) = (Instant::now(), self.clock.now());
        let fetched = self.fetch.fetch(request, None).await;
        let (took, rx) = (sent.elapsed(), self.clock.now());
        let (used, date) = match &fetched {
            Ok(answer) => (answer.used, answer.date),
            Err(error) => (error.used, error.date),
        };
        self.asked.budget_used = used.or(self.asked.budget_used);
        let ahead = date.and_then(|date| ahead_s(date, sent_at, rx));
        self.asked.clock_s = ahead.or(self.asked.clock_s);
        if let Some(share) = &self.share {
            let now = Instant::now().into_std();
            if let Some(used) = used {
                share.observe_used(used, now);
            }
            if let Some(wait) = fetched.as_ref().err().and_then(|error| error.retry_after) {
                share.hold(now + wait);
            }
        }
        let answered = fetched.as_ref().err().is_none_or(|error| error.status.is_some());
        if answered {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.asked.time_ms = self.asked.time_ms.max(Some(ms));
            self.answered = true;
        }
        let Answer { body, .. } = fetched?;
        Ok(Response { body: body.unwrap_or_default(), rx })
    }

    /// Waits until the budget has what `request` costs.
    async fn afford(&self, request: &Request) -> Result<(), FetchError> {
        let Some(share) = &self.share else { return Ok(()) };
        while let Err(Denied { wait, .. }) =
            share.take(request.weight, Instant::now().into_std(), self.clock.now())
        {
            if wait > BUDGET_WAIT_MAX {
                let message = format!("its budget is spent for {} s", wait.as_secs());
                return Err(FetchError::new(Reason::Budget, message));
            }
            sleep(wait).await;
        }
        Ok(())
    }

    fn take(&mut self, batch: &Batch, rx: i64) {
        for tick in &batch.ticks {
            match self.validator.check(tick, rx) {
                Ok(()) => self.found(tick),
                Err(fault) => {
                    let why = advice::of_fault(fault);
                    self.problems.push(format!("{} cannot be true: {why}", tick.topic));
                }
            }
        }
        self.asked.missing.extend(batch.missing.iter().cloned());
    }

    fn found(&mut self, tick: &Tick) {
        self.asked.topics_found += 1;
        for (name, _) in tick.data.iter() {
            if self.fields.insert(name.to_owned()) {
                self.asked.fields.push(name.to_owned());
            }
        }
    }

    /// Says what is wrong, and what to do about it.
    fn conclude(&mut self, key: bool) {
        let refused = self.failures.iter().any(|(_, failure)| advice::refuses(failure));
        self.asked.authorised = match key {
            _ if refused => Some(false),
            true if self.asked.topics_found > 0 => Some(true),
            _ => None,
        };
        if let (Some((_, failure)), false) = (self.failures.first(), self.answered) {
            self.asked.unreachable = Some(advice::short(failure));
        }
        let mut told: Vec<String> = Vec::new();
        for (path, failure) in &self.failures {
            let apart = if path.is_empty() { "" } else { ": " };
            told.push(format!("{path}{apart}{}", advice::of(failure, key)));
        }
        let values = std::mem::take(&mut self.problems);
        told_of(&mut self.problems, &told);
        told_of(&mut self.problems, &values);
        // Each says itself what is wrong with it.
        told_of(&mut self.problems, &self.asked.missing);
        if self.problems.is_empty() && self.asked.topics_found == 0 {
            self.problems.push("the answer holds nothing that was asked for".to_owned());
        }
        if let Some(ahead) = self.asked.clock_s
            && ahead.abs() > CLOCK_TOLERANCE_S
        {
            let way = if ahead > 0.0 { "ahead of" } else { "behind" };
            self.problems.push(format!(
                "its clock is {:.0} s {way} ours: set this machine's clock by NTP if others differ alike",
                ahead.abs()
            ));
        }
    }
}

/// Adds the first of `texts` to `problems`, and how many more there are.
fn told_of(problems: &mut Vec<String>, texts: &[String]) {
    problems.extend(texts.iter().take(TOLD_MAX).cloned());
    if let Some(more) = texts.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        problems.push(format!("{more} more like these"));
    }
}

/// Seconds by which a clock that said `date` some time between `sent` and `rx` is ahead of ours. It
/// tells whole seconds only, so that it stands half a second later in the mean.
fn ahead_s(date: SystemTime, sent: i64, rx: i64) -> Option<f64> {
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let date = i64::try_from(date.as_micros()).ok()?.saturating_add(500_000);
    let between = sent.saturating_add(rx.saturating_sub(sent) / 2);
    let ahead = date.saturating_sub(between);
    let secs = i32::try_from(ahead / 1_000_000).ok()?;
    let rest = i32::try_from(ahead % 1_000_000).ok()?;
    Some(f64::from(secs) + f64::from(rest / 1000) / 1000.0)
}

#[cfg(test)]
mod tests;
