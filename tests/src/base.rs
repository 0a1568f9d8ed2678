//! The Debian trees that the machines of a release are booted from.
//!
//! Made once by mmdebstrap from the mirror that the host's own apt uses, and
//! kept in `target/lab`, named by release and by a hash of what is in it: a
//! change of the package list makes a new tree and leaves no old one in use.
//! Almost every machine is a [`Kind::Server`]; a tree of its own keeps what
//! one machine needs out of all the others.

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a machine has beyond Debian's minimum: what an ordinary server has, and what the stories use.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "openssh-server",
    "openssh-client",
    "iproute2",
    "nftables",
    "procps",
    "rsync",
    "netcat-openbsd",
    "tzdata",
    "sudo",
    "cron",
    "strace",
    "faketime",
    "nscd",
    // Without it sshd forwards no X11.
    "xauth",
    // A client that does what OpenSSH's does not.
    "python3-paramiko",
];
/// Raised when the tree is made differently from the same packages.
const RECIPE: &str = "1";

/// What a tree is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary server.
    Server,
    /// An admin's machine with every other SSH client of the distribution and a name server, or a jump host
    /// without us: what others use in our place is installed, and not configured. One tree is both, because
    /// making one takes longer than what it holds in vain.
    Workbench,
    /// A server with OpenSSH's own regression tests.
    Regress,
}

impl Kind {
    /// The beginning of the tree's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "base",
            Self::Workbench => "workbench",
            Self::Regress => "regress",
        }
    }

    /// Packages beyond those of a server.
    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Server => &[],
            Self::Workbench => &[
                "ansible-core",
                "dnsmasq-base",
                "dropbear-bin",
                "libssh-4",
                // A security key without a device: OpenSSH's own, for its regression tests.
                "openssh-tests",
                "putty-tools",
                "python3-asyncssh",
                // Second factors and accounts as others have them.
                "libnss-extrausers",
                "libpam-google-authenticator",
                "libpam-oath",
            ],
            // telnet: login-timeout opens its silent connection with it, and says nothing when it is missing.
            Self::Regress => &["openssh-tests", "make", "telnet"],
        }
    }
}

/// The tree of an ordinary server of `suite`, made now if it is not there yet.
///
/// # Errors
/// See [`tree_of`].
pub fn tree(suite: &str) -> Result<PathBuf> {
    tree_of(suite, Kind::Server)
}

/// The tree of one kind of machine of `suite`, made now if it is not there yet.
///
/// # Errors
/// When mmdebstrap is missing or fails, or no mirror is known.
pub fn tree_of(suite: &str, kind: Kind) -> Result<PathBuf> {
    ensure!(
        !suite.is_empty() && suite.bytes().all(|byte| byte.is_ascii_lowercase()),
        "{suite:?} is not the name of a Debian release"
    );
    let directory = cache();
    fs::create_dir_all(&directory)?;
    let packages: Vec<&str> = PACKAGES.iter().chain(kind.packages()).copied().collect();
    let packages = packages.join(",");
    let name = format!("{}-{suite}-{}", kind.name(), fingerprint(&packages));
    let tree = directory.join(&name);
    // Two runs that start together must not both make it.
    let lock = File::create(directory.join(format!("{name}.lock")))?;
    let _held = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    if !tree.is_dir() {
        make(suite, &packages, &tree)?;
    }
    Ok(tree)
}

/// `target/lab` of this checkout.
#[must_use]
pub fn cache() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    target.join("lab")
}

fn fingerprint(packages: &str) -> String {
    let recipe = format!("{RECIPE} {}", packages.replace(',', " "));
    Sha256::digest(recipe)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[expect(
    clippy::print_stderr,
    reason = "half a minute without a word would look like a hang"
)]
fn make(suite: &str, packages: &str, tree: &Path) -> Result<()> {
    let mirror = mirror()?;
    eprintln!(
        "lab: making {} from {mirror} (once, a minute or less)",
        tree.display()
    );
    let part = tree.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let status = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={packages}"))
        // The services of an installed host, not those that systemd's presets would add at a first boot.
        .arg("--customize-hook=rm -f \"$1\"/etc/ssh/ssh_host_*")
        .arg("--customize-hook=ln -sf /dev/null \"$1\"/etc/systemd/system/systemd-networkd.service")
        .arg("--customize-hook=ln -sf /dev/null \"$1\"/etc/systemd/system/systemd-networkd.socket")
        // Started only by the story that is about it: what it remembers would be news to nobody else.
        .arg("--customize-hook=ln -sf /dev/null \"$1\"/etc/systemd/system/nscd.service")
        .arg("--customize-hook=rm -f \"$1\"/etc/machine-id \"$1\"/etc/hostname \"$1\"/etc/resolv.conf")
        .arg(suite)
        .arg(&part)
        .arg(mirror)
        .status()
        .context("cannot run mmdebstrap; `cargo xtask lab` installs it, or: apt-get install mmdebstrap")?;
    if !status.success() {
        bail!("mmdebstrap failed ({status})");
    }
    fs::rename(&part, tree)?;
    Ok(())
}

/// The mirror of the Debian archive that this host's apt uses.
fn mirror() -> Result<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        if let Some(mirror) = mirror_in(&text) {
            return Ok(mirror);
        }
    }
    bail!(
        "no Debian mirror in /etc/apt/sources.list or sources.list.d; the base is made from the host's own mirror"
    )
}

/// The first archive of Debian itself in a sources file of either format (sources.list(5)).
fn mirror_in(text: &str) -> Option<String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let words = lines.filter_map(|line| {
        line.strip_prefix("URIs:")
            .or_else(|| line.strip_prefix("deb "))
    });
    words
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.contains("://") && word.ends_with("/debian"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let deb822 = "Types: deb\n# URIs: http://no/debian\nURIs: http://security.example/debian-security http://mirror.example/debian/\n";
        assert_eq!(
            mirror_in(deb822).as_deref(),
            Some("http://mirror.example/debian")
        );
        let one_line = "deb https://packages.example apt main\ndeb [arch=amd64] http://mirror.example/debian bookworm main\n";
        assert_eq!(
            mirror_in(one_line).as_deref(),
            Some("http://mirror.example/debian")
        );
        assert_eq!(mirror_in("deb http://ppa.example/ubuntu noble main"), None);
    }
}
