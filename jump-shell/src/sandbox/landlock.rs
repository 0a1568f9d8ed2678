//! The file system, closed (Landlock, landlock(7)).
//!
//! The shell may open, make, run or rename no path; what the runner of hops may is
//! a list of its own. Neither may bind a port, send a signal or reach an abstract
//! socket outside. TCP connections are left to the session's own Landlock layer,
//! which refuses them all, and to the guard, which connects on their behalf.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::Path;

/// Interfaces to ask for, newest first. A kernel may claim one and refuse its
/// bits with `EINVAL` (RHEL 9.7 claims the sixth), so each step is tried.
const STEPS: [ABI; 6] = [ABI::V9, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];

/// What stays open at a path, or beneath a folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open<'p> {
    path: &'p Path,
    /// Rights that not every kernel knows of; one that does not, does not take them away.
    access: BitFlags<AccessFs>,
}

impl<'p> Open<'p> {
    /// A program, or what loads one.
    pub(super) fn to_run(path: &'p Path) -> Self {
        Self {
            path,
            access: AccessFs::Execute | AccessFs::ReadFile,
        }
    }

    /// A file, or the files beneath a folder.
    pub(super) fn to_read(path: &'p Path) -> Self {
        Self {
            path,
            access: AccessFs::ReadFile.into(),
        }
    }

    /// A device.
    pub(super) fn device(path: &'p Path) -> Self {
        Self {
            path,
            access: AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev,
        }
    }

    /// A folder of sockets: since the ninth interface a path socket must be allowed to be reached.
    pub(super) fn sockets(path: &'p Path) -> Self {
        Self {
            path,
            access: AccessFs::ResolveUnix.into(),
        }
    }
}

/// Closes the file system but for `open`, and names the layer: `+landlock7`, or nothing where
/// the kernel has none. A path that is not there stays closed.
pub(super) fn close_file_system(open: &[Open<'_>]) -> String {
    STEPS
        .iter()
        .find_map(|abi| close(*abi, open).ok())
        .and_then(|level| level)
        .map_or_else(String::new, |level| format!("+landlock{level}"))
}

fn close(abi: ABI, open: &[Open<'_>]) -> Result<Option<i32>, RulesetError> {
    let known = AccessFs::from_all(abi);
    let mut rules = Ruleset::default().handle_access(known)?;
    if abi >= ABI::V4 {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    if abi >= ABI::V6 {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    let mut rules = rules.create()?;
    for Open { path, access } in open {
        let access = *access & known;
        if let Some(file) = PathFd::new(path).ok().filter(|_| !access.is_empty()) {
            rules = rules.add_rule(PathBeneath::new(file, access))?;
        }
    }
    let status = rules.restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Some((effective_abi.min(abi)) as i32)
        }
        _ => None,
    })
}
