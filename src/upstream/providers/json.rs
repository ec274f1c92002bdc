//! Any API that answers in JSON, by configuration alone: a URL, and paths (JSONPath, RFC 9535) to
//! what is published.

mod element;
mod plan;
mod tree;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use bytes::Bytes;

use self::{
    plan::{Plan, TopicPlan},
    tree::{Node, Tree},
};
use super::{
    Batch, DecodeError, Provider, Request, Response, Secrets, body, markets::distinct,
    mistake::Mistakes,
};
use crate::{
    market::Topic,
    units::Secret,
    upstream::config::{FeedConfig, Method, Setting},
};

/// The most topics that a feed makes of elements. The hub keeps a topic for good, so an API must
/// not be able to make any number of them.
const TOPICS_MAX: usize = 5_000;

/// The most that is said of what an answer lacks.
const MISSING_MAX: usize = 20;

/// An error that comes as an answer is short.
const ERROR_BYTES_MAX: usize = 1_024;

/// One configured request and what is taken from its answer.
#[derive(Debug)]
pub(super) struct Json {
    request: Request,
    plan: Plan,
    /// Topics that are known beforehand.
    known: Vec<Topic>,
    /// Topics that elements have made so far.
    made: BTreeSet<Topic>,
}

impl Json {
    /// # Errors
    /// Names the key of the configuration that is wrong.
    pub(super) fn new(feed: &FeedConfig, secrets: &Secrets) -> Result<Self, Mistakes> {
        let plan = plan::compile(feed).map_err(Mistakes)?;
        let known = known(&plan);
        Ok(Self { request: request(feed, secrets), plan, known, made: BTreeSet::new() })
    }

    /// Takes the ticks of one `[[feeds.topics]]`.
    fn take(&mut self, index: usize, root: Node<'_, '_>, taken: &mut Taken) {
        let Self { plan, made, .. } = self;
        let Some(topic) = plan.topics.get(index) else { return };
        let elements = match &topic.each {
            Some(path) => root.all(path),
            None => vec![root],
        };
        if elements.is_empty() {
            taken.lacks(format!("topics.{index}: `each` finds nothing"));
        }
        for (place, element) in elements.into_iter().enumerate() {
            let named = match name(plan, topic, element) {
                Ok(Some(named)) => named,
                Ok(None) => continue,
                Err(why) => {
                    taken.lacks(format!("topics.{index}: element {place} {why}"));
                    continue;
                }
            };
            if topic.symbol.is_some() && plan.wanted.is_empty() && !made.contains(&named) {
                if made.len() >= TOPICS_MAX {
                    taken.lacks(format!("{named} is beyond the {TOPICS_MAX} topics of a feed"));
                    continue;
                }
                made.insert(named.clone());
            }
            taken.element(topic, named, element);
        }
    }
}

/// What has been taken from an answer.
#[derive(Default)]
struct Taken {
    batch: Batch,
    /// Topics for which the answer has something, usable or not.
    seen: BTreeSet<Topic>,
    /// What is lacking besides what is said.
    more: usize,
}

impl Taken {
    fn lacks(&mut self, what: String) {
        if self.batch.missing.len() < MISSING_MAX {
            self.batch.missing.push(what);
        } else {
            self.more += 1;
        }
    }

    fn element(&mut self, plan: &TopicPlan, topic: Topic, element: Node<'_, '_>) {
        if !self.seen.insert(topic.clone()) {
            self.lacks(format!("{topic} is there twice: the first counts"));
            return;
        }
        let mut lacking = Vec::new();
        match element::tick(plan, topic.clone(), element, &mut lacking) {
            Ok(tick) => self.batch.ticks.push(tick),
            Err(why) => lacking.push(why),
        }
        for why in lacking {
            self.lacks(format!("{topic} {why}"));
        }
    }

    fn batch(mut self) -> Batch {
        if self.more > 0 {
            self.batch.missing.push(format!("and {} more", self.more));
        }
        self.batch
    }
}

/// Topics that are known beforehand.
fn known(plan: &Plan) -> Vec<Topic> {
    let each = plan.topics.iter().flat_map(|topic| {
        let symbols: Vec<_> = match &topic.symbol {
            None => vec![None],
            Some(_) if plan.wanted.is_empty() => plan.ids.values().map(Some).collect(),
            Some(_) => plan.wanted.iter().map(Some).collect(),
        };
        symbols.into_iter().filter_map(|symbol| topic.topic(symbol).ok())
    });
    distinct(each)
}

/// The topic of an element: `Ok(None)` for one that is not asked for.
fn name(plan: &Plan, topic: &TopicPlan, element: Node<'_, '_>) -> Result<Option<Topic>, String> {
    match &topic.symbol {
        None => topic.topic(None).map(Some),
        Some(symbol) => match element::symbol(plan, symbol, element)? {
            Some(market) => topic.topic(Some(&market)).map(Some),
            None => Ok(None),
        },
    }
}

/// The request, which is always the same.
fn request(feed: &FeedConfig, secrets: &Secrets) -> Request {
    let owned = |(name, secret): &(String, Secret)| (Cow::Owned(name.clone()), secret.clone());
    let body = match (feed.method, &feed.body) {
        (_, Some(body)) => Some(Bytes::from(body.clone())),
        (Some(Method::Post), None) => Some(Bytes::new()),
        (Some(Method::Get) | None, None) => None,
    };
    let plain = |settings: &BTreeMap<String, Setting>| {
        let plain = settings.iter().filter_map(|(name, setting)| match setting {
            Setting::Plain(value) => Some((Cow::Owned(name.clone()), value.clone())),
            Setting::Secret(_) => None,
        });
        plain.collect()
    };
    Request {
        query: plain(&feed.query),
        secret_query: secrets.query.iter().map(owned).collect(),
        headers: plain(&feed.headers),
        secret_headers: secrets.headers.iter().map(owned).collect(),
        body,
        ..Request::default()
    }
}

impl Provider for Json {
    fn requests(&self) -> Vec<Request> {
        vec![self.request.clone()]
    }

    fn decode(&mut self, _: &Request, response: &Response) -> Result<Batch, DecodeError> {
        let tree = Tree::read(response)?;
        let root = tree.root();
        let mut taken = Taken::default();
        for index in 0..self.plan.topics.len() {
            self.take(index, root, &mut taken);
        }
        // An error that comes with status 200 says itself why nothing is there.
        let nothing = taken.batch.ticks.is_empty();
        if nothing && root.is_object() && response.body.len() <= ERROR_BYTES_MAX {
            return Err(DecodeError::reported(false, body::text(response)?));
        }
        for topic in &self.known {
            if !taken.seen.contains(topic) {
                taken.lacks(format!("{topic} is not in the answer"));
            }
        }
        Ok(taken.batch())
    }

    fn topics(&self) -> Vec<Topic> {
        self.known.clone()
    }
}
