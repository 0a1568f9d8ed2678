//! Lists of system calls, and their way into the kernel.
//!
//! Everything that is not on a list kills the process
//! (`SECCOMP_RET_KILL_PROCESS`, seccomp(2)). The lists themselves are in
//! [`super::calls`]. A list is for one architecture, the one it was compiled
//! for; calls of another, and of x32, kill as well.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;

/// One system call that is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its name in the manual.
    pub name: &'static str,
    /// Its number on this architecture.
    pub number: i64,
    /// Argument lists of which one must hold; none: any arguments.
    pub when: &'static [&'static [Argument]],
    /// Why the shell needs it.
    pub why: &'static str,
}

/// What one argument must be: equal to `value` in the bits of `mask`.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Which argument, from 0.
    pub index: u8,
    /// The bits that count.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

impl Argument {
    /// Argument `index`, an int, is `value`. The kernel takes the low half of the register for an int.
    pub(super) const fn is(index: u8, value: i32) -> Self {
        Self {
            index,
            mask: u32::MAX as u64,
            value: value.cast_unsigned() as u64,
        }
    }

    /// Argument `index` is this type of socket, with whatever flags (socket(2)).
    pub(super) const fn kind(index: u8, kind: i32) -> Self {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        Self {
            index,
            mask: !flags.cast_unsigned() as u64,
            value: kind.cast_unsigned() as u64,
        }
    }

    /// Argument `index` is a null pointer.
    pub(super) const fn null(index: u8) -> Self {
        Self {
            index,
            mask: u64::MAX,
            value: 0,
        }
    }

    /// Argument `index` has all these bits.
    pub(super) const fn with(index: u8, bits: i32) -> Self {
        let mask = bits.cast_unsigned() as u64;
        Self {
            index,
            mask,
            value: mask,
        }
    }

    /// Argument `index` has none of these bits.
    pub(super) const fn without(index: u8, bits: i32) -> Self {
        let mask = bits.cast_unsigned() as u64;
        Self {
            index,
            mask,
            value: 0,
        }
    }
}

/// A list that could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// There is no filter for this architecture.
    #[error("{0}")]
    Compile(#[from] BackendError),
    /// The kernel refused it.
    #[error("{0}")]
    Install(#[from] seccompiler::Error),
}

/// The kernel's form of a list: what is not on it kills the process.
///
/// # Errors
/// When there is no such form on this architecture.
pub fn compile(rules: &[Rule]) -> Result<BpfProgram, FilterError> {
    program(rules, SeccompAction::KillProcess, SeccompAction::Allow)
}

/// The kernel's form of a list of calls that fail with ENOSYS, whatever other lists say; to be in
/// force beside one that allows them.
///
/// # Errors
/// When there is no such form on this architecture.
pub fn compile_absent(rules: &[Rule]) -> Result<BpfProgram, FilterError> {
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    program(rules, SeccompAction::Allow, absent)
}

fn program(
    rules: &[Rule],
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, FilterError> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in rules {
        let alternatives = rule
            .when
            .iter()
            .map(|arguments| {
                let conditions = arguments.iter().map(condition).collect::<Result<_, _>>()?;
                SeccompRule::new(conditions)
            })
            .collect::<Result<Vec<_>, _>>()?;
        map.entry(rule.number).or_default().extend(alternatives);
    }
    let filter = SeccompFilter::new(map, otherwise, listed, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}

fn condition(argument: &Argument) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        argument.index,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(argument.mask),
        argument.value,
    )
}

/// Puts a compiled list in force for the calling thread, for good.
///
/// # Errors
/// When the kernel refuses it.
pub fn install(program: &BpfProgram) -> Result<(), FilterError> {
    Ok(seccompiler::apply_filter(program)?)
}
