//! From rows to classic BPF (seccomp(2), linux/bpf_common.h).
//!
//! The program is a chain of blocks, one per system call, each of which loads
//! arguments and tests them. It begins with what no row may forget: a call by a
//! foreign architecture's table, or on x86-64 by the x32 numbers, goes to the
//! guard, which ends the process; no row is tried on it.

use super::rows::rows;
use super::table::{Action, Row, Test, union};
use libc::sock_filter;

/// `AUDIT_ARCH_*` of the architecture this is built for (linux/audit.h).
pub const ARCH: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    // No known architecture: every call would be a foreign one, which is the safe mistake.
    0
};

/// Set in the number of every x32 call (asm/unistd.h); they run on the same `AUDIT_ARCH`.
pub(super) const X32: u32 = 0x4000_0000;

// Offsets in struct seccomp_data.
const NR: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const GO: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const fn op(code: u16, k: u32) -> sock_filter {
    sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

const STOP: sock_filter = op(RETURN, libc::SECCOMP_RET_USER_NOTIF);
const PASS: sock_filter = op(RETURN, libc::SECCOMP_RET_ALLOW);

const fn ret(action: Action) -> sock_filter {
    match action {
        Action::Allow => PASS,
        Action::Quietly(errno) => op(
            RETURN,
            libc::SECCOMP_RET_ERRNO | (errno as u32 & libc::SECCOMP_RET_DATA),
        ),
        Action::Refuse(_)
        | Action::RootOnly { .. }
        | Action::Bind(_)
        | Action::Listen(_)
        | Action::Judge => STOP,
    }
}

/// Offset of the low half of an argument, and of the high one.
const fn halves(arg: usize) -> (u32, u32) {
    let first = ARGS + 8 * arg as u32;
    if cfg!(target_endian = "little") {
        (first, first + 4)
    } else {
        (first + 4, first)
    }
}

/// A test's instructions; `miss` is how many instructions follow the test in
/// its row, so that a failed test lands on the next row.
fn test(test: &Test, miss: u8) -> Vec<sock_filter> {
    match *test {
        Test::In { arg, mask, values } => {
            let mut code = vec![op(LOAD, halves(arg).0)];
            if mask != u32::MAX {
                code.push(op(AND, mask));
            }
            let count = values.len() as u8;
            for (i, value) in (0u8..).zip(values) {
                let last = i + 1 == count;
                code.push(jump(
                    EQUAL,
                    value.value,
                    count - i - 1,
                    if last { miss } else { 0 },
                ));
            }
            code
        }
        Test::Any { arg, bits } => {
            vec![op(LOAD, halves(arg).0), jump(ANY_BIT, union(bits), 0, miss)]
        }
        Test::No { arg, bits } => {
            vec![op(LOAD, halves(arg).0), jump(ANY_BIT, union(bits), miss, 0)]
        }
        Test::Pointer { arg } => {
            let (low, high) = halves(arg);
            vec![
                op(LOAD, low),
                jump(EQUAL, 0, 0, 2),
                op(LOAD, high),
                jump(EQUAL, 0, miss, 0),
            ]
        }
    }
}

fn row(row: &Row) -> Vec<sock_filter> {
    // Backwards: what follows a test must be known to jump over it.
    let mut tail = vec![ret(row.then)];
    for condition in row.when.iter().rev() {
        let mut code = test(condition, tail.len() as u8);
        code.append(&mut tail);
        tail = code;
    }
    tail
}

/// Compiles rows, whose equal calls must stand together, to a filter.
#[must_use]
pub fn compile(rows: &[Row]) -> Vec<sock_filter> {
    let mut program = vec![
        op(LOAD, ARCHITECTURE),
        jump(EQUAL, ARCH, 1, 0),
        STOP,
        op(LOAD, NR),
        // syscall(-1) is how some programs ask for ENOSYS; the kernel gives it.
        jump(EQUAL, u32::MAX, 0, 1),
        PASS,
        jump(AT_LEAST, X32, 0, 1),
        STOP,
    ];
    for call in rows.chunk_by(|a, b| a.number == b.number) {
        let mut block: Vec<sock_filter> = call.iter().flat_map(row).collect();
        // Argument loads have overwritten the call's number: the block ends here in any case.
        if call.last().is_some_and(|last| !last.when.is_empty()) {
            block.push(PASS);
        }
        let number = call.first().map_or(u32::MAX, |first| first.number as u32);
        // A conditional jump reaches 255 instructions, an unconditional one any number.
        program.push(jump(EQUAL, number, 1, 0));
        program.push(op(GO, block.len() as u32));
        program.append(&mut block);
    }
    program.push(PASS);
    program
}

/// The session filter.
#[must_use]
pub fn session_filter() -> Vec<sock_filter> {
    compile(rows())
}

/// Lets every call through, those of foreign architectures included.
#[cfg(feature = "weaken")]
pub(super) fn open_filter() -> Vec<sock_filter> {
    vec![ret(Action::Allow)]
}
