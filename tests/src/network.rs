//! Who is where: the office, where the admins' machine is, and the server
//! network, where the targets are. Only the bastion stands in both, so what
//! reaches a target went through it.
//!
//! The networks are bridges in the run's own network namespace.

use crate::dns::NAME_SERVER;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::process::Command;

/// Bridge of the admins' network.
pub const OFFICE: &str = "office";
/// Bridge of the targets' network.
pub const SERVERS: &str = "servers";
/// The interface every machine has on its first network (named by systemd-nspawn).
const FIRST: &str = "host0";
/// The bastion's interface on the server network.
const SECOND: &str = "servers0";
/// Of the cloud's metadata service, which a jump server must never let anyone reach by accident. db2 answers there.
pub const METADATA: &str = "169.254.169.254";

/// TCP port of a service on the targets that sends everything back.
pub const ECHO: u16 = 5432;
/// TCP port of a service on the targets that reads to the end, then sends a quarter as many bytes.
pub const QUARTER: u16 = 9000;
/// TCP port of an echo service on the targets that no policy of the lab names.
pub const UNLISTED: u16 = 8080;

/// The domain that jump hosts append to a name that is not found as it is.
pub const SEARCH: &str = "office.test";

/// A machine's place.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name.
    pub name: &'static str,
    /// The bridge its first interface is on.
    pub network: &'static str,
    /// Addresses of the first interface, with prefix length.
    pub addresses: &'static [&'static str],
    /// Addresses on the server network, where that is its second.
    pub second: &'static [&'static str],
    /// Routes it needs, as for `ip route add`.
    pub routes: &'static [&'static str],
    /// Whether it offers the lab's services.
    pub services: bool,
    /// Directories that lie on the disk of this checkout; everything else of a machine is in memory, where
    /// flushing costs nothing and no inode number comes twice.
    pub on_disk: &'static [&'static str],
}

/// The jump server.
pub const BASTION: Place = Place {
    name: "bastion",
    network: OFFICE,
    addresses: &["10.77.1.1/24", "fd77:1::1/64"],
    second: &["10.77.2.1/24", "fd77:2::1/64"],
    routes: &["169.254.169.254 dev servers0"],
    services: false,
    on_disk: &[],
};
/// A jump host as Debian ships it.
pub const STOCK: Place = Place {
    name: "stock",
    addresses: &["10.77.1.4/24", "fd77:1::4/64"],
    second: &["10.77.2.4/24", "fd77:2::4/64"],
    ..BASTION
};
/// A bastion whose sessions run any program.
pub const OPEN: Place = Place {
    name: "open",
    addresses: &["10.77.1.5/24", "fd77:1::5/64"],
    second: &["10.77.2.5/24", "fd77:2::5/64"],
    ..BASTION
};
/// Bastions to be broken, each by one story at a time; the later ones take the place of those that stay broken.
pub const FRAGILE: [Place; 6] = [
    Place {
        name: "fragile1",
        addresses: &["10.77.1.61/24", "fd77:1::61/64"],
        second: &["10.77.2.61/24", "fd77:2::61/64"],
        ..BASTION
    },
    Place {
        name: "fragile2",
        addresses: &["10.77.1.62/24", "fd77:1::62/64"],
        second: &["10.77.2.62/24", "fd77:2::62/64"],
        ..BASTION
    },
    Place {
        name: "fragile3",
        addresses: &["10.77.1.63/24", "fd77:1::63/64"],
        second: &["10.77.2.63/24", "fd77:2::63/64"],
        ..BASTION
    },
    Place {
        name: "fragile4",
        addresses: &["10.77.1.64/24", "fd77:1::64/64"],
        second: &["10.77.2.64/24", "fd77:2::64/64"],
        ..BASTION
    },
    Place {
        name: "fragile5",
        addresses: &["10.77.1.65/24", "fd77:1::65/64"],
        second: &["10.77.2.65/24", "fd77:2::65/64"],
        ..BASTION
    },
    Place {
        name: "fragile6",
        addresses: &["10.77.1.66/24", "fd77:1::66/64"],
        second: &["10.77.2.66/24", "fd77:2::66/64"],
        ..BASTION
    },
];
/// A bastion of which layers can be left out.
pub const WEAK: Place = Place {
    name: "weak",
    addresses: &["10.77.1.6/24", "fd77:1::6/64"],
    second: &["10.77.2.6/24", "fd77:2::6/64"],
    ..BASTION
};
/// The admins' machine.
pub const CLIENT: Place = Place {
    name: "client",
    network: OFFICE,
    addresses: &["10.77.1.20/24", "10.77.1.99/24", "fd77:1::20/64"],
    second: &[],
    routes: &[],
    services: false,
    on_disk: &[],
};
/// An admin's machine with every other SSH client of the distribution; also the lab's name server.
pub const WORKBENCH: Place = Place {
    name: "workbench",
    addresses: &["10.77.1.40/24", "fd77:1::40/64"],
    ..CLIENT
};
/// A target with Python, as configuration management wants it.
pub const APP: Place = Place {
    name: "app1",
    addresses: &["10.77.2.21/24", "fd77:2::21/64"],
    services: false,
    ..DB1
};
/// A target.
pub const DB1: Place = Place {
    name: "db1",
    network: SERVERS,
    addresses: &["10.77.2.11/24", "fd77:2::11/64"],
    second: &[],
    routes: &[],
    services: true,
    on_disk: &[],
};
/// Another target; also what answers at the metadata address.
pub const DB2: Place = Place {
    name: "db2",
    network: SERVERS,
    addresses: &["10.77.2.12/24", "fd77:2::12/64", "169.254.169.254/32"],
    second: &[],
    routes: &["10.77.2.0/24 dev host0"],
    services: true,
    on_disk: &[],
};

impl Place {
    /// Its first address of the network `bridge`, without the prefix length.
    #[must_use]
    pub fn address(&self) -> &'static str {
        bare(self.addresses.first().copied().unwrap_or_default())
    }

    /// Its first IPv6 address.
    #[must_use]
    pub fn address6(&self) -> &'static str {
        let found = self.addresses.iter().find(|address| address.contains("::"));
        bare(found.copied().unwrap_or_default())
    }

    /// Whether a second interface, on the server network, is wanted.
    pub(crate) fn has_second(&self) -> bool {
        !self.second.is_empty()
    }

    /// Arguments by which systemd-nspawn makes the interfaces.
    pub(crate) fn nspawn_arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--network-bridge={}", self.network)];
        if self.has_second() {
            arguments.push(format!(
                "--network-veth-extra={}:{SECOND}",
                self.host_side()
            ));
        }
        arguments
    }

    /// The unit that gives the machine its addresses before anything listens.
    pub(crate) fn unit(&self) -> String {
        let mut unit = String::from(
            "[Unit]\nDescription=Addresses of the lab\nDefaultDependencies=no\nBefore=network-pre.target ssh.service\n\
             Wants=network-pre.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\n",
        );
        let mut say = |words: String| {
            let _infallible = writeln!(unit, "ExecStart=/bin/ip {words}");
        };
        say("link set lo up".into());
        for (interface, addresses) in [(FIRST, self.addresses), (SECOND, self.second)] {
            if addresses.is_empty() {
                continue;
            }
            say(format!("link set {interface} up"));
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                say(format!("address add {address} dev {interface}{nodad}"));
            }
        }
        for route in self.routes {
            say(format!("route replace {route}"));
        }
        unit.push_str("[Install]\nWantedBy=sysinit.target\n");
        unit
    }

    /// Units of the services it offers: name and text.
    pub(crate) fn service_units(&self) -> Vec<(String, String)> {
        if !self.services {
            return Vec::new();
        }
        let quarter = "/bin/sh -c 'n=$(wc -c); head -c $((n / 4)) /dev/zero'";
        [(ECHO, "/bin/cat"), (UNLISTED, "/bin/cat"), (QUARTER, quarter)]
            .into_iter()
            .flat_map(|(port, program)| {
                let socket = format!(
                    "[Socket]\nListenStream={port}\nAccept=yes\nMaxConnections=500\n[Install]\nWantedBy=sockets.target\n"
                );
                let service = format!(
                    "[Unit]\nCollectMode=inactive-or-failed\n[Service]\nStandardInput=socket\nStandardError=journal\nExecStart=-{program}\n"
                );
                [(format!("lab-{port}.socket"), socket), (format!("lab-{port}@.service"), service)]
            })
            .collect()
    }

    fn host_side(&self) -> String {
        format!("s-{}", self.name)
    }

    /// Puts the second interface on its bridge, once the machine has it.
    pub(crate) fn plug_in(&self) -> Result<()> {
        if !self.has_second() {
            return Ok(());
        }
        ip(&format!(
            "link set {} master {SERVERS} up",
            self.host_side()
        ))
    }
}

/// The bridges, in the run's network namespace.
///
/// # Errors
/// When iproute2 is missing or the kernel refuses.
pub fn lay() -> Result<()> {
    ip("link set lo up")?;
    for bridge in [OFFICE, SERVERS] {
        ip(&format!("link add {bridge} type bridge"))?;
        ip(&format!("link set {bridge} up"))?;
    }
    ip(&format!("address add {NAME_SERVER}/24 dev {OFFICE}"))
}

/// `/etc/resolv.conf` of a machine: jump hosts have a name server, as names in a policy want one.
#[must_use]
pub fn resolv_conf(place: &Place) -> String {
    if place.has_second() {
        format!("search {SEARCH}\nnameserver {NAME_SERVER}\n")
    } else {
        String::new()
    }
}

/// `/etc/hosts` of a machine. The client learns the bastion's name only: targets are named where they are reached from.
#[must_use]
pub fn hosts(place: &Place) -> String {
    let mut known = vec![&BASTION];
    if place.network == SERVERS || place.has_second() {
        known.extend([&DB1, &DB2]);
    }
    if place.network == OFFICE && place.has_second() && place.name != BASTION.name {
        known.push(place);
    }
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
    for other in known {
        let _infallible = writeln!(text, "{} {}", other.address(), other.name);
    }
    text
}

fn bare(address: &'static str) -> &'static str {
    address.split('/').next().unwrap_or(address)
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .context("cannot run ip (iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
