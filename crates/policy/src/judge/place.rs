//! A destination as rules see it: one address and port, and the names that stand for it.

use crate::address::canonical;
use crate::decision::Names;
use crate::model::{HostPattern, Target};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What names mean during one question. Each name is looked up once: were it
/// asked again for the next rule, an allow and a deny could see different addresses.
pub(super) struct Snapshot<'n> {
    names: &'n dyn Names,
    seen: RefCell<BTreeMap<String, Vec<IpAddr>>>,
}

impl<'n> Snapshot<'n> {
    pub(super) fn new(names: &'n dyn Names) -> Self {
        Self {
            names,
            seen: RefCell::default(),
        }
    }

    /// The canonical addresses of a name.
    pub(super) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        if let Some(known) = self.seen.borrow().get(name) {
            return known.clone();
        }
        let found: Vec<IpAddr> = self
            .names
            .addresses(name)
            .into_iter()
            .map(canonical)
            .collect();
        self.seen
            .borrow_mut()
            .insert(name.to_owned(), found.clone());
        found
    }

    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.names.is_own(address)
    }
}

/// A destination as rules see it.
pub(super) struct Place<'n> {
    /// Canonical; absent for a name that has no address.
    pub(super) address: Option<IpAddr>,
    /// The name that was asked for, lower case, without a trailing dot.
    pub(super) asked: Option<&'n str>,
    pub(super) port: u16,
    pub(super) names: &'n Snapshot<'n>,
}

impl Place<'_> {
    /// Whether a host name of the policy stands for this place.
    fn is_named(&self, name: &str) -> bool {
        match self.address {
            None => self.asked == Some(name),
            Some(address) => self.has(name, address),
        }
    }

    fn has(&self, name: &str, address: IpAddr) -> bool {
        self.names.addresses(name).contains(&address)
    }

    fn is_in(&self, pattern: &HostPattern) -> bool {
        match pattern {
            HostPattern::Name(name) => self.is_named(name),
            HostPattern::Address(address) => self.address == Some(*address),
            HostPattern::Net(net) => self.address.is_some_and(|address| net.contains(&address)),
        }
    }

    /// The policy's name for this place, if the target has it. `literally`: no network and no name counts.
    pub(super) fn found_in(&self, target: &Target, literally: bool) -> Option<String> {
        if !target.has_port(self.port) {
            return None;
        }
        if literally {
            let listed = self.address.is_some_and(|address| target.lists(address));
            return listed.then(|| target.name.clone());
        }
        let names = || {
            target.hosts.iter().filter_map(|host| match host {
                HostPattern::Name(name) => Some(name.as_str()),
                HostPattern::Address(_) | HostPattern::Net(_) => None,
            })
        };
        let asked = names().find(|name| self.asked == Some(name) && self.is_named(name));
        if let Some(name) = asked.or_else(|| names().find(|name| self.is_named(name))) {
            return Some(name.to_owned());
        }
        target
            .hosts
            .iter()
            .any(|host| self.is_in(host))
            .then(|| target.name.clone())
    }

    /// Whether a deny rule's target may mean this place. A name that cannot be
    /// resolved may mean any: a resolver that is down must not open what is denied.
    pub(super) fn is_barred_by(&self, target: &Target) -> bool {
        target.has_port(self.port)
            && target.hosts.iter().any(|host| {
                let unresolved = match host {
                    HostPattern::Name(name) => {
                        self.names.names.resolves() && self.names.addresses(name).is_empty()
                    }
                    HostPattern::Address(_) | HostPattern::Net(_) => false,
                };
                unresolved || self.is_in(host)
            })
    }
}
