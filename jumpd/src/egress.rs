//! The outer bound of all sessions, for the host's packet filter.
//!
//! jumpd has no privilege to filter packets. It says which addresses the
//! policy's allow rules mean, and root (`jumpctl egress`) makes a ruleset of
//! that. The bound follows the policy in force and the names in it.

use crate::names;
use crate::state::{Jumpd, refused};
use jump_audit::{Event, Kind};
use jump_policy::{Effect, HostPattern, Names, Policy, Target};
use jump_proto::{Channel, ChannelError, Egress, EgressReach, Reason, Reply};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::PoisonError;

/// Entries per message: well below the size limit.
const PAGE: usize = 800;

impl Jumpd {
    /// The bound of the policy in force, a page per message.
    pub(crate) fn egress(&self, asker: &Channel) -> Result<(), ChannelError> {
        let Some(policy) = self.policy() else {
            return asker.send(&refused(
                Reason::NoRule,
                "no policy is in force; run: jumpctl apply",
            ));
        };
        let whole = bound(&policy, self.names.as_ref());
        let mut pages = pages(&whole).into_iter().peekable();
        while let Some(egress) = pages.next() {
            let more = pages.peek().is_some();
            asker.send(&Reply::Egress { egress, more })?;
        }
        Ok(())
    }

    /// What became of the ruleset; news is an event.
    pub(crate) fn egress_loaded(&self, error: Option<String>) {
        let mut last = self
            .egress_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last == error {
            return;
        }
        let event = Event::new(Kind::PostureChanged);
        self.note(match &error {
            None => event
                .success()
                .detail("the packet filter follows the policy"),
            Some(why) => event.failure().detail(&format!(
                "the packet filter does not follow the policy: {why}"
            )),
        });
        *last = error;
    }
}

/// The bound, with every name as the addresses it has now.
fn bound(policy: &Policy, names: &dyn Names) -> Egress {
    let mut seen = HashSet::new();
    let targets = policy
        .rules()
        .filter(|rule| rule.effect == Effect::Allow)
        .flat_map(|rule| rule.targets.iter().flatten())
        .filter(|name| seen.insert(name.as_str()))
        .filter_map(|name| policy.target(name));
    Egress {
        policy: policy.hash().to_owned(),
        gid: policy.host_group().1,
        uids: policy.users().map(|user| user.uid).collect(),
        resolvers: names::host_resolvers(),
        reach: targets.flat_map(|target| reach(target, names)).collect(),
    }
}

fn reach(target: &Target, names: &dyn Names) -> Vec<EgressReach> {
    let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut hosts: Vec<(IpAddr, u8, bool)> = Vec::new();
    for host in &target.hosts {
        match host {
            HostPattern::Address(address) => hosts.push((*address, whole(*address), true)),
            HostPattern::Net(net) => hosts.push((net.network(), net.prefix_len(), false)),
            HostPattern::Name(name) => hosts.extend(
                names
                    .addresses(name)
                    .into_iter()
                    .map(|address| (address, whole(address), false)),
            ),
        }
    }
    hosts
        .iter()
        .flat_map(|(address, prefix, listed)| {
            target.ports.iter().map(|ports| EgressReach {
                address: *address,
                prefix: *prefix,
                ports: (*ports.0.start(), *ports.0.end()),
                listed: *listed,
            })
        })
        .collect()
}

fn pages(whole: &Egress) -> Vec<Egress> {
    let part = |uids: &[u32], reach: &[EgressReach]| Egress {
        policy: whole.policy.clone(),
        gid: whole.gid,
        uids: uids.to_vec(),
        resolvers: Vec::new(),
        reach: reach.to_vec(),
    };
    let mut pages = vec![Egress {
        resolvers: whole.resolvers.clone(),
        ..part(&[], &[])
    }];
    pages.extend(whole.uids.chunks(PAGE).map(|uids| part(uids, &[])));
    pages.extend(whole.reach.chunks(PAGE).map(|reach| part(&[], reach)));
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Db;

    impl Names for Db {
        fn addresses(&self, host: &str) -> Vec<IpAddr> {
            match host {
                "db.example" => vec!["10.1.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
                _ => Vec::new(),
            }
        }
        fn is_own(&self, _: IpAddr) -> bool {
            false
        }
    }

    const POLICY: &str = r#"version = 1
[users.alice]
uid = 70001
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a"]
[targets.db]
hosts = ["db.example", "10.2.0.0/16", "127.0.0.1", "gone.example"]
ports = [22, "9000-9010"]
[targets.denied]
hosts = ["10.3.0.1"]
ports = [22]
[targets.nobodys]
hosts = ["10.4.0.1"]
ports = [22]
[[rules]]
name = "a"
effect = "allow"
users = ["alice"]
targets = ["db"]
[[rules]]
name = "d"
effect = "deny"
users = ["alice"]
targets = ["denied"]
"#;

    #[test]
    fn the_bound_is_what_allow_rules_name_and_nothing_else() {
        let policy = Policy::parse(POLICY, "p", "UTC").unwrap();
        let got = bound(&policy, &Db);
        assert_eq!(got.uids, [70001]);
        let shown: Vec<String> = got
            .reach
            .iter()
            .map(|r| {
                let (first, last) = r.ports;
                format!("{}/{}:{first}-{last} {}", r.address, r.prefix, r.listed)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "10.1.0.7/32:22-22 false",
                "10.1.0.7/32:9000-9010 false",
                "fd00::7/128:22-22 false",
                "fd00::7/128:9000-9010 false",
                "10.2.0.0/16:22-22 false",
                "10.2.0.0/16:9000-9010 false",
                "127.0.0.1/32:22-22 true",
                "127.0.0.1/32:9000-9010 true",
            ]
        );
    }

    #[test]
    fn pages_put_together_are_the_whole_and_each_fits_a_message() {
        let reach = EgressReach {
            address: "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".parse().unwrap(),
            prefix: 128,
            ports: (10000, 60000),
            listed: false,
        };
        let whole = Egress {
            policy: "0123456789abcdef".to_owned(),
            gid: 66000,
            uids: (0..5000).collect(),
            resolvers: vec!["192.0.2.1".parse().unwrap()],
            reach: vec![reach; 3000],
        };
        let mut together = Egress::default();
        for page in pages(&whole) {
            let message = serde_json::to_vec(&Reply::Egress {
                egress: page.clone(),
                more: true,
            })
            .unwrap();
            assert!(message.len() < jump_proto::MAX_MESSAGE, "{}", message.len());
            together.extend(page);
        }
        assert_eq!(together, whole);
    }
}
