//! Each known way out of a session as a safe call, for tests only.
//!
//! Every function tries one thing for real and says what the kernel answered.
//! None of them cleans up after a success: in a test a success is the failure.

use crate::{check, check_int};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A socket of any family, type and protocol.
///
/// # Errors
/// What the kernel says.
pub fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, no pointer.
    let fd = check_int(unsafe { libc::socket(domain, kind, protocol) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// connect(2) with any bytes and any length, also a wrong one (no more than the bytes are read).
///
/// # Errors
/// What the kernel says.
pub fn connect(fd: i32, bytes: &[u8], length: u32) -> io::Result<()> {
    let mut padded = bytes.to_vec();
    padded.resize(256, 0);
    // SAFETY: the kernel reads at most 128 bytes of an address; 256 are there.
    check_int(unsafe { libc::connect(fd, padded.as_ptr().cast(), length) }).map(drop)
}

/// connect(2) with a NULL pointer.
///
/// # Errors
/// What the kernel says.
pub fn connect_null(fd: BorrowedFd<'_>, length: u32) -> io::Result<()> {
    // SAFETY: a NULL address is read by nobody; the kernel answers EFAULT.
    check_int(unsafe { libc::connect(fd.as_raw_fd(), std::ptr::null(), length) }).map(drop)
}

/// connect(2) again and again while another thread writes the other of two
/// addresses into the same memory; `tries` results.
#[must_use]
pub fn connect_racing(addresses: [SocketAddr; 2], tries: usize) -> Vec<io::Result<()>> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let words = |address: SocketAddr| {
        let SocketAddr::V4(v4) = address else {
            return [0; 2];
        };
        let mut bytes = [0u8; 16];
        bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&v4.port().to_be_bytes());
        bytes[4..8].copy_from_slice(&v4.ip().octets());
        [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i])))
    };
    let [first, second] = addresses.map(words);
    let memory = Arc::new([AtomicU64::new(first[0]), AtomicU64::new(first[1])]);
    let done = Arc::new(AtomicBool::new(false));
    let racer = std::thread::spawn({
        let (memory, done) = (Arc::clone(&memory), Arc::clone(&done));
        move || {
            while !done.load(Ordering::Relaxed) {
                // Address and port of an IPv4 address are in the first word.
                memory[0].store(second[0], Ordering::Relaxed);
                memory[0].store(first[0], Ordering::Relaxed);
            }
        }
    });
    let results = (0..tries)
        .map(|_| {
            let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
            // SAFETY: sixteen bytes that live across the call; that they change meanwhile is the attack.
            check_int(unsafe { libc::connect(fd.as_raw_fd(), memory.as_ptr().cast(), 16) })
                .map(drop)
        })
        .collect();
    done.store(true, Ordering::Relaxed);
    let _finished = racer.join();
    results
}

/// One of the calls that send a message with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Send {
    /// sendto(2)
    To,
    /// sendmsg(2)
    Msg,
    /// sendmmsg(2)
    Mmsg,
}

/// Sends five bytes to an address without connect(2).
///
/// # Errors
/// What the kernel says.
pub fn send(how: Send, fd: BorrowedFd<'_>, to: Option<&[u8]>, flags: i32) -> io::Result<()> {
    let mut address = to.map(<[u8]>::to_vec).unwrap_or_default();
    let name: *mut libc::c_void = if address.is_empty() {
        std::ptr::null_mut()
    } else {
        address.as_mut_ptr().cast()
    };
    let length = address.len() as libc::socklen_t;
    let mut text = *b"hello";
    let mut iov = libc::iovec {
        iov_base: text.as_mut_ptr().cast(),
        iov_len: text.len(),
    };
    // SAFETY: all-zero is a value of msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name;
    message.msg_namelen = length;
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    let fd = fd.as_raw_fd();
    match how {
        Send::To => {
            // SAFETY: buffer and address live across the call and have the lengths given.
            check(unsafe {
                libc::sendto(
                    fd,
                    text.as_ptr().cast(),
                    text.len(),
                    flags,
                    name.cast(),
                    length,
                )
            } as libc::c_long)
        }
        Send::Msg => {
            // SAFETY: the message and all it points to live across the call.
            check(unsafe { libc::sendmsg(fd, &raw const message, flags) } as libc::c_long)
        }
        Send::Mmsg => {
            let mut messages = libc::mmsghdr {
                msg_hdr: message,
                msg_len: 0,
            };
            // SAFETY: one message, which lives across the call with all it points to.
            check(libc::c_long::from(unsafe {
                libc::sendmmsg(fd, &raw mut messages, 1, flags)
            }))
        }
    }
    .map(drop)
}

/// setsockopt(2) with an int.
///
/// # Errors
/// What the kernel says.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option is an int, which lives across the call.
    check_int(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// listen(2).
///
/// # Errors
/// What the kernel says.
pub fn listen(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers, no pointer.
    check_int(unsafe { libc::listen(fd.as_raw_fd(), 1) }).map(drop)
}

/// bind(2) to the unspecified IPv4 address.
///
/// # Errors
/// What the kernel says.
pub fn bind(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut address = [0u8; 16];
    address[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    // SAFETY: sixteen bytes, which live across the call.
    check_int(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), 16) }).map(drop)
}

/// io_uring_setup(2): without a ring there is no `IORING_OP_CONNECT`.
///
/// # Errors
/// What the kernel says.
pub fn io_uring() -> io::Result<()> {
    let mut parameters = [0u64; 32];
    // SAFETY: `struct io_uring_params` is 120 bytes; 256 are there.
    check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) }).map(drop)
}

/// unshare(2).
///
/// # Errors
/// What the kernel says.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: takes numbers, no pointer.
    check_int(unsafe { libc::unshare(flags) }).map(drop)
}

/// clone(2) with these flags and no new stack: as fork(2). In a child that came to be it exits at once.
///
/// # Errors
/// What the kernel says.
pub fn clone(flags: i32) -> io::Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: without CLONE_VM the child has a copy of this memory; it only exits.
    let pid = check(unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags as libc::c_ulong | libc::SIGCHLD as libc::c_ulong,
            none,
            none,
            none,
            none,
        )
    })?;
    if pid == 0 {
        crate::process::exit_now(0);
    }
    Ok(())
}

/// clone3(2).
///
/// # Errors
/// What the kernel says.
pub fn clone3() -> io::Result<()> {
    // SAFETY: the kernel reads the arguments as zero: a plain fork.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, [0u64; 8].as_ptr(), 64usize) })?;
    if pid == 0 {
        crate::process::exit_now(0);
    }
    Ok(())
}

/// ptrace(2) `PTRACE_SEIZE`.
///
/// # Errors
/// What the kernel says.
pub fn ptrace(pid: i32) -> io::Result<()> {
    // SAFETY: seizing touches no memory of this process.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) }).map(drop)
}

/// request_key(2).
///
/// # Errors
/// What the kernel says.
pub fn request_key() -> io::Result<()> {
    let none: *const libc::c_char = std::ptr::null();
    // SAFETY: the strings end in NUL.
    check(unsafe {
        libc::syscall(
            libc::SYS_request_key,
            c"dns_resolver".as_ptr(),
            c"example.com".as_ptr(),
            none,
            0,
        )
    })
    .map(drop)
}

/// The calls of which only "are they refused" is of interest, with arguments of zero.
#[must_use]
pub fn forbidden_calls() -> Vec<(&'static str, io::Result<()>)> {
    [
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("io_uring_register", libc::SYS_io_uring_register),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("process_madvise", libc::SYS_process_madvise),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("kcmp", libc::SYS_kcmp),
        ("setns", libc::SYS_setns),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
    ]
    .into_iter()
    .map(|(name, number)| {
        // SAFETY: with arguments of zero none of these touches memory.
        (
            name,
            check(unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) }).map(drop),
        )
    })
    .collect()
}

/// ioctl(2) `TIOCSTI` or `TIOCLINUX` on standard input.
///
/// # Errors
/// What the kernel says.
pub fn type_into_terminal(paste: bool) -> io::Result<()> {
    let request = if paste {
        libc::TIOCLINUX
    } else {
        libc::TIOCSTI
    };
    let byte = [b'x'; 8];
    // SAFETY: both read one byte.
    check_int(unsafe { libc::ioctl(0, request, byte.as_ptr()) }).map(drop)
}

/// getpid(2) by its x32 number.
///
/// # Errors
/// What the kernel says; under the filter it does not return.
#[cfg(target_arch = "x86_64")]
pub fn x32() -> io::Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) }).map(drop)
}

/// getpid(2) by the i386 gate.
///
/// # Errors
/// What the kernel says; under the filter it does not return.
#[cfg(target_arch = "x86_64")]
pub fn i386() -> io::Result<()> {
    let result: u32;
    // SAFETY: number 20 is getpid there: no arguments, no memory; the kernel
    // keeps the registers but eax (and r8 to r11, which are clobbered here).
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") 20u32 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match result as i32 {
        errno @ -4095..0 => Err(io::Error::from_raw_os_error(-errno)),
        _ => Ok(()),
    }
}

/// Makes SIGALRM run a handler with `SA_RESTART`, once, after `ms` milliseconds.
///
/// # Errors
/// What the kernel says.
pub fn restarting_alarm(ms: u32) -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: all-zero is a value of sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the struct lives across the call and the handler does nothing.
    check_int(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) })?;
    let zero = libc::timeval {
        tv_sec: 0,
        tv_usec: 0,
    };
    let timer = libc::itimerval {
        it_interval: zero,
        it_value: libc::timeval {
            tv_sec: 0,
            tv_usec: libc::suseconds_t::from(ms) * 1000,
        },
    };
    // SAFETY: the struct lives across the call.
    check_int(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) })
        .map(drop)
}
