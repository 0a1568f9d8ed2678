//! Addresses of the names in the policy, of the bastion itself, and of its resolvers.
//!
//! A decision is about an address, so the names that the policy lists are
//! resolved here, cached, and resolved anew when a connect matches none of
//! the cached addresses. The host's resolver may hang: it is asked on a
//! thread of its own and waited for with a bound.

use crate::state::complain;
use jump_policy::Names;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long resolved addresses are used before they are looked up anew.
const FRESH: Duration = Duration::from_secs(60);
/// How often a miss may look everything up anew: an attacker who scans must not make the bastion flood its resolver.
const MISS_INTERVAL: Duration = Duration::from_secs(2);
/// The longest a decision waits for the resolver.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long addresses are used that could not be looked up anew.
const STALE: Duration = Duration::from_secs(3600);
/// How long nobody waits for a resolver that has not answered: what is known then counts, and what is not is denied.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the list of the bastion's own addresses is used.
const OWN_FRESH: Duration = Duration::from_secs(2);

/// Where the host's resolvers are written down (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

#[derive(Debug, Default)]
struct Cache {
    addresses: HashMap<String, (Instant, Vec<IpAddr>)>,
    missed: Option<Instant>,
    silent: Option<Instant>,
    /// Names that the resolver could not tell.
    failed: HashMap<String, Instant>,
    own: Option<(Instant, Vec<IpAddr>)>,
}

/// The resolver as jumpd uses it.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    cache: Mutex<Cache>,
    /// A file that is written when a name has other addresses than before.
    changed: Option<PathBuf>,
}

/// Whether the same addresses are in both, in whatever order.
fn same(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What the host's resolver said.
enum Answer {
    Addresses(Vec<IpAddr>),
    /// It answered that there are none, or that it cannot tell.
    Failure,
    /// It did not answer in time.
    Silence,
}

/// Asks the host's resolver (getaddrinfo(3)), waiting a bounded time.
fn look_up(host: &str) -> Answer {
    let (answer, waiting) = mpsc::channel();
    let name = host.to_owned();
    let spawned = std::thread::Builder::new()
        .name("resolve".to_owned())
        .spawn(move || {
            let found = (name.as_str(), 0u16)
                .to_socket_addrs()
                .map(|all| all.map(|a| canonical(a.ip())).collect::<Vec<_>>());
            // The asker may have stopped waiting.
            let _late = answer.send(found);
        });
    if spawned.is_err() {
        return Answer::Failure;
    }
    match waiting.recv_timeout(PATIENCE) {
        Ok(Ok(mut addresses)) => {
            let mut seen = std::collections::HashSet::new();
            addresses.retain(|a| seen.insert(*a));
            Answer::Addresses(addresses)
        }
        Ok(Err(_)) => Answer::Failure,
        Err(_) => Answer::Silence,
    }
}

impl Resolver {
    /// Knows these names and own addresses, and asks nobody.
    #[cfg(test)]
    pub(crate) fn knowing(names: &[(&str, Vec<IpAddr>)], own: &[IpAddr]) -> Self {
        // An age of something from the future is zero: it stays fresh.
        let ever = Instant::now() + Duration::from_secs(3600);
        let addresses = names
            .iter()
            .map(|(name, known)| ((*name).to_owned(), (ever, known.clone())));
        let cache = Cache {
            addresses: addresses.collect(),
            missed: Some(ever),
            silent: Some(ever),
            failed: HashMap::new(),
            own: Some((ever, own.to_vec())),
        };
        Self {
            cache: Mutex::new(cache),
            changed: None,
        }
    }

    /// A resolver that writes `file` anew whenever a name has other addresses than before: systemd watches it.
    pub(crate) fn announcing(file: &Path) -> Self {
        Self {
            cache: Mutex::default(),
            changed: Some(file.to_owned()),
        }
    }

    fn announce(&self) {
        let Some(file) = &self.changed else { return };
        // The content says nothing: jumpd is asked for the addresses.
        if let Err(e) = std::fs::write(file, "changed\n") {
            complain(&format!("{}: {e}", file.display()));
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks up all `hosts` anew, at most every two seconds; whether it did.
    pub(crate) fn refresh<'a>(&self, hosts: impl Iterator<Item = &'a str>) -> bool {
        {
            let mut cache = self.cache();
            if cache.missed.is_some_and(|at| at.elapsed() < MISS_INTERVAL) {
                return false;
            }
            cache.missed = Some(Instant::now());
        }
        let begun = Instant::now();
        for host in hosts {
            if begun.elapsed() > PATIENCE {
                break;
            }
            self.renew(host);
        }
        true
    }

    fn renew(&self, host: &str) -> Vec<IpAddr> {
        let known = |cache: &Cache| {
            cache
                .addresses
                .get(host)
                .filter(|(at, _)| at.elapsed() < STALE)
                .map(|(_, known)| known.clone())
                .unwrap_or_default()
        };
        {
            let cache = self.cache();
            let failed = cache.failed.get(host);
            if cache.silent.is_some_and(|at| at.elapsed() < SILENCE)
                || failed.is_some_and(|at| at.elapsed() < MISS_INTERVAL)
            {
                return known(&cache);
            }
        }
        let found = look_up(host);
        let mut cache = self.cache();
        match found {
            Answer::Addresses(addresses) => {
                cache.silent = None;
                cache.failed.remove(host);
                let known = cache
                    .addresses
                    .insert(host.to_owned(), (Instant::now(), addresses.clone()));
                drop(cache);
                if known.is_none_or(|(_, known)| !same(&known, &addresses)) {
                    self.announce();
                }
                addresses
            }
            // A resolver that fails or is silent takes nothing away from what is known, for a while.
            Answer::Failure => {
                cache.failed.insert(host.to_owned(), Instant::now());
                known(&cache)
            }
            Answer::Silence => {
                cache.silent = Some(Instant::now());
                known(&cache)
            }
        }
    }

    /// Looks up `hosts` in the background, so that the first login need not wait.
    pub(crate) fn warm(self: &Arc<Self>, hosts: Vec<String>) {
        let resolver = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(move || {
                for host in hosts {
                    resolver.addresses(&host);
                }
            });
        if let Err(e) = spawned {
            complain(&format!("names are looked up when they are needed: {e}"));
        }
    }

    /// Addresses of any name or literal, asked for by a person.
    #[must_use]
    pub(crate) fn resolve(&self, host: &str) -> Vec<IpAddr> {
        match host.parse::<IpAddr>() {
            Ok(literal) => vec![canonical(literal)],
            Err(_) => self.addresses(host),
        }
    }

    pub(crate) fn own(&self) -> Option<Vec<IpAddr>> {
        if let Some((at, own)) = &self.cache().own
            && at.elapsed() < OWN_FRESH
        {
            return Some(own.clone());
        }
        let Ok(all) = nix::ifaddrs::getifaddrs() else {
            // What was known stays true; without it every address may be ours.
            return self.cache().own.as_ref().map(|(_, own)| own.clone());
        };
        let own: Vec<IpAddr> = all
            .filter_map(|i| {
                let address = i.address?;
                if let Some(v4) = address.as_sockaddr_in() {
                    return Some(IpAddr::V4(v4.ip()));
                }
                address
                    .as_sockaddr_in6()
                    .map(|v6| canonical(IpAddr::V6(v6.ip())))
            })
            .collect();
        self.cache().own = Some((Instant::now(), own.clone()));
        Some(own)
    }
}

impl Names for Resolver {
    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Some((at, known)) = self.cache().addresses.get(host)
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        self.renew(host)
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.own()
            .is_none_or(|own| own.contains(&canonical(address)))
    }
}

/// Whether `address` is one of the host's resolvers (resolv.conf(5); glibc's default is loopback).
#[must_use]
pub(crate) fn is_resolver(address: IpAddr) -> bool {
    host_resolvers().contains(&canonical(address))
}

/// The host's resolvers.
#[must_use]
pub(crate) fn host_resolvers() -> Vec<IpAddr> {
    resolvers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

fn resolvers(resolv_conf: &str) -> Vec<IpAddr> {
    let listed: Vec<IpAddr> = resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|text| text.parse().ok())
        .map(canonical)
        // glibc uses the first three (MAXNS).
        .take(3)
        .collect();
    if listed.is_empty() {
        vec![IpAddr::from([127, 0, 0, 1])]
    } else {
        listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_the_first_three_name_servers() {
        let text = "# c\nsearch x\nnameserver 192.0.2.1\n nameserver ::ffff:192.0.2.2\nnameserver 2001:db8::1\nnameserver 192.0.2.4\nnameservers 192.0.2.9\n";
        let got: Vec<String> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(got, ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
        assert_eq!(resolvers(""), [IpAddr::from([127, 0, 0, 1])]);
    }

    #[test]
    fn loopback_is_the_bastions_own_address() {
        assert!(Resolver::default().is_own(IpAddr::from([127, 0, 0, 1])));
        assert!(!Resolver::default().is_own(IpAddr::from([192, 0, 2, 77])));
    }

    #[test]
    fn a_literal_needs_no_resolver() {
        let got = Resolver::default().resolve("::ffff:192.0.2.1");
        assert_eq!(got, [IpAddr::from([192, 0, 2, 1])]);
    }

    #[test]
    fn misses_look_up_at_most_every_two_seconds() {
        let resolver = Resolver::default();
        assert!(resolver.refresh(std::iter::empty()));
        assert!(!resolver.refresh(std::iter::empty()));
    }
}
