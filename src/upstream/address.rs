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
    if allow_private {
        return Ok(found);
    }
    public_of(&host.to_string(), found.into_iter()).map_err(io::Error::other)
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

/// The public ones of the addresses that `name` has. A name that mixes both, or that has another
/// address every time it is asked for, leads nowhere else.
fn public_of(
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, NotPublic> {
    let public: Vec<_> = found.filter(|addr| is_public(addr.ip())).collect();
    if public.is_empty() { Err(NotPublic(name.to_owned())) } else { Ok(public) }
}

/// Whether `address` is one of the open internet: not this host, a private or shared network, a
/// link, a group, or reserved.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0);
    let relays = (a, b, c) == (192, 88, 99);
    let benchmarks = a == 198 && (b & 0xfe) == 18;
    let reserved = a == 0 || a >= 240;
    !(v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_documentation()
        || shared
        || protocols
        || relays
        || benchmarks
        || reserved)
}

/// Global unicast is 2000::/3. What is carved out of it (the IANA registry of special purposes)
/// serves protocols and examples; Teredo, in 2001::/23, is a tunnel to an IPv4 address.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    let protocols = first == 0x2001 && second < 0x0200;
    let documentation =
        (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    (first & 0xe000) == 0x2000 && !protocols && !documentation
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_the_open_internet_are_public() {
        for address in [
            "8.8.8.8",
            "104.16.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.1.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:200::1",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn no_other_address_is() {
        for address in [
            // This host, and none.
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            // Private, shared (CGNAT) and local to a link, the metadata of clouds among them.
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            // Groups, everyone, protocols, examples, benchmarks, and what is reserved.
            "224.0.0.1",
            "239.255.255.250",
            "ff02::1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
            "2001:2::1",
            "2001:10::1",
            "4000::1",
            // Other ways to write an IPv4 address: mapped, compatible, translated, tunnelled.
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_name_leads_to_the_public_ones_of_its_addresses_only() {
        let addrs = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mixed = addrs(&["10.0.0.1:0", "8.8.8.8:0", "[::1]:0", "[2606:4700::1111]:0"]);
        let public = public_of("mixed.example", mixed.into_iter());
        assert_eq!(public, Ok(addrs(&["8.8.8.8:0", "[2606:4700::1111]:0"])));
        for private in [&["127.0.0.1:0", "[fd00::1]:0"][..], &[]] {
            let refused = public_of("rebound.example", addrs(private).into_iter());
            assert_eq!(refused, Err(NotPublic("rebound.example".to_owned())));
        }
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_possible_truncation, reason = "the halves of an address")]
        fn no_way_to_write_a_private_ipv4_address_makes_it_public(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from(bits);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            for v6 in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(is_public(v6.into()), is_public(v4.into()));
            }
        }
    }
}
