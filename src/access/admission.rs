//! How many sessions there may be, in all and from one address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dashmap::{DashMap, Entry};

use super::Limits;

/// Counts sessions.
#[derive(Debug)]
pub struct Admission {
    most: usize,
    most_per_address: usize,
    sessions: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
}

/// One session's place; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    counted: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The server has as many sessions as it may.
    #[error("this server has as many connections as it may")]
    Server,
    /// The address has.
    #[error("this address has as many connections as it may")]
    Address,
}

impl Admission {
    /// Nobody is there yet.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.connections,
            most_per_address: limits.per_ip,
            sessions: AtomicUsize::new(0),
            by_address: DashMap::new(),
        })
    }

    /// Takes a place for a session from `address`.
    ///
    /// # Errors
    /// [`Full`] says which bound is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let room = |sessions| (sessions < self.most).then_some(sessions + 1);
        self.sessions
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .map_err(|_| Full::Server)?;
        // From here on the permit gives back what was taken, also on the way out with an error.
        let mut permit = Permit { admission: self.clone(), counted: None };
        if let Some(address) = counted_address(address) {
            let mut count = self.by_address.entry(address).or_insert(0);
            if *count >= self.most_per_address {
                return Err(Full::Address);
            }
            *count += 1;
            permit.counted = Some(address);
        }
        Ok(permit)
    }

    /// Sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.sessions.fetch_sub(1, Ordering::AcqRel);
        if let Some(address) = self.counted
            && let Entry::Occupied(mut count) = self.admission.by_address.entry(address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The address that sessions are counted under: loopback is exempt, and an IPv6 client has a whole
/// /64 to choose from.
fn counted_address(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Some(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
        }
        v4 @ IpAddr::V4(_) => Some(v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, per_ip: usize) -> Arc<Admission> {
        Admission::new(&Limits { connections, per_ip, ..Limits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_given_back_when_the_session_ends() {
        let admission = admission(1, 10);
        let permit = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.2")).unwrap_err(), Full::Server);
        drop(permit);
        assert_eq!(admission.sessions(), 0);
        assert!(admission.by_address.is_empty());
        admission.admit(ip("192.0.2.2")).unwrap();
    }

    #[test]
    fn one_address_has_its_own_bound_and_loopback_none() {
        let admission = admission(100, 1);
        let _first = admission.admit(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(ip("::ffff:192.0.2.1")).unwrap_err(), Full::Address);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        let _local = [ip("127.0.0.1"), ip("::1"), ip("127.0.0.1")].map(|ip| admission.admit(ip));
        assert_eq!(admission.sessions(), 5);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let admission = admission(100, 1);
        let _first = admission.admit(ip("2001:db8:1:2::1")).unwrap();
        assert_eq!(admission.admit(ip("2001:db8:1:2:ffff::9")).unwrap_err(), Full::Address);
        assert!(admission.admit(ip("2001:db8:1:3::1")).is_ok());
    }
}
