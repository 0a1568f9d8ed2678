//! What the product uses on the bastion, from `/proc`.

use anyhow::{Context, Result};
use jump_lab::machine::Machine;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a host may take to come to rest once nobody does anything.
const REST: Duration = Duration::from_secs(20);
/// Looks at the bastion's processes.
pub(crate) struct Watch {
    namespace: PathBuf,
}

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    jumpd: Use,
    guard: Use,
    sshd: Use,
}

/// What processes of one name use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Use {
    processes: u64,
    threads: u64,
    fds: u64,
    /// Memory of their own, in KiB.
    memory_kb: u64,
}

impl Use {
    fn add(&mut self, process: &Path) -> Option<()> {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let fds = fs::read_dir(process.join("fd")).ok()?.count();
        self.threads += number("Threads:")?;
        self.memory_kb += number("RssAnon:").unwrap_or(0);
        self.fds += fds as u64;
        self.processes += 1;
        Some(())
    }
}

impl Watch {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self {
            namespace: PathBuf::from(format!("/proc/{}/ns/pid", machine.leader())),
        }
    }

    /// Looks once.
    pub(crate) fn sample(&mut self) -> Result<Sample> {
        let here = fs::read_link(&self.namespace).context("the bastion is gone")?;
        let mut sample = Sample::default();
        for entry in fs::read_dir("/proc")?.flatten() {
            let process = entry.path();
            // A process that ends meanwhile does not count.
            if fs::read_link(process.join("ns/pid")).ok().as_ref() != Some(&here) {
                continue;
            }
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            let _gone = match name.trim() {
                "jumpd" => sample.jumpd.add(&process),
                // The listener, and the one of each session.
                "jump-guard" | "guard-session" => sample.guard.add(&process),
                name if name.starts_with("sshd") => sample.sshd.add(&process),
                _ => None,
            };
        }
        Ok(sample)
    }

    /// Looks until two looks, two seconds apart, show the same but for memory.
    pub(crate) fn settle(&mut self) -> Result<Sample> {
        let begin = Instant::now();
        let mut last = self.sample()?;
        loop {
            std::thread::sleep(Duration::from_secs(2));
            let next = self.sample()?;
            if next.counts() == last.counts() || begin.elapsed() > REST {
                return Ok(next);
            }
            last = next;
        }
    }
}

impl Sample {
    fn counts(&self) -> [u64; 6] {
        [
            self.jumpd.threads,
            self.jumpd.fds,
            self.guard.processes,
            self.guard.fds,
            self.sshd.processes,
            self.sshd.fds,
        ]
    }

    /// Names and values for a table.
    pub(crate) fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("jumpd", self.jumpd.processes),
            ("threads", self.jumpd.threads),
            ("fds", self.jumpd.fds),
            ("KiB", self.jumpd.memory_kb),
            ("jump-guard", self.guard.processes),
            ("fds", self.guard.fds),
            ("KiB", self.guard.memory_kb),
            ("sshd", self.sshd.processes),
            ("fds", self.sshd.fds),
            ("KiB", self.sshd.memory_kb),
        ]
    }

    /// What grew while the same sessions were held. Afterwards jumpd's memory says little: an
    /// allocator keeps what hundreds of threads once had.
    pub(crate) fn growth(&self, later: &Self) -> Vec<String> {
        let grown = |what: &str, before: u64, later: u64| {
            let allowed = before + before / 5 + 4 * 1024;
            (later > allowed).then(|| format!("{what} grew from {before} to {later} KiB"))
        };
        grown("jumpd", self.jumpd.memory_kb, later.jumpd.memory_kb)
            .into_iter()
            .chain(grown("guards", self.guard.memory_kb, later.guard.memory_kb))
            .collect()
    }

    /// What there is more of afterwards than before.
    pub(crate) fn leaks(&self, after: &Self) -> Vec<String> {
        let mut leaks = Vec::new();
        let mut more = |what: &str, before: u64, after: u64, kept: u64| {
            if after > before + kept {
                leaks.push(format!("{what}: {before} before, {after} after"));
            }
        };
        more(
            "jumpd processes",
            self.jumpd.processes,
            after.jumpd.processes,
            0,
        );
        // One connection may be on its way when the look is taken.
        more("jumpd threads", self.jumpd.threads, after.jumpd.threads, 2);
        more("jumpd descriptors", self.jumpd.fds, after.jumpd.fds, 2);
        more("guards", self.guard.processes, after.guard.processes, 0);
        more("guard descriptors", self.guard.fds, after.guard.fds, 0);
        more(
            "guard KiB",
            self.guard.memory_kb,
            after.guard.memory_kb,
            2 * 1024,
        );
        more(
            "sshd processes",
            self.sshd.processes,
            after.sshd.processes,
            0,
        );
        leaks
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "jumpd {} threads {} fds {} KiB; {} guards {} fds {} KiB; {} sshd",
            self.jumpd.threads,
            self.jumpd.fds,
            self.jumpd.memory_kb,
            self.guard.processes,
            self.guard.fds,
            self.guard.memory_kb,
            self.sshd.processes
        )
    }
}
