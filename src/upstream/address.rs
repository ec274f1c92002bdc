//! Which addresses an upstream may have. A configured URL, or what its name resolves to, must not
//! reach into the network that the server stands in.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// An address that is not public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no public address; allow_private = true permits others")]
pub struct NotPublic(pub String);

/// The addresses of `host` that may be connected to: public ones, or all with `allow_private`.
///
/// # Errors
/// When the name cannot be resolved, or has no such address.
pub async fn resolve(
    host: &Host<&str>,
    port: u16,
    allow_private: bool,
) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = match *host {
        Host::Ipv4(v4) => vec![(v4, port).into()],
        Host::Ipv6(v6) => vec![(v6, port).into()],
        Host::Domain(name) => tokio::net::lookup_host((name, port)).await?.collect(),
    };
    let allowed = |addr: &SocketAddr| allow_private || is_public(addr.ip());
    let allowed: Vec<SocketAddr> = found.into_iter().filter(allowed).collect();
    if allowed.is_empty() {
        return Err(io::Error::other(NotPublic(host.to_string())));
    }
    Ok(allowed)
}

/// Resolves names by the system, and passes on public addresses only. The connection is made to
/// the addresses that were checked, so a name cannot change in between.
#[derive(Debug, Clone, Copy)]
pub struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = resolve(&Host::Domain(name.as_str()), 0, false).await;
            let public = found.map_err(|error| -> Box<dyn Error + Send + Sync> {
                // Told as it is, where it is ours.
                match error.downcast::<NotPublic>() {
                    Ok(refused) => Box::new(refused),
                    Err(error) => Box::new(error),
                }
            })?;
            let addrs: Addrs = Box::new(public.into_iter());
            Ok(addrs)
        })
    }
}

/// Whether `address` is one of the open internet: not this host, a private or shared network, a
/// link, a group, or reserved.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            // Global unicast is 2000::/3; 2001:db8::/32 is for documentation.
            None => {
                let [first, second, ..] = v6.segments();
                (first & 0xe000) == 0x2000 && !(first == 0x2001 && second == 0x0db8)
            }
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let benchmarks = a == 198 && (b & 0xfe) == 18;
    let reserved = a == 0 || a >= 240;
    !(v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || shared
        || protocols
        || benchmarks
        || reserved)
}

/// The IPv4 address that a mapped, translated (NAT64) or tunnelled (6to4) one leads to.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(pair(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_open_internet_are_public() {
        for (address, expected) in [
            ("8.8.8.8", true),
            ("104.16.1.1", true),
            ("2606:4700::1111", true),
            ("::ffff:8.8.8.8", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("100.128.0.1", true),
            ("198.18.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
        }
    }
}
