//! What a stopped call is, decided once and before anything else.
//!
//! A number means something only together with the architecture it was called
//! by: number 102 is getuid here and socketcall on i386. So the numbers of a
//! notification are read in this file alone, architecture first, and whoever
//! answers gets a [`Call`].

use super::compile::{ARCH, X32};
use super::rows::rows;
use super::table::{Action, Row, row_of};
use libc::{c_int, c_long};
use std::fmt;

/// A stopped call, understood.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    /// By another architecture's table: its number and arguments mean nothing here.
    Foreign(Foreign),
    /// Nobody may make it.
    Forbidden {
        /// The rule.
        row: &'static Row,
        /// What it fails with.
        errno: c_int,
    },
    /// Only a process that is root all through may make it.
    RootOnly {
        /// The rule.
        row: &'static Row,
        /// What others get.
        errno: c_int,
        /// Whether that is written down.
        told: bool,
    },
    /// bind(2): for root, and for the socket of an agent that may come along.
    Bind {
        /// The rule.
        row: &'static Row,
        /// What it otherwise fails with.
        errno: c_int,
        /// To what; as for connect(2).
        to: Connect,
    },
    /// listen(2): for the socket of an agent that may come along.
    Listen {
        /// The rule.
        row: &'static Row,
        /// What it otherwise fails with.
        errno: c_int,
        /// The socket's number in the task's table of open files.
        fd: c_int,
        /// How many connections may wait.
        backlog: c_int,
    },
    /// connect(2): it is judged.
    Connect(Connect),
    /// One that the filter does not stop. It is refused: the table that stopped it is not this one.
    Unknown,
}

/// A call by another architecture's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    arch: u32,
    number: u32,
}

/// The arguments of connect(2), or of bind(2). The address can change at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    /// The socket's number in the task's table of open files.
    pub fd: c_int,
    /// Where the address is, in the task's memory.
    pub address: u64,
    /// How long it is said to be.
    pub length: u64,
}

impl Connect {
    fn of(args: &[u64; 6]) -> Self {
        Self {
            fd: args[0] as c_int,
            address: args[1],
            length: args[2],
        }
    }
}

impl Call {
    /// Understands what the kernel passed.
    #[must_use]
    pub fn of(arch: u32, number: c_int, args: &[u64; 6]) -> Self {
        let bits = number as u32;
        if arch != ARCH || bits >= X32 {
            return Self::Foreign(Foreign { arch, number: bits });
        }
        let Some(row) = row_of(rows(), c_long::from(number), args) else {
            return Self::Unknown;
        };
        match row.then {
            Action::Refuse(errno) => Self::Forbidden { row, errno },
            Action::RootOnly { errno, told } => Self::RootOnly { row, errno, told },
            Action::Bind(errno) => Self::Bind {
                row,
                errno,
                to: Connect::of(args),
            },
            Action::Listen(errno) => Self::Listen {
                row,
                errno,
                fd: args[0] as c_int,
                backlog: args[1] as c_int,
            },
            Action::Judge => Self::Connect(Connect::of(args)),
            Action::Allow | Action::Quietly(_) => Self::Unknown,
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { arch, number } = *self;
        let name = match arch {
            0x4000_0003 => "i386",
            0x4000_0028 => "arm",
            0xc000_003e if ARCH == 0xc000_003e => "x32",
            0xc000_003e => "x86-64",
            0xc000_00b7 => "aarch64",
            _ => "unknown",
        };
        write!(
            f,
            "system call {} of the {name} table (architecture {arch:#010x})",
            number & !X32
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I386: u32 = 0x4000_0003;

    #[test]
    fn the_architecture_comes_before_the_number() {
        for number in [libc::SYS_connect, libc::SYS_bind, libc::SYS_ptrace, 20, -1] {
            let call = Call::of(I386, number as c_int, &[0; 6]);
            assert!(matches!(call, Call::Foreign(_)), "{number}: {call:?}");
            let call = Call::of(ARCH, number as c_int | X32 as c_int, &[0; 6]);
            assert!(matches!(call, Call::Foreign(_)), "{number}: {call:?}");
        }
    }

    #[test]
    fn a_call_is_what_its_row_says() {
        let own = |number: c_long, args| Call::of(ARCH, number as c_int, &args);
        assert!(matches!(
            own(libc::SYS_connect, [7, 8, 9, 0, 0, 0]),
            Call::Connect(Connect {
                fd: 7,
                address: 8,
                length: 9
            })
        ));
        assert!(matches!(
            own(libc::SYS_ptrace, [0; 6]),
            Call::Forbidden {
                errno: libc::EPERM,
                ..
            }
        ));
        assert!(matches!(
            own(libc::SYS_bind, [7, 8, 9, 0, 0, 0]),
            Call::Bind {
                errno: libc::EACCES,
                to: Connect {
                    fd: 7,
                    address: 8,
                    length: 9
                },
                ..
            }
        ));
        assert!(matches!(
            own(libc::SYS_listen, [7, 128, 0, 0, 0, 0]),
            Call::Listen {
                errno: libc::EACCES,
                fd: 7,
                backlog: 128,
                ..
            }
        ));
        assert!(matches!(
            own(libc::SYS_sendmsg, [0; 6]),
            Call::RootOnly {
                errno: libc::EPERM,
                told: true,
                ..
            }
        ));
        // Fast open is looked for before the address is.
        let fast = u64::from(libc::MSG_FASTOPEN as u32);
        assert!(matches!(
            own(libc::SYS_sendto, [3, 4, 5, fast, 6, 16]),
            Call::Forbidden { .. }
        ));
    }

    #[test]
    fn what_the_filter_lets_through_is_not_answered_by_guessing() {
        for number in [libc::SYS_read, libc::SYS_clone3, 4095] {
            assert!(matches!(
                Call::of(ARCH, number as c_int, &[0; 6]),
                Call::Unknown
            ));
        }
    }

    #[test]
    fn a_foreign_call_is_named_with_its_table() {
        let text = Foreign {
            arch: I386,
            number: 102,
        }
        .to_string();
        assert_eq!(
            text,
            "system call 102 of the i386 table (architecture 0x40000003)"
        );
        let text = Foreign {
            arch: ARCH,
            number: X32 | 42,
        }
        .to_string();
        assert!(
            text.starts_with("system call 42 of the x32 table"),
            "{text}"
        );
    }
}
