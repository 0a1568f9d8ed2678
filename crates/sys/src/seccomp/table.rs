//! What a rule of the session filter is, and which rule a call meets.
//!
//! The same rows are compiled for the kernel and looked up by the guard, so
//! that the reason in the journal is the reason for which the call stopped.

use libc::{c_int, c_long};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It runs.
    Allow,
    /// It fails with this errno, from the kernel, unheard: the C library tries
    /// it out of habit and has another way.
    Quietly(c_int),
    /// It fails with this errno, from the guard, which has it written down: no
    /// honest program of a session makes it. With the guard gone it fails with ENOSYS.
    Refuse(c_int),
    /// It runs for a process that is root all through, which is sshd itself;
    /// everybody else gets this errno.
    RootOnly {
        /// What everybody else gets.
        errno: c_int,
        /// Whether that is written down.
        told: bool,
    },
    /// bind(2): it runs for root. For anybody else it fails with this errno and is written down, unless it
    /// is sshd's for an agent that the user may take along: that socket the guard binds itself, elsewhere.
    Bind(c_int),
    /// listen(2): it fails with this errno and is written down, unless the socket is the one that the guard bound.
    Listen(c_int),
    /// The guard judges it; a guard that is gone means ENOSYS (seccomp_unotify(2)).
    Judge,
}

/// A value by the name that headers give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: u32,
}

/// A condition on one argument (0 to 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// The masked low half is one of these values.
    In {
        /// Which argument.
        arg: usize,
        /// Bits that count.
        mask: u32,
        /// The values.
        values: &'static [Named],
    },
    /// At least one of these bits is set.
    Any {
        /// Which argument.
        arg: usize,
        /// The bits.
        bits: &'static [Named],
    },
    /// None of these bits is set.
    No {
        /// Which argument.
        arg: usize,
        /// The bits.
        bits: &'static [Named],
    },
    /// The argument is a pointer other than NULL (both halves are looked at).
    Pointer {
        /// Which argument.
        arg: usize,
    },
}

/// All these bits together.
pub(super) fn union(bits: &[Named]) -> u32 {
    bits.iter().fold(0, |all, bit| all | bit.value)
}

impl Test {
    /// Whether it holds for these arguments.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        // The kernel truncates likewise: `int` arguments are the low half.
        let low = |arg: usize| args.get(arg).map_or(0, |value| *value as u32);
        match *self {
            Self::In { arg, mask, values } => {
                values.iter().any(|value| low(arg) & mask == value.value)
            }
            Self::Any { arg, bits } => low(arg) & union(bits) != 0,
            Self::No { arg, bits } => low(arg) & union(bits) == 0,
            Self::Pointer { arg } => args.get(arg).is_some_and(|pointer| *pointer != 0),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name of the system call.
    pub call: &'static str,
    /// Its number on this architecture.
    pub number: c_long,
    /// Conditions, all of which must hold; none: always.
    pub when: &'static [Test],
    /// What then becomes of it.
    pub then: Action,
    /// Why.
    pub why: &'static str,
}

impl Row {
    /// Whether it decides this call.
    #[must_use]
    pub fn decides(&self, number: c_long, args: &[u64; 6]) -> bool {
        self.number == number && self.when.iter().all(|test| test.holds(args))
    }
}

/// The row that decides a call of this architecture; none: it is allowed.
#[must_use]
pub fn row_of(rows: &'static [Row], number: c_long, args: &[u64; 6]) -> Option<&'static Row> {
    rows.iter().find(|row| row.decides(number, args))
}
