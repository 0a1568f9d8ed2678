//! The same calls by the numbers of other architectures.
//!
//! On x86-64 a process can call by the i386 table (`int 0x80`) and, on kernels
//! built for it, by the x32 one, whatever program it runs.

use std::fmt;

/// Whose table a number is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abi {
    /// i386.
    I386,
    /// x32: the architecture is x86-64's, the number has bit 30.
    X32,
    /// 64-bit ARM.
    Aarch64,
}

impl Abi {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::I386, Self::X32, Self::Aarch64];

    /// `AUDIT_ARCH_*` (linux/audit.h).
    #[must_use]
    pub fn arch(self) -> u32 {
        match self {
            Self::I386 => 0x4000_0003,
            Self::X32 => 0xc000_003e,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I386 => "i386",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// A call's numbers in the tables of other architectures.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    i386: u32,
    x32: u32,
    aarch64: u32,
}

impl Numbers {
    /// The number as the register holds it.
    #[must_use]
    pub fn by(self, abi: Abi) -> u32 {
        match abi {
            Abi::I386 => self.i386,
            Abi::X32 => 0x4000_0000 | self.x32,
            Abi::Aarch64 => self.aarch64,
        }
    }
}

/// i386, x32 (without its bit), aarch64: asm/unistd_32.h, asm/unistd_x32.h, asm-generic/unistd.h.
const NUMBERS: &[(&str, u32, u32, u32)] = &[
    ("getpid", 20, 39, 172),
    ("connect", 362, 42, 203),
    ("sendto", 369, 44, 206),
    ("sendmsg", 370, 518, 211),
    ("sendmmsg", 345, 538, 269),
    ("socket", 359, 41, 198),
    ("socketpair", 360, 53, 199),
    ("bind", 361, 49, 200),
    ("listen", 363, 50, 201),
    ("setsockopt", 366, 541, 208),
    ("io_uring_setup", 425, 425, 425),
    ("io_uring_enter", 426, 426, 426),
    ("io_uring_register", 427, 427, 427),
    ("ptrace", 26, 521, 117),
    ("process_vm_readv", 347, 539, 270),
    ("process_vm_writev", 348, 540, 271),
    ("process_madvise", 440, 440, 440),
    ("pidfd_getfd", 438, 438, 438),
    ("kcmp", 349, 312, 272),
    ("unshare", 310, 272, 97),
    ("close_range", 436, 436, 436),
    ("setns", 346, 308, 268),
    ("clone", 120, 56, 220),
    ("clone3", 435, 435, 435),
    ("bpf", 357, 321, 280),
    ("perf_event_open", 336, 298, 241),
    ("userfaultfd", 374, 323, 282),
    ("request_key", 287, 249, 218),
    ("ioctl", 54, 514, 29),
];

/// The numbers of a call of the table, and of getpid(2).
#[must_use]
pub fn numbers(call: &str) -> Option<Numbers> {
    NUMBERS
        .iter()
        .find(|(name, ..)| *name == call)
        .map(|&(_, i386, x32, aarch64)| Numbers { i386, x32, aarch64 })
}

/// Makes a call with arguments of zero by the numbers of another architecture, in a process of its own.
///
/// # Errors
/// When there cannot be one, or this architecture's processes cannot call by that table.
#[cfg(target_arch = "x86_64")]
pub fn call_by(abi: Abi, number: u32) -> std::io::Result<super::Outcome> {
    use std::io::{Error, ErrorKind};
    match abi {
        Abi::I386 => super::probe::in_a_process(|| match int_0x80(number) {
            errno @ -4095..0 => Err(Error::from_raw_os_error(-errno)),
            _ => Ok(()),
        }),
        Abi::X32 => super::probe::in_a_process(|| {
            // SAFETY: with arguments of zero none of the calls of the list touches memory.
            let result = unsafe { libc::syscall(libc::c_long::from(number), 0, 0, 0, 0, 0, 0) };
            crate::check(result).map(drop)
        }),
        Abi::Aarch64 => Err(ErrorKind::Unsupported.into()),
    }
}

/// Nothing but x86-64 can call by another 64-bit architecture's table.
///
/// # Errors
/// Always.
#[cfg(not(target_arch = "x86_64"))]
pub fn call_by(_: Abi, _: u32) -> std::io::Result<super::Outcome> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The i386 gate.
#[cfg(target_arch = "x86_64")]
fn int_0x80(number: u32) -> i32 {
    let result: u32;
    // SAFETY: the arguments are zero, so that no memory is touched; rbx, which the
    // compiler keeps for itself, is put back; the kernel keeps all registers but
    // eax and (in older kernels) r8 to r11.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "xor ebx, ebx",
            "int 0x80",
            "pop rbx",
            inlateout("eax") number => result,
            in("ecx") 0, in("edx") 0, in("esi") 0, in("edi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result as i32
}
