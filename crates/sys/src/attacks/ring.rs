//! A connect that no system call of that name makes: `IORING_OP_CONNECT` (io_uring(7)).

use crate::check;
use crate::socket::RawAddress;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

const OP_CONNECT: u8 = 16;
const GETEVENTS: libc::c_uint = 1;
const OFF_SQ_RING: i64 = 0;
const OFF_SQES: i64 = 0x1000_0000;

/// Offsets in a ring's memory (`struct io_sqring_offsets`, `struct io_cqring_offsets`).
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// Submission: flags, dropped, array. Completion: overflow, cqes, flags.
    rest: [u32; 3],
    reserved: u32,
    user_addr: u64,
}

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    other: [u32; 7],
    sq: Offsets,
    cq: Offsets,
}

/// The part of `struct io_uring_sqe` that a connect uses, and the rest of it.
#[repr(C)]
struct Submission {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    rest: [u64; 5],
}

/// Connects `fd` through a ring made for it.
///
/// # Errors
/// What the kernel says, to the ring or to the connect.
pub fn connect_by_ring(fd: BorrowedFd<'_>, to: &RawAddress) -> io::Result<()> {
    let mut params = Params::default();
    // SAFETY: the kernel reads and writes one `struct io_uring_params`.
    let ring = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let ring = unsafe { OwnedFd::from_raw_fd(ring as i32) };
    // Both rings are in one mapping since Linux 5.4 (IORING_FEAT_SINGLE_MMAP); a page is enough for one entry.
    let rings = map(&ring, OFF_SQ_RING)?;
    let entries = map(&ring, OFF_SQES)?.cast::<Submission>();
    let (address, length) = (to.bytes().as_ptr(), to.bytes().len() as u64);
    let submission = Submission {
        opcode: OP_CONNECT,
        flags: 0,
        priority: 0,
        fd: fd.as_raw_fd(),
        offset: length,
        address: address as u64,
        rest: [0; 5],
    };
    // SAFETY: the mapping holds at least one entry.
    unsafe { entries.write(submission) };
    // The kernel says where in the mapping its words are.
    // SAFETY: within the mapping.
    let array = unsafe { rings.add(params.sq.rest[2] as usize) }.cast::<u32>();
    // SAFETY: within the mapping.
    let tail = unsafe { rings.add(params.sq.tail as usize) }.cast::<AtomicU32>();
    // SAFETY: an aligned word that the kernel reads atomically, and the mapping stays.
    let tail = unsafe { &*tail };
    // SAFETY: an aligned word; nobody submits meanwhile.
    unsafe { array.write(0) };
    tail.fetch_add(1, Ordering::Release);
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: submits one entry, whose address lives across the call, and waits for its end.
    check(unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            1,
            1,
            GETEVENTS,
            none,
            0usize,
        )
    })?;
    // `struct io_uring_cqe`: user_data, then the result.
    // SAFETY: within the mapping.
    let completion = unsafe { rings.add(params.cq.rest[1] as usize + 8) }.cast::<i32>();
    // SAFETY: the kernel has written the first completion there before the call returned.
    let result = unsafe { completion.read() };
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    }
}

fn map(ring: &OwnedFd, offset: i64) -> io::Result<*mut u8> {
    // SAFETY: a new mapping of a page, at no address of this program's choice; it stays until the program ends.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            ring.as_raw_fd(),
            offset,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(memory.cast())
}
