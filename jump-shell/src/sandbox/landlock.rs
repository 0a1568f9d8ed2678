//! The file system, closed (Landlock, landlock(7)).
//!
//! No path may be opened, made, run or renamed; no port bound; no signal sent
//! and no abstract socket reached outside. TCP connections are left to the
//! session's own Landlock layer, which refuses them all, and to the guard,
//! which connects on the shell's behalf.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::path::Path;

/// Interfaces to ask for, newest first. A kernel may claim one and refuse its
/// bits with `EINVAL` (RHEL 9.7 claims the sixth), so each step is tried.
const STEPS: [ABI; 6] = [ABI::V9, ABI::V5, ABI::V4, ABI::V3, ABI::V2, ABI::V1];

/// Closes the file system but for reaching `socket`, and names the layer: `+landlock7`, or nothing where
/// the kernel has none.
pub(super) fn close_file_system(socket: &Path) -> String {
    STEPS
        .iter()
        .find_map(|abi| close(*abi, socket).ok())
        .and_then(|level| level)
        .map_or_else(String::new, |level| format!("+landlock{level}"))
}

fn close(abi: ABI, socket: &Path) -> Result<Option<i32>, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(abi))?;
    if abi >= ABI::V4 {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    if abi >= ABI::V6 {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    let mut rules = rules.create()?;
    // Since the ninth interface a path socket must be allowed to be reached.
    let folder = socket.parent().and_then(|folder| PathFd::new(folder).ok());
    if let Some(folder) = folder.filter(|_| abi >= ABI::V9) {
        let reach: BitFlags<AccessFs> = AccessFs::ResolveUnix.into();
        rules = rules.add_rule(PathBeneath::new(folder, reach))?;
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
