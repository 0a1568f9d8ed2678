//! One copy of another task's memory.

use crate::check;
use std::io;

/// Reads `length` bytes at `address` of task `tid`, all or nothing.
///
/// The task may change them before, meanwhile and after: read once, decide on
/// the copy. Needs `CAP_SYS_PTRACE` for a task of another user.
///
/// # Errors
/// `EFAULT` when not all of it is mapped, `ESRCH`, `EPERM`.
pub fn read_memory(tid: i32, address: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0u8; length];
    let local = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: length,
    };
    let remote = libc::iovec {
        iov_base: usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?
            as *mut libc::c_void,
        iov_len: length,
    };
    // SAFETY: the kernel writes at most `length` bytes to `bytes`, which is that
    // long; `remote` is an address of the other task and never dereferenced here.
    let got = check(unsafe {
        libc::syscall(
            libc::SYS_process_vm_readv,
            tid,
            &raw const local,
            1usize,
            &raw const remote,
            1usize,
            0usize,
        )
    })?;
    if usize::try_from(got).is_ok_and(|got| got == length) {
        Ok(bytes)
    } else {
        Err(io::Error::from_raw_os_error(libc::EFAULT))
    }
}

/// Writes `bytes` at `address` of task `tid`, all or nothing as far as the kernel can.
///
/// # Errors
/// As [`read_memory`].
pub fn write_memory(tid: i32, address: u64, bytes: &[u8]) -> io::Result<()> {
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: usize::try_from(address).map_err(|_| io::ErrorKind::InvalidInput)?
            as *mut libc::c_void,
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel only reads `bytes`; `remote` is an address of the other task.
    let put = check(unsafe {
        libc::syscall(
            libc::SYS_process_vm_writev,
            tid,
            &raw const local,
            1usize,
            &raw const remote,
            1usize,
            0usize,
        )
    })?;
    if usize::try_from(put).is_ok_and(|put| put == bytes.len()) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EFAULT))
    }
}
