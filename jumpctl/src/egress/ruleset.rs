//! The ruleset, from addresses and ports: pure, and the only place where its text is made.
//!
//! One table of its own, `inet jump_server`, replaced in one transaction. Sockets of
//! the policy's users (by uid, and by their primary group, which a user who
//! was just removed still has) may send to the resolvers and to what allow
//! rules name; the rest is refused and counted. The kernel takes a socket's
//! owner from who made it: the connection that sshd serves was accepted by
//! root, and what the guard connects was made by the user.
//!
//! Every packet is looked at, not only the first of a connection: a
//! destination that is taken out of the policy is closed to what is open too.

use jump_proto::{Egress, EgressReach};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Family and name of the table.
pub const TABLE: &str = "inet jump_server";

/// What no network and no name ever means, as in a decision: only a target that lists the address does.
const SPECIAL: &str = "\
\t\tfib daddr type { local, broadcast, multicast } goto refused
\t\tip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } goto refused
\t\tip6 daddr { ::/96, ::ffff:0:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48, 2001::/32, 2002::/16, fe80::/10, ff00::/8 } goto refused
";

/// Whether an address belongs to the family `IPV4`.
const IPV4: bool = true;
const IPV6: bool = false;

/// Inclusive ranges of addresses or ports, as numbers.
type Ranges = Vec<(u128, u128)>;

/// The script that puts the whole table in place, whatever was there before.
#[must_use]
pub fn render(egress: &Egress) -> String {
    let mut text = format!("{}table {TABLE} {{\n", remove());
    let mut uids = egress.uids.clone();
    uids.sort_unstable();
    uids.dedup();
    text.push_str("\tset users {\n\t\ttypeof meta skuid\n");
    if !uids.is_empty() {
        let uids: Vec<String> = uids.iter().map(ToString::to_string).collect();
        let _infallible = writeln!(text, "\t\telements = {{ {} }}", uids.join(", "));
    }
    text.push_str("\t}\n");
    let _infallible = writeln!(
        text,
        "\tchain refused {{\n\
         \t\tcounter\n\
         \t\tmeta l4proto tcp reject with tcp reset\n\
         \t\treject with icmpx admin-prohibited\n\
         \t}}"
    );
    text.push_str("\tchain session {\n");
    resolvers(&egress.resolvers, &mut text);
    accept(egress.reach.iter().filter(|r| r.listed), &mut text);
    text.push_str(SPECIAL);
    accept(egress.reach.iter().filter(|r| !r.listed), &mut text);
    text.push_str("\t\tgoto refused\n\t}\n");
    let _infallible = writeln!(
        text,
        "\tchain output {{\n\
         \t\ttype filter hook output priority filter; policy accept;\n\
         \t\tmeta skuid @users goto session\n\
         \t\tmeta skgid {} goto session\n\
         \t}}\n}}",
        egress.gid
    );
    text
}

/// The script after which there is no such table; `delete` alone fails where there is none.
#[must_use]
pub fn remove() -> String {
    format!("add table {TABLE}\ndelete table {TABLE}\n")
}

fn resolvers(all: &[IpAddr], text: &mut String) {
    for (family, word) in [(IPV4, "ip"), (IPV6, "ip6")] {
        let ranges = merge(
            all.iter()
                .filter(|address| address.is_ipv4() == family)
                .map(|address| (number(*address), number(*address)))
                .collect(),
        );
        if !ranges.is_empty() {
            let hosts = addresses(&ranges, family);
            for protocol in ["udp", "tcp"] {
                let _infallible = writeln!(
                    text,
                    "\t\t{word} daddr {{ {hosts} }} {protocol} dport 53 accept"
                );
            }
        }
    }
}

/// One rule per family and set of ports.
fn accept<'a>(reach: impl Iterator<Item = &'a EgressReach>, text: &mut String) {
    // Ports by network first: what is written as several entries is one set of ports.
    let mut ports: BTreeMap<(bool, u128, u128), Ranges> = BTreeMap::new();
    for one in reach {
        let (first, last) = network(one.address, one.prefix);
        let range = (u128::from(one.ports.0), u128::from(one.ports.1));
        ports
            .entry((one.address.is_ipv4(), first, last))
            .or_default()
            .push(range);
    }
    let mut rules: BTreeMap<(bool, Ranges), Ranges> = BTreeMap::new();
    for ((family, first, last), ports) in ports {
        rules
            .entry((family, merge(ports)))
            .or_default()
            .push((first, last));
    }
    for ((family, ports), hosts) in rules {
        let word = if family == IPV4 { "ip" } else { "ip6" };
        let hosts = addresses(&merge(hosts), family);
        let ports = spelled(&ports, |port| port.to_string());
        let _infallible = writeln!(
            text,
            "\t\t{word} daddr {{ {hosts} }} tcp dport {{ {ports} }} accept"
        );
    }
}

/// Sorted, with what touches or overlaps put together: nft refuses overlapping intervals.
fn merge(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut merged: Ranges = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = (*end).max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// First and last address of a network.
fn network(address: IpAddr, prefix: u8) -> (u128, u128) {
    let width = if address.is_ipv4() { 32 } else { 128 };
    let host_bits = width - u32::from(prefix).min(width);
    let mask = match host_bits {
        128 => u128::MAX,
        bits => (1u128 << bits) - 1,
    };
    let first = number(address) & !mask;
    (first, first | mask)
}

fn addresses(ranges: &Ranges, family: bool) -> String {
    spelled(ranges, |number| {
        if family == IPV4 {
            Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).to_string()
        } else {
            Ipv6Addr::from_bits(number).to_string()
        }
    })
}

fn spelled(ranges: &Ranges, spell: impl Fn(u128) -> String) -> String {
    let all: Vec<String> = ranges
        .iter()
        .map(|(first, last)| {
            if first == last {
                spell(*first)
            } else {
                format!("{}-{}", spell(*first), spell(*last))
            }
        })
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(net: &str, ports: (u16, u16), listed: bool) -> EgressReach {
        let (address, prefix) = net.split_once('/').unwrap();
        EgressReach {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            ports,
            listed,
        }
    }

    #[test]
    fn the_ruleset_is_the_union_and_nothing_else() {
        let text = render(&Egress {
            policy: "0123456789abcdef".to_owned(),
            gid: 66000,
            uids: vec![70002, 70001, 70002],
            resolvers: vec!["192.0.2.53".parse().unwrap(), "::1".parse().unwrap()],
            reach: vec![
                reach("10.0.0.7/32", (22, 22), false),
                reach("10.0.0.8/32", (22, 22), false),
                reach("10.0.0.8/32", (22, 22), false),
                reach("10.0.0.0/29", (22, 22), false),
                reach("10.9.0.0/16", (22, 22), false),
                reach("10.9.0.0/16", (23, 30), false),
                reach("fd00:1::/64", (22, 22), false),
                reach("127.0.0.1/32", (5432, 5432), true),
            ],
        });
        assert_eq!(
            text,
            "add table inet jump_server
delete table inet jump_server
table inet jump_server {
\tset users {
\t\ttypeof meta skuid
\t\telements = { 70001, 70002 }
\t}
\tchain refused {
\t\tcounter
\t\tmeta l4proto tcp reject with tcp reset
\t\treject with icmpx admin-prohibited
\t}
\tchain session {
\t\tip daddr { 192.0.2.53 } udp dport 53 accept
\t\tip daddr { 192.0.2.53 } tcp dport 53 accept
\t\tip6 daddr { ::1 } udp dport 53 accept
\t\tip6 daddr { ::1 } tcp dport 53 accept
\t\tip daddr { 127.0.0.1 } tcp dport { 5432 } accept
\t\tfib daddr type { local, broadcast, multicast } goto refused
\t\tip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } goto refused
\t\tip6 daddr { ::/96, ::ffff:0:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48, 2001::/32, 2002::/16, fe80::/10, ff00::/8 } goto refused
\t\tip6 daddr { fd00:1::-fd00:1::ffff:ffff:ffff:ffff } tcp dport { 22 } accept
\t\tip daddr { 10.0.0.0-10.0.0.8 } tcp dport { 22 } accept
\t\tip daddr { 10.9.0.0-10.9.255.255 } tcp dport { 22-30 } accept
\t\tgoto refused
\t}
\tchain output {
\t\ttype filter hook output priority filter; policy accept;
\t\tmeta skuid @users goto session
\t\tmeta skgid 66000 goto session
\t}
}
"
        );
    }

    #[test]
    fn a_policy_of_nobody_leaves_no_empty_set_that_nft_would_refuse() {
        let text = render(&Egress {
            gid: 66000,
            ..Egress::default()
        });
        assert!(!text.contains("elements"));
        assert!(!text.contains("{  }"));
        assert!(text.contains("meta skgid 66000 goto session"));
    }

    #[test]
    fn whole_families_are_ranges_too() {
        assert_eq!(network("0.0.0.0".parse().unwrap(), 0), (0, 0xffff_ffff));
        assert_eq!(network("::".parse().unwrap(), 0), (0, u128::MAX));
        assert_eq!(merge(vec![(0, u128::MAX), (5, 6)]), [(0, u128::MAX)]);
    }

    proptest::proptest! {
        #[test]
        fn merged_ranges_hold_what_was_put_in_and_nothing_else(
            ranges in proptest::collection::vec((0u128..60, 0u128..8), 0..12)
        ) {
            let ranges: Ranges = ranges.into_iter().map(|(a, n)| (a, a + n)).collect();
            let merged = merge(ranges.clone());
            let within = |all: &Ranges, x| all.iter().any(|(a, b)| (*a..=*b).contains(&x));
            for x in 0..80 {
                proptest::prop_assert_eq!(within(&ranges, x), within(&merged, x), "{}", x);
            }
            for pair in merged.windows(2) {
                proptest::prop_assert!(pair[0].1 + 1 < pair[1].0, "{:?}", merged);
            }
        }
    }
}
