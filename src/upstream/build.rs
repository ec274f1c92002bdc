//! From a feed's configuration to what its task needs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;
use url::Url;

use super::{
    Deps,
    budget::{Budgets, Share},
    clock::Clock,
    config::{FeedConfig, ProviderKind},
    feed::{Feed, Identity},
    fetch::Fetch,
    http::{Clients, Target},
    metrics::Metrics,
    poll::Factory,
    providers::{self, Secrets},
    secrets,
};
use crate::{
    market::{Pattern, Topic},
    units::Secret,
};

/// A base URL that begins so is a path of the sandbox.
const SANDBOX: &str = "sandbox:";

/// One feed with all that its task needs.
pub(super) struct Runner {
    pub feed: Arc<Feed>,
    pub config: FeedConfig,
    pub kind: Kind,
}

impl Runner {
    pub fn has_key(&self, key: &Secret) -> bool {
        matches!(&self.kind, Kind::Push { key: Some(own), .. } if own == key)
    }
}

pub(super) enum Kind {
    Synthetic,
    Push { key: Option<Secret>, allowed: Vec<Pattern> },
    Poll { fetch: Arc<dyn Fetch>, factory: Factory },
}

/// What feeds share while they are set up.
pub(super) struct Builder {
    pub clock: Clock,
    pub deps: Deps,
    pub budgets: Budgets,
    clients: Clients,
    names: HashSet<String>,
}

impl Builder {
    /// Nothing is shared yet.
    pub fn new(mut deps: Deps) -> Self {
        Self {
            clock: Clock::wall(),
            budgets: Budgets::new(std::mem::take(&mut deps.credits)),
            clients: Clients::default(),
            names: HashSet::new(),
            deps,
        }
    }

    /// Checks what a feed is told and gets together what its task needs.
    pub fn runner(&mut self, config: FeedConfig) -> Result<Runner, String> {
        if config.name.contains('.') {
            return Err("a name has no dot: it is one token of a topic".to_owned());
        }
        let status =
            Topic::parse(&format!("status.{}", config.name)).map_err(|error| error.to_string())?;
        if !self.names.insert(config.name.clone()) {
            return Err("another feed has this name".to_owned());
        }
        if config.every.0 < Duration::from_millis(10) {
            return Err("`every` is at least 10ms".to_owned());
        }
        let (kind, budget) = match config.provider {
            ProviderKind::Synthetic => (Kind::Synthetic, None),
            ProviderKind::Push => (push(&config)?, None),
            _ => self.poll(&config)?,
        };
        let pushed = matches!(kind, Kind::Push { .. });
        let identity = Identity {
            name: config.name.as_str().into(),
            status,
            provider: config.provider.name(),
            required: config.required,
            interval: if pushed { Duration::ZERO } else { config.every.0 },
            stale_after: config.stale_after().as_us(),
        };
        let metrics = Metrics::new(&self.deps.telemetry, &config.name);
        let hub = self.deps.hub.clone();
        let feed = Arc::new(Feed::new(identity, hub, self.clock.clone(), budget, metrics));
        Ok(Runner { feed, config, kind })
    }

    fn poll(&mut self, config: &FeedConfig) -> Result<(Kind, Option<Share>), String> {
        let secrets = secrets::read(config)?;
        let target = self.target(config)?;
        if secrets.iter().next().is_some()
            && target.base.scheme() == "http"
            && !target.allow_private
        {
            return Err("a key is not sent over plain http".to_owned());
        }
        let host = target.base.host_str().unwrap_or_default().to_owned();
        let share = config.budget.as_ref().map(|budget| {
            let host = budget.host.as_deref().unwrap_or(&host);
            let now = Instant::now().into_std();
            let telemetry = &self.deps.telemetry;
            self.budgets.share(host, secrets.iter().next(), budget, telemetry, now)
        });
        let fetch: Arc<dyn Fetch> = Arc::new(self.clients.http(target)?);
        // Made once here, so that a mistake in the configuration is told before anything starts.
        drop(providers::build(config, &secrets)?);
        let kind = Kind::Poll { fetch, factory: factory(config.clone(), secrets) };
        Ok((kind, share))
    }

    /// Where a feed asks.
    pub fn target(&self, config: &FeedConfig) -> Result<Target, String> {
        let text = config.base_url().unwrap_or_default();
        let sandboxed = text.strip_prefix(SANDBOX);
        let text = match (sandboxed, &self.deps.sandbox_url) {
            (None, _) => text.to_owned(),
            (Some(path), Some(url)) => format!("{}{path}", url.trim_end_matches('/')),
            (Some(_), None) => return Err("the sandbox that it asks does not run".to_owned()),
        };
        let base = Url::parse(&text).map_err(|error| format!("its address is no URL: {error}"))?;
        Ok(Target {
            base,
            timeout: config.timeout.0,
            allow_private: config.allow_private || sandboxed.is_some(),
        })
    }
}

fn push(config: &FeedConfig) -> Result<Kind, String> {
    let key = config.key.as_ref().map(|source| source.read()).transpose()?;
    let pattern = |text: &String| {
        Pattern::parse(text).map_err(|error| format!("`topics` has {text:?}: {error}"))
    };
    let allowed = config.topic_patterns().iter().map(pattern).collect::<Result<_, _>>()?;
    Ok(Kind::Push { key, allowed })
}

fn factory(config: FeedConfig, secrets: Secrets) -> Factory {
    Box::new(move || providers::build(&config, &secrets))
}
