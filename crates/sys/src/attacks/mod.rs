//! Each known way out of a session as a safe call, for tests only.
//!
//! [`probes`] are the calls of the session filter's table, one line each, with
//! what must become of it; [`table`] is that for people to read. The functions
//! here try what needs more than one call.
//! None of them cleans up after a success: in a test a success is the failure.

mod foreign;
mod lines;
mod probe;
mod ring;
mod table;

pub use foreign::{Abi, call_by, numbers};
pub use lines::probes;
pub use probe::{Arg, File, Outcome, Probe, Targets};
pub use ring::connect_by_ring;
pub use table::{errno_name, table};

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
/// addresses into the same memory; where each of `tries` led.
#[must_use]
pub fn connect_racing(addresses: [SocketAddr; 2], tries: usize) -> Vec<io::Result<SocketAddr>> {
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
    let [begun, done] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let racer = std::thread::spawn({
        let (memory, begun, done) = (Arc::clone(&memory), Arc::clone(&begun), Arc::clone(&done));
        move || {
            begun.store(true, Ordering::Relaxed);
            while !done.load(Ordering::Relaxed) {
                // Address and port of an IPv4 address are in the first word; each stays for a
                // moment, or only the second one of the two stores is ever seen.
                for address in [second, first] {
                    memory[0].store(address[0], Ordering::Relaxed);
                    for _ in 0..50 {
                        std::hint::spin_loop();
                    }
                }
            }
        }
    });
    while !begun.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    let results = (0..tries)
        .map(|_| {
            // On a busy host the other thread would stand still between two calls.
            std::thread::sleep(std::time::Duration::from_millis(1));
            let fd = socket(libc::AF_INET, libc::SOCK_STREAM, 0)?;
            // SAFETY: sixteen bytes that live across the call; that they change meanwhile is the attack.
            check_int(unsafe { libc::connect(fd.as_raw_fd(), memory.as_ptr().cast(), 16) })?;
            std::net::TcpStream::from(fd).peer_addr()
        })
        .collect();
    done.store(true, Ordering::Relaxed);
    let _finished = racer.join();
    results
}

/// What one process can do to another: look at it, write to it, take what it has.
#[must_use]
pub fn peep(pid: i32) -> Vec<(&'static str, io::Result<()>)> {
    let mut byte = [0u64; 1];
    let here = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 8,
    };
    // Nothing is there: whoever may read hears EFAULT.
    let there = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(1),
        iov_len: 8,
    };
    let reached = |result: io::Result<libc::c_long>| match result {
        Err(e) if e.raw_os_error() == Some(libc::EFAULT) => Ok(()),
        other => other.map(drop),
    };
    let vm = |number| {
        // SAFETY: both structs live across the call; of the other process's memory only an address is given
        // at which nothing is.
        reached(check(unsafe {
            libc::syscall(number, pid, &raw const here, 1, &raw const there, 1, 0)
        }))
    };
    let file = |name: &str| {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/{name}"))
            .map(drop)
    };
    vec![
        ("process_vm_readv", vm(libc::SYS_process_vm_readv)),
        ("process_vm_writev", vm(libc::SYS_process_vm_writev)),
        (
            "pidfd_getfd",
            crate::process::PidFd::open_process(pid).and_then(|other| other.get_fd(0).map(drop)),
        ),
        ("mem", file("mem")),
        ("ptrace", {
            // SAFETY: seizing touches no memory of this process.
            check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) }).map(drop)
        }),
    ]
}

/// A filter that passes everything and has a listener: while it is open, no other can have one (seccomp(2)).
///
/// # Errors
/// What the kernel says.
pub fn another_listener() -> io::Result<OwnedFd> {
    use crate::seccomp::{compile, install_listener};
    install_listener(&mut compile(&[])).or_else(|e| {
        if e.raw_os_error() != Some(libc::EACCES) {
            return Err(e);
        }
        // Who is not root may, when it gives up more rights first.
        crate::process::set_no_new_privs()?;
        install_listener(&mut compile(&[]))
    })
}

/// Whose process is at the other end of a connection (`SO_PEERCRED`).
///
/// # Errors
/// What the kernel says.
pub fn peer_uid(connection: &impl AsRawFd) -> io::Result<u32> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: writes one struct and its length, which live across the call.
    check_int(unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    })?;
    Ok(peer.uid)
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
