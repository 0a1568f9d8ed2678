//! A bastion whose layers can be left out one by one, and whose sessions run
//! any program: what the remaining layers do, they do alone.
//!
//! Everything is as on the open bastion but the PAM module, a build of the
//! same source with the feature `weaken`. It reads the words in `/etc/jump/weaken`.

use crate::bastion::Bastion;
use crate::machine::Machine;
use crate::process::Output;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The layers to leave out at the next login, or `panic-HOOK` for a hook that is to panic.
pub const WORDS: &str = "/etc/jump/weaken";
/// Where Debian has PAM modules.
pub const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_jump.so";
/// Tries every way to another host.
const PROBE: &str = "/usr/local/bin/probe";

/// The bastion.
#[derive(Debug)]
pub struct Weak {
    bastion: Bastion,
    settings: Mutex<()>,
}

/// A layer that the module can leave out, as it is called in `/etc/jump/weaken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The session filter.
    Seccomp,
    /// Landlock.
    Landlock,
}

impl Layer {
    fn word(self) -> &'static str {
        match self {
            Self::Seccomp => "no-seccomp",
            Self::Landlock => "no-landlock",
        }
    }
}

impl Weak {
    /// Exchanges the module of a bastion for the test build, and brings the probe.
    pub(crate) fn new(bastion: Bastion) -> Result<Self> {
        bastion.write(MODULE, fs::read(built("JUMP_WEAK_PAM")?)?)?;
        bastion.write(PROBE, fs::read(built("JUMP_PROBE")?)?)?;
        fs::set_permissions(bastion.path(PROBE), Permissions::from_mode(0o755))?;
        Ok(Self {
            bastion,
            settings: Mutex::default(),
        })
    }

    /// The bastion, while these layers are left out of new sessions, and nobody else changes that.
    ///
    /// # Errors
    /// Those of `tell`.
    pub fn without<T>(
        &self,
        layers: &[Layer],
        tell: impl FnOnce(&Bastion) -> Result<T>,
    ) -> Result<T> {
        let _held = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = layers.iter().map(|layer| layer.word()).collect();
        self.bastion.write(WORDS, words.join("\n"))?;
        let outcome = tell(&self.bastion);
        fs::remove_file(self.bastion.path(WORDS))?;
        outcome
    }
}

/// A file that `cargo xtask lab` builds and names in the environment.
fn built(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable)
        .with_context(|| format!("{variable} is not set; run `cargo xtask lab SUITE`"))?;
    let path = PathBuf::from(path);
    ensure!(path.is_file(), "{variable}: {} is no file", path.display());
    Ok(path)
}

/// What became of each way to another host.
#[derive(Debug)]
pub struct Probed(BTreeMap<String, String>);

impl Probed {
    /// The line of shell that tries them all.
    #[must_use]
    pub fn line(destination: &str) -> String {
        format!("{PROBE} {destination}")
    }

    /// Reads what the probe printed.
    ///
    /// # Errors
    /// When it printed something else.
    pub fn read(output: &Output) -> Result<Self> {
        let mut ways = BTreeMap::new();
        for line in output.text().lines() {
            match line.split_once(' ') {
                Some((way, became)) => ways.insert(way.to_owned(), became.to_owned()),
                None => bail!("not a probe's line: {output}"),
            };
        }
        ensure!(!ways.is_empty(), "the probe said nothing: {output}");
        Ok(Self(ways))
    }

    /// The ways that led to the other host.
    #[must_use]
    pub fn open(&self) -> Vec<&str> {
        let open = |became: &str| matches!(became, "reached" | "sent" | "unanswered");
        self.0
            .iter()
            .filter(|(_, became)| open(became))
            .map(|(way, _)| way.as_str())
            .collect()
    }

    /// What became of one way.
    #[must_use]
    pub fn became(&self, way: &str) -> &str {
        self.0.get(way).map_or("not tried", String::as_str)
    }
}

/// Whether the module on a machine is one that can be weakened.
///
/// # Errors
/// When it cannot be read.
pub fn can_be_weakened(machine: &Machine) -> Result<bool> {
    let module = fs::read(machine.path(MODULE))?;
    Ok(module
        .windows(WORDS.len())
        .any(|bytes| bytes == WORDS.as_bytes()))
}
