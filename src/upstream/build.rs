//! From a feed's configuration to what its task needs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;
use url::Url;

use super::{
    Deps,
    budget::{Budgets, Share},
    clock::Clock,
    config::{self, FeedConfig, ProviderKind},
    feed::{Feed, Identity},
    fetch::Fetch,
    http::{Clients, Target},
    metrics::Metrics,
    poll::Factory,
    providers::{self, Secrets},
    secrets,
    stream::{self, Dial, Network},
};
use crate::{
    hub::Transport,
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
    Poll(Asking),
}

/// What the task of a feed that asks an upstream needs.
pub(super) struct Asking {
    pub fetch: Arc<dyn Fetch>,
    pub factory: Factory,
    pub stream: Option<Streaming>,
}

/// What it needs for a stream.
pub(super) struct Streaming {
    pub dial: Arc<dyn Dial>,
    pub factory: stream::Factory,
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
            transport: match &kind {
                Kind::Synthetic | Kind::Push { .. } => None,
                Kind::Poll(Asking { stream: None, .. }) => Some(Transport::Rest),
                Kind::Poll(Asking { stream: Some(_), .. }) => Some(Transport::Ws),
            },
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
        let keyed = secrets.iter().next().is_some();
        if keyed && target.base.scheme() == "http" && !target.allow_private {
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
        let stream = match config.transport {
            config::Transport::Rest => None,
            config::Transport::Ws => Some(self.stream(config, keyed)?),
        };
        let factory = factory(config.clone(), secrets);
        Ok((Kind::Poll(Asking { fetch, factory, stream }), share))
    }

    fn stream(&self, config: &FeedConfig, keyed: bool) -> Result<Streaming, String> {
        let url = config.stream_url();
        let url = url.ok_or_else(|| format!("{} has no stream: use rest", config.provider))?;
        let mut target = self.locate(url, config)?;
        // The sandbox's address is that of HTTP, by which a WebSocket begins.
        if url.starts_with(SANDBOX) {
            target.base = websocket(&target.base)?;
        }
        if keyed && target.base.scheme() == "ws" && !target.allow_private {
            return Err("a feed with a key does not go over plain ws".to_owned());
        }
        let dial: Arc<dyn Dial> = Arc::new(Network::new(target)?);
        drop(providers::stream::build(config)?);
        let config = config.clone();
        let factory: stream::Factory = Box::new(move || providers::stream::build(&config));
        Ok(Streaming { dial, factory })
    }

    /// Where a feed asks.
    pub fn target(&self, config: &FeedConfig) -> Result<Target, String> {
        self.locate(config.base_url().unwrap_or_default(), config)
    }

    /// The place that `text` names, which may be in the sandbox.
    fn locate(&self, text: &str, config: &FeedConfig) -> Result<Target, String> {
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

/// The address of a WebSocket at the server of `http`, without TLS.
fn websocket(http: &Url) -> Result<Url, String> {
    // A URL does not change its scheme from one that it knows to another.
    let text = http.as_str().replacen("http", "ws", 1);
    Url::parse(&text).map_err(|error| format!("its address is no URL: {error}"))
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
