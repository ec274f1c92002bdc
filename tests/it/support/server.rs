use std::{io::Write, net::SocketAddr};

use serde_json::Value;
use tickwire::{app::App, config::Config};
use tokio::net::TcpListener;

use super::{Client, Events, Upstream, eventually, schemas};

/// A server to be started.
pub struct Builder {
    sections: String,
    feeds: String,
    consolidate: String,
}

/// A server that runs.
pub struct Server {
    app: App,
    http: reqwest::Client,
}

/// A server without feeds, on one shard so that what happens to one client can be seen by another.
pub fn server() -> Builder {
    Builder {
        sections: "[server]\nshards = 1\n".into(),
        feeds: String::new(),
        consolidate: String::new(),
    }
}

impl Builder {
    /// More configuration; `[server]` stands first, so plain keys belong to it.
    pub fn with(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// One more feed.
    pub fn feed(mut self, toml: &str) -> Self {
        self.feeds.push_str(&format!("[[feeds]]\n{toml}\n"));
        self
    }

    /// How sources become one price.
    pub fn consolidate(mut self, toml: &str) -> Self {
        self.consolidate = format!("[consolidate]\n{toml}\n");
        self
    }

    /// A feed that polls `upstream` ten times a second for `symbols`, as Binance would be polled.
    pub fn polling(self, name: &str, upstream: &Upstream, symbols: &[&str]) -> Self {
        let url = upstream.url();
        self.feed(&format!(
            "name = \"{name}\"\nprovider = \"binance\"\nendpoint = \"ticker_price\"\n\
             base_url = \"{url}\"\nallow_private = true\nsymbols = {symbols:?}\n\
             every = \"100ms\"\ntimeout = \"2s\"\nmax_jump_pct = 1000000.0",
        ))
    }

    /// A feed that makes `rate` updates a second over `topics` topics in the process.
    pub fn synthetic(self, topics: usize, rate: u32) -> Self {
        self.feed(&format!(
            "name = \"bench\"\nprovider = \"synthetic\"\ntopics = {topics}\nrate = {rate}"
        ))
    }

    /// The configuration as a file, for a process of its own.
    pub fn file(&self) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("{}{}{}", self.sections, self.feeds, self.consolidate);
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    pub fn config(&self) -> Config {
        match Config::load(Some(self.file().path()), std::iter::empty()) {
            Ok(config) => config,
            Err(errors) => panic!("{errors}"),
        }
    }

    pub async fn start(self) -> Server {
        self.try_start().await.unwrap()
    }

    /// As [`Builder::start`], where the start may be refused.
    pub async fn try_start(self) -> anyhow::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let app = App::start(self.config(), listener).await?;
        Ok(Server { app, http: reqwest::Client::new() })
    }
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.app.address()
    }

    /// A client that has read its welcome.
    pub async fn client(&self) -> Client {
        let mut client = Client::connect(self.address()).await;
        assert_eq!(client.event().await["type"], "welcome");
        client
    }

    /// A stream of events, from where `last_event_id` says.
    pub async fn stream(&self, query: &str, last_event_id: Option<&str>) -> Events {
        let url = format!("http://{}/v1/stream?{query}", self.address());
        let mut request = self.http.get(url);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        Events::new(request.send().await.unwrap())
    }

    /// A client that speaks MessagePack and has read its welcome.
    pub async fn packed_client(&self) -> Client {
        let mut client = Client::connect_as(self.address(), Some("tickwire.v1.msgpack")).await;
        assert_eq!(client.event().await["type"], "welcome");
        client
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("http://{}{path}", self.address())).send();
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type");
        let media_type = media_type.map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut body = Vec::new();
        let mut response = response;
        while let Some(chunk) = response.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).unwrap();
        schemas::response(path, status, &media_type, &body);
        (status, body)
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.1).unwrap()
    }

    /// The sum of a metric over the labels that contain `label`; nothing when it is not there.
    pub async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        let mut values = text
            .lines()
            .filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            })
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .peekable();
        values.peek().is_some().then(|| values.sum())
    }

    /// Waits until a metric has reached a value.
    pub async fn metric_reaches(&self, name: &str, label: &str, least: f64) {
        eventually(&format!("{name}{{{label}}} to reach {least}"), || async {
            self.metric(name, label).await.filter(|value| *value >= least)
        })
        .await;
    }

    pub async fn stop(self) -> bool {
        self.app.stop().await
    }
}
