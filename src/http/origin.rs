//! Which names this server answers to, and which pages may read it.
//!
//! The `Host` check is what stops DNS rebinding: a page of a stranger whose name has been pointed
//! at this machine still sends the stranger's name. The `Origin` check stops every other page,
//! WebSockets included, which browsers connect across origins without asking.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use axum::http::StatusCode;
use url::{Host, Url};

use super::Problem;
use crate::protocol::code::ErrorCode;

/// The origins that may ask, and the hosts that are known.
#[derive(Debug, Clone)]
pub struct Origins {
    origins: HashSet<String>,
    hosts: HashSet<Host>,
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// HTTP/1.1 asks for one.
    #[error("the request has no Host header")]
    NoHost,
    /// One of the headers that decide comes twice, or is not visible ASCII.
    #[error("the {0} header must come once, in visible ASCII")]
    Ambiguous(&'static str),
    /// Not `host` or `host:port`.
    #[error("the Host header is not host or host:port")]
    BadHost,
    /// A name that is not ours.
    #[error(
        "this server does not answer to the name {0}; an operator adds it by an origin in \
         server.public_origins"
    )]
    UnknownHost(String),
    /// A page that may not ask.
    #[error(
        "pages of {0} may not use this server; an operator allows them in server.public_origins"
    )]
    Origin(String),
}

/// A host and a port, as in the `Host` header.
#[derive(Debug, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

impl Origins {
    /// The origins of `server.public_origins`, written as browsers send them. When there are none,
    /// pages of `listen`, the address that is really bound, and of this machine's own names.
    pub fn new(listen: SocketAddr, public: &[String]) -> Self {
        let own = ["localhost".to_owned(), "127.0.0.1".into(), "[::1]".into()];
        let listen_host = Authority::of_ip(listen.ip());
        let origins: HashSet<String> = if public.is_empty() {
            let hosts = own.iter().cloned().chain([listen_host.to_string()]);
            hosts
                .flat_map(|host| ["http", "https"].map(|scheme| format!("{scheme}://{host}")))
                .filter_map(|origin| canonical(&format!("{origin}:{}", listen.port())))
                .collect()
        } else {
            public.iter().cloned().collect()
        };
        let public_hosts = public
            .iter()
            .filter_map(|origin| Url::parse(origin).ok()?.host().map(|host| host.to_owned()));
        let hosts = own
            .iter()
            .filter_map(|host| Host::parse(host).ok())
            .chain([listen_host])
            .chain(public_hosts)
            .collect();
        Self { origins, hosts }
    }

    /// Decides on a request with these headers that came in on `local`.
    pub(super) fn judge(
        &self,
        host: Option<&str>,
        origin: Option<&str>,
        local: IpAddr,
    ) -> Result<(), Refusal> {
        let host = host.map(|text| Authority::parse(text).ok_or(Refusal::BadHost));
        let host = host.transpose()?;
        if let Some(Authority { host, .. }) = &host
            && !self.hosts.contains(host)
            && *host != Authority::of_ip(local)
        {
            return Err(Refusal::UnknownHost(host.to_string()));
        }
        let Some(origin) = origin else { return Ok(()) };
        let same = host.is_some_and(|host| host.is_origin(origin));
        if same || self.origins.contains(origin) {
            return Ok(());
        }
        Err(Refusal::Origin(shown(origin)))
    }
}

impl Authority {
    fn parse(text: &str) -> Option<Self> {
        let split = match text.rfind(']') {
            Some(end) => end + 1,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(split)?;
        let port = match port.strip_prefix(':') {
            // `host:` is allowed and means no port.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
            None if port.is_empty() => None,
            None => return None,
        };
        // A name may be written with the dot of the root.
        let host = match Host::parse(host.strip_suffix('.').unwrap_or(host)).ok()? {
            Host::Domain(name) if name.is_empty() => return None,
            Host::Domain(name) => Host::Domain(name),
            Host::Ipv4(ip) => Self::of_ip(ip.into()),
            Host::Ipv6(ip) => Self::of_ip(ip.into()),
        };
        Some(Self { host, port })
    }

    /// An IPv4 address is the same one when it is written within IPv6, as a socket that listens on
    /// both reports it.
    fn of_ip(ip: IpAddr) -> Host {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Host::Ipv4(ip),
            IpAddr::V6(ip) => Host::Ipv6(ip),
        }
    }

    /// Whether a page of `origin` was served under this authority. Behind a proxy that ends TLS the
    /// scheme is not known here, so only host and port are compared.
    fn is_origin(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        Self::parse(authority).is_some_and(|other| {
            other.host == self.host && other.port.unwrap_or(default) == self.port.unwrap_or(default)
        })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::NoHost | Refusal::Ambiguous(_) | Refusal::BadHost => {
                (StatusCode::BAD_REQUEST, ErrorCode::BadRequest)
            }
            Refusal::UnknownHost(_) => (StatusCode::MISDIRECTED_REQUEST, ErrorCode::Forbidden),
            Refusal::Origin(_) => (StatusCode::FORBIDDEN, ErrorCode::Forbidden),
        };
        Self::new(status, code, refusal.to_string())
    }
}

fn canonical(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    Some(url.origin().ascii_serialization())
}

/// As much of a stranger's text as a message needs.
fn shown(origin: &str) -> String {
    if origin == "null" || origin.is_empty() {
        return "an origin that the browser withholds".into();
    }
    origin.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "10.1.2.3";

    fn judged(public: &[&str], host: &str, origin: Option<&str>) -> Result<(), u16> {
        let public: Vec<String> = public.iter().map(ToString::to_string).collect();
        Origins::new("192.0.2.7:8080".parse().unwrap(), &public)
            .judge(Some(host), origin, LOCAL.parse().unwrap())
            .map_err(|refusal| Problem::from(refusal).status().as_u16())
    }

    #[test]
    fn known_hosts_are_answered_whatever_the_port() {
        for host in [
            "localhost",
            "LocalHost:9",
            "localhost.",
            "localhost:",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "192.0.2.7:8080",
            "10.1.2.3:8080",
            "[::ffff:10.1.2.3]:8080",
        ] {
            assert_eq!(judged(&[], host, None), Ok(()), "{host}");
        }
        let public = ["https://dash.example"];
        assert_eq!(judged(&public, "dash.example", None), Ok(()));
        assert_eq!(judged(&public, "localhost:8080", None), Ok(()));
    }

    #[test]
    fn unknown_hosts_are_misdirected_and_unreadable_ones_bad() {
        for (host, status) in [
            ("rebound.example", 421),
            ("10.1.2.4", 421),
            ("localhost.rebound.example", 421),
            ("dash.example", 421),
            ("", 400),
            (".", 400),
            (":8080", 400),
            ("user@localhost", 400),
            ("localhost:80x", 400),
            ("localhost:99999", 400),
            ("::1", 400),
            ("[::1", 400),
            ("[::1]8080", 400),
            ("localhost/x", 400),
            ("localhost, localhost", 400),
        ] {
            assert_eq!(judged(&[], host, None), Err(status), "{host}");
        }
    }

    #[test]
    fn without_public_origins_pages_of_this_machine_may_ask() {
        for origin in [
            "http://localhost:8080",
            "https://localhost:8080",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://192.0.2.7:8080",
        ] {
            assert_eq!(judged(&[], "127.0.0.1:8080", Some(origin)), Ok(()), "{origin}");
        }
        for origin in [
            "http://localhost:3000",
            "http://localhost",
            "https://evil.example",
            "http://localhost:8080.evil.example",
            "http://evil.example#http://localhost:8080",
            "http://localhost:8080 http://localhost:8080",
            "chrome-extension://localhost:8080",
            "null",
            "",
        ] {
            assert_eq!(judged(&[], "127.0.0.1:8080", Some(origin)), Err(403), "{origin}");
        }
    }

    #[test]
    fn public_origins_replace_the_defaults() {
        let public = ["https://dash.example", "http://localhost:3000"];
        for (host, origin, expected) in [
            ("dash.example", "https://dash.example", Ok(())),
            ("localhost:8080", "https://dash.example", Ok(())),
            ("localhost:8080", "http://localhost:3000", Ok(())),
            ("localhost:8080", "http://localhost:8080", Ok(())),
            ("127.0.0.1:8080", "http://localhost:8080", Err(403)),
            ("dash.example", "https://dash.example:444", Err(403)),
            ("dash.example", "https://other.example", Err(403)),
        ] {
            assert_eq!(judged(&public, host, Some(origin)), expected, "{host} {origin}");
        }
    }

    #[test]
    fn a_page_may_ask_the_server_that_it_came_from() {
        for (host, origin, expected) in [
            ("10.1.2.3:8080", "http://10.1.2.3:8080", Ok(())),
            ("10.1.2.3:443", "https://10.1.2.3", Ok(())),
            ("10.1.2.3", "https://10.1.2.3", Ok(())),
            ("10.1.2.3:8080", "http://10.1.2.3:8081", Err(403)),
            ("10.1.2.3", "http://10.1.2.3:8080", Err(403)),
            // The same name is not enough when the server does not go by it.
            ("rebound.example", "http://rebound.example", Err(421)),
        ] {
            assert_eq!(judged(&[], host, Some(origin)), expected, "{host} {origin}");
        }
    }
}
