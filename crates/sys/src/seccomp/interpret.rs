//! Runs a filter without a kernel, so that every row can be tested on any host
//! and the documentation can be generated from what the kernel would do.

use libc::{seccomp_data, sock_filter};

/// The 32-bit word of `struct seccomp_data` at `offset`, as the kernel loads it.
fn word(data: &seccomp_data, offset: u32) -> Option<u32> {
    let argument = |n: usize, second: bool| {
        let value = data.args[n];
        let (first_half, second_half) = if cfg!(target_endian = "little") {
            (value as u32, (value >> 32) as u32)
        } else {
            ((value >> 32) as u32, value as u32)
        };
        if second { second_half } else { first_half }
    };
    match offset {
        0 => Some(data.nr as u32),
        4 => Some(data.arch),
        8 => Some(data.instruction_pointer as u32),
        12 => Some((data.instruction_pointer >> 32) as u32),
        16..=60 if offset.is_multiple_of(4) => {
            Some(argument((offset as usize - 16) / 8, (offset - 16) % 8 == 4))
        }
        _ => None,
    }
}

/// What the filter returns for a call: a `SECCOMP_RET_*` action with its data.
///
/// An instruction that the session filter does not use, a jump behind the end
/// and a load outside the data give `SECCOMP_RET_KILL_PROCESS`; the kernel
/// refuses such a program when it is installed.
#[must_use]
pub fn interpret(program: &[sock_filter], data: &seccomp_data) -> u32 {
    run(program, data).unwrap_or(libc::SECCOMP_RET_KILL_PROCESS)
}

fn run(program: &[sock_filter], data: &seccomp_data) -> Option<u32> {
    let mut accumulator = 0u32;
    let mut at = 0usize;
    // Jumps only go forwards, so this ends.
    loop {
        let instruction = program.get(at)?;
        at += 1;
        let k = instruction.k;
        let code = u32::from(instruction.code);
        let taken = match code {
            _ if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                accumulator = word(data, k)?;
                continue;
            }
            _ if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => {
                accumulator &= k;
                continue;
            }
            _ if code == libc::BPF_JMP | libc::BPF_JA => {
                at += k as usize;
                continue;
            }
            _ if code == libc::BPF_RET | libc::BPF_K => return Some(k),
            _ if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => accumulator == k,
            _ if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => accumulator >= k,
            _ if code == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => accumulator & k != 0,
            _ => return None,
        };
        at += usize::from(if taken {
            instruction.jt
        } else {
            instruction.jf
        });
    }
}
