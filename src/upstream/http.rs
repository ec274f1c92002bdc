//! The fetch: the only place of a poll that touches a network.
//!
//! Everything an upstream could do to us is bounded here: how long it may take, how much it may
//! send (after decompression), where it may lead us, and what of an error is repeated.

mod collect;

use std::{
    collections::HashMap,
    error::Error,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use url::{Host, Url};

use self::collect::Collected;
use super::{
    address::{NotPublic, PublicOnly, is_public},
    fetch::{Answer, Fetch, FetchError, Validators},
    providers::Request,
    retry_after,
};
use crate::market::Reason;

/// The most bytes of a body after decompression.
pub const BODY_MAX: usize = 2 << 20;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Shorter than most servers keep a connection, so that a poll seldom meets one just closed.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// How often a connection with a request on it is asked whether it lives, and how long it may
/// take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Redirects followed within one origin.
const REDIRECTS_MAX: usize = 3;

/// Where Binance tells the weight spent in this minute.
const USED_WEIGHT: &str = "x-mbx-used-weight-1m";

/// Where a feed asks and on what terms.
#[derive(Debug, Clone)]
pub struct Target {
    /// What request paths are appended to.
    pub base: Url,
    /// Longest a request may take in all.
    pub timeout: Duration,
    /// Whether addresses that are not public may be asked.
    pub allow_private: bool,
}

/// Asks one upstream for one feed.
#[derive(Debug)]
pub struct Http {
    client: Client,
    target: Target,
}

/// One client for each origin, so that its feeds share connections.
#[derive(Debug, Default)]
pub struct Clients(HashMap<(String, bool), Client>);

impl Clients {
    /// The fetch for `target`.
    ///
    /// # Errors
    /// When the scheme is not HTTP, or TLS cannot be set up.
    pub fn http(&mut self, target: Target) -> Result<Http, String> {
        let scheme = target.base.scheme();
        if !matches!(scheme, "http" | "https") || target.base.cannot_be_a_base() {
            return Err(format!("`{scheme}` is no scheme that can be polled"));
        }
        let key = (target.base.origin().ascii_serialization(), target.allow_private);
        let client = match self.0.get(&key) {
            Some(client) => client.clone(),
            None => {
                let client = client(&target).map_err(|error| describe(error.without_url()))?;
                self.0.entry(key).or_insert(client).clone()
            }
        };
        Ok(Http { client, target })
    }
}

fn client(target: &Target) -> reqwest::Result<Client> {
    // reqwest is built without a TLS provider of its own and takes the process's. An error means
    // that there is one already.
    drop(rustls::crypto::ring::default_provider().install_default());
    // Of the encodings gzip alone is built in: to unpack brotli takes a window of up to 16 MiB, as
    // large as the upstream likes, and zstd more.
    let mut builder = Client::builder()
        .user_agent(concat!("tickwire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        // A shared HTTP/2 connection that has gone dead would otherwise be asked again and again.
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        // A proxy would resolve names in our stead, past the check of addresses.
        .no_proxy()
        .redirect(Policy::custom(|attempt| {
            let same = attempt
                .previous()
                .first()
                .is_some_and(|first| first.origin() == attempt.url().origin());
            if same && attempt.previous().len() <= REDIRECTS_MAX {
                attempt.follow()
            } else {
                attempt.stop()
            }
        }));
    if !target.allow_private {
        builder = builder.dns_resolver(PublicOnly);
    }
    if target.base.scheme() == "http" {
        // Without TLS there is no need for the system's certificates, which may not be there.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

impl Fetch for Http {
    fn fetch<'a>(
        &'a self,
        request: &'a Request,
        known: Option<&'a Validators>,
    ) -> BoxFuture<'a, Result<Answer, FetchError>> {
        Box::pin(async move {
            // Around everything, so that neither a retry nor a body in drips can outlast it.
            match tokio::time::timeout(self.target.timeout, self.ask(request, known)).await {
                Ok(answer) => answer,
                Err(_) => Err(self.timed_out()),
            }
        })
    }
}

impl Http {
    async fn ask(
        &self,
        request: &Request,
        known: Option<&Validators>,
    ) -> Result<Answer, FetchError> {
        self.check_literal()?;
        let response = match self.send(request, known).await {
            // The server closed a kept connection just as we used it: not its failure, nor ours.
            // Whether it was kept cannot be told, so a new one has this second chance as well.
            Err(error) if closed_unanswered(&error) => self.send(request, known).await,
            other => other,
        };
        let response = response.map_err(|error| self.classify(error))?;
        let used = number(response.headers(), USED_WEIGHT);
        let date = date(response.headers());
        match self.answer(response).await {
            Ok(answer) => Ok(Answer { used, date, ..answer }),
            Err(error) => Err(FetchError { used, date, ..error }),
        }
    }

    /// An address written in the URL is never resolved, so it is checked here.
    fn check_literal(&self) -> Result<(), FetchError> {
        let address = match self.target.base.host() {
            Some(Host::Ipv4(v4)) => v4.into(),
            Some(Host::Ipv6(v6)) => v6.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.target.allow_private || is_public(address) {
            return Ok(());
        }
        let refused = NotPublic(address.to_string()).to_string();
        Err(FetchError::new(Reason::Connect, refused))
    }

    async fn send(
        &self,
        request: &Request,
        known: Option<&Validators>,
    ) -> reqwest::Result<Response> {
        let url = self.url(request);
        let mut builder = match &request.body {
            None => self.client.get(url),
            Some(body) => self
                .client
                .post(url)
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.clone()),
        };
        for (name, value) in &request.headers {
            builder = builder.header(&**name, value);
        }
        for (name, secret) in &request.secret_headers {
            let mut value = HeaderValue::from_str(secret.expose()).unwrap_or_else(|_| {
                // Refused by the upstream as a wrong key, which is what it is.
                HeaderValue::from_static("")
            });
            value.set_sensitive(true);
            builder = builder.header(&**name, value);
        }
        if let Some(known) = known {
            builder = conditional(builder, header::IF_NONE_MATCH, known.etag.as_deref());
            let since = known.last_modified.as_deref();
            builder = conditional(builder, header::IF_MODIFIED_SINCE, since);
        }
        builder.send().await
    }

    fn url(&self, request: &Request) -> Url {
        let mut url = self.target.base.clone();
        // Without a path of its own a request is for the address as it was written.
        if !request.path.is_empty() {
            let path = format!("{}{}", url.path().trim_end_matches('/'), request.path);
            url.set_path(&path);
        }
        let secret = request.secret_query.iter().map(|(name, value)| (name, value.expose()));
        let pairs = request.query.iter().map(|(name, value)| (name, value.as_str())).chain(secret);
        for (name, value) in pairs {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    async fn answer(&self, response: Response) -> Result<Answer, FetchError> {
        let validators = Validators {
            etag: text(response.headers(), header::ETAG),
            last_modified: text(response.headers(), header::LAST_MODIFIED),
        };
        let body = match response.status() {
            StatusCode::NOT_MODIFIED => None,
            status if status.is_success() => Some(self.body(response).await?),
            status => return Err(refused(status, response.headers())),
        };
        Ok(Answer { body, validators, used: None, date: None })
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, FetchError> {
        let too_large = || {
            let message = format!("the body is larger than {BODY_MAX} bytes");
            FetchError::new(Reason::BadBody, message)
        };
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).is_ok_and(|length| length > BODY_MAX) {
            return Err(too_large());
        }
        let mut collected = Collected::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.classify(error))? {
            if collected.len() + chunk.len() > BODY_MAX {
                return Err(too_large());
            }
            collected.add(&chunk);
        }
        Ok(collected.whole())
    }

    fn timed_out(&self) -> FetchError {
        let message = format!("no whole answer within {:?}", self.target.timeout);
        FetchError::new(Reason::Timeout, message)
    }

    fn classify(&self, error: reqwest::Error) -> FetchError {
        // Keys may be part of a query: the URL goes first of all.
        let error = error.without_url();
        let reason = if error.is_timeout() {
            Reason::Timeout
        } else if cause::<rustls::Error>(&error).is_some() {
            Reason::Tls
        } else if error.is_body() || error.is_decode() || speaks_no_http(&error) {
            Reason::BadBody
        } else {
            Reason::Connect
        };
        FetchError::new(reason, describe(error))
    }
}

fn conditional(
    builder: reqwest::RequestBuilder,
    name: HeaderName,
    value: Option<&str>,
) -> reqwest::RequestBuilder {
    match value {
        Some(value) => builder.header(name, value),
        None => builder,
    }
}

/// The failure that a status is with which nothing was granted.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap) -> FetchError {
    let retry_after = text(headers, header::RETRY_AFTER)
        .and_then(|value| retry_after::parse(&value, SystemTime::now()));
    let reason = match status.as_u16() {
        429 | 418 => Reason::RateLimited,
        503 if retry_after.is_some() => Reason::RateLimited,
        400..=499 => Reason::Http4xx,
        500..=599 => Reason::Http5xx,
        _ => Reason::BadBody,
    };
    let message = match status.as_u16() {
        300..=399 => format!("status {status}: redirects are followed within one host only"),
        _ => format!("status {status}"),
    };
    let status = Some(status.as_u16());
    FetchError { retry_after, status, ..FetchError::new(reason, message) }
}

/// Whether the connection ended, in order or by a reset, before a word of an answer came.
fn closed_unanswered(error: &reqwest::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let reset = |error: &std::io::Error| {
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
    };
    error.is_request()
        && !error.is_connect()
        && !error.is_timeout()
        && (cause::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
            || cause::<std::io::Error>(error).is_some_and(reset))
}

/// Whether there was an answer, but none of HTTP, or one whose head has no end.
fn speaks_no_http(error: &reqwest::Error) -> bool {
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What the upstream's clock said when it answered: a cache in between adds how long it kept the
/// answer (RFC 9111, section 5.1).
fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let date = httpdate::parse_http_date(&text(headers, header::DATE)?).ok()?;
    let kept = number(headers, header::AGE.as_str()).unwrap_or(0);
    date.checked_add(Duration::from_secs(kept.into()))
}

/// The first error of type `E` among an error's causes.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        // An error of I/O passes over the error that it wraps when it is asked for its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// An error with its causes, each said once.
fn describe(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
