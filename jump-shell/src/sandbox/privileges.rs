//! Rights of the process itself: tracing, resources, capabilities, new privileges.

use super::SandboxError;
use caps::{CapSet, Capability};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Limits for good, soft and hard: no process, no file content, no core, a
/// handful of open files (three of a login, jumpd, the target, signals, one spare pipe end, the runner
/// and the ends of a hop, its recorder, and what Landlock opens while it is set up).
const LIMITS: [(Resource, u64); 5] = [
    (Resource::Nproc, 0),
    (Resource::Core, 0),
    (Resource::Fsize, 0),
    (Resource::Memlock, 0),
    (Resource::Nofile, 16),
];

/// Those of the runner of hops: it may have one process, ssh; and ssh a few more files, its libraries and
/// names one after the other. That ssh starts none is set when it is started.
const RUNNER_LIMITS: [(Resource, u64); 4] = [
    (Resource::Core, 0),
    (Resource::Fsize, 0),
    (Resource::Memlock, 0),
    (Resource::Nofile, 32),
];

/// Lines of `/proc/self/status` that must be empty sets (proc_pid_status(5)).
const CAPABILITY_SETS: [&str; 4] = ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"];

/// No process of the same user reads this one's memory or makes it dump core.
pub(super) fn forbid_tracing() -> Result<(), SandboxError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(SandboxError::call("non-dumpable"))
}

/// Sets [`LIMITS`], or less where the login came with less.
pub(super) fn limit_resources() -> Result<(), SandboxError> {
    limit(&LIMITS)
}

/// The same for the runner of hops.
pub(super) fn limit_runner() -> Result<(), SandboxError> {
    limit(&RUNNER_LIMITS)
}

fn limit(limits: &[(Resource, u64)]) -> Result<(), SandboxError> {
    for &(resource, limit) in limits {
        let hard = rustix::process::getrlimit(resource)
            .maximum
            .map_or(limit, |hard| hard.min(limit));
        let limits = Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        };
        rustix::process::setrlimit(resource, limits)
            .map_err(SandboxError::call("resource limit"))?;
    }
    Ok(())
}

/// Drops every capability and the way to any new one, and looks whether it is true.
pub(super) fn drop_all() -> Result<(), SandboxError> {
    // A plain user may not touch the bounding set; with no_new_privs no
    // program would give a capability of it back anyway (capabilities(7)).
    let bounding = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false);
    if bounding {
        clear(CapSet::Bounding)?;
    }
    // Effective before permitted, whose part it must be.
    for set in [
        CapSet::Ambient,
        CapSet::Effective,
        CapSet::Permitted,
        CapSet::Inheritable,
    ] {
        clear(set)?;
    }
    rustix::thread::set_no_new_privs(true).map_err(SandboxError::call("no_new_privs"))?;
    let status =
        std::fs::read_to_string("/proc/self/status").map_err(|source| SandboxError::Call {
            what: "/proc/self/status",
            source,
        })?;
    verify(&status, bounding).map_err(SandboxError::NotDropped)
}

fn clear(set: CapSet) -> Result<(), SandboxError> {
    caps::clear(None, set)
        .map_err(|error| SandboxError::NotDropped(format!("capabilities: {error}")))
}

/// Whether `status` shows a process without any right.
fn verify(status: &str, bounding: bool) -> Result<(), String> {
    let value = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .ok_or_else(|| format!("/proc/self/status has no {name}"))
    };
    let sets = CAPABILITY_SETS
        .iter()
        .copied()
        .chain(bounding.then_some("CapBnd:"));
    for name in sets {
        let left = value(name)?;
        if left.is_empty() || left.bytes().any(|digit| digit != b'0') {
            return Err(format!("capabilities are left ({name} {left})"));
        }
    }
    match value("NoNewPrivs:")? {
        "1" => Ok(()),
        _ => Err("new privileges are still possible".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::verify;

    const POWERLESS: &str = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";

    #[test]
    fn an_ordinary_user_is_powerless() {
        assert_eq!(verify(POWERLESS, false), Ok(()));
    }

    #[test]
    fn a_bounding_set_that_could_be_dropped_must_be_empty() {
        assert!(verify(POWERLESS, true).is_err());
        let dropped = POWERLESS.replace("000001ffffffffff", "0000000000000000");
        assert_eq!(verify(&dropped, true), Ok(()));
    }

    #[test]
    fn any_right_that_is_left_is_noticed() {
        for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let with = format!("{name}:\t0000000000000001");
            let left = POWERLESS.replace(&format!("{name}:\t0000000000000000"), &with);
            assert!(verify(&left, false).is_err(), "{name}");
        }
        assert!(
            verify(
                &POWERLESS.replace("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
                false
            )
            .is_err()
        );
        assert!(verify("", false).is_err());
    }
}
