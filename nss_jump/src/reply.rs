//! Copying an answer into the buffer that the caller lent us.
//!
//! glibc lends one buffer per call and doubles it as long as it is told
//! `ERANGE`; strings and the array of members go into it, and the result
//! points there. The buffer may have any size and any alignment.

use std::mem::MaybeUninit;
use std::ptr;

use libc::{c_char, size_t};

use crate::Failure;

/// What is left of the caller's buffer.
pub(crate) struct Room<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Room<'a> {
    /// # Safety
    ///
    /// `buffer` is null or points to `length` bytes that are the caller's to
    /// write for as long as the result is used.
    pub(crate) unsafe fn new(buffer: *mut c_char, length: size_t) -> Self {
        if buffer.is_null() {
            return Self(&mut []);
        }
        // No allocation is larger than isize::MAX, whatever the caller says.
        let length = length.min(isize::MAX as usize);
        // SAFETY: by contract; uninitialised bytes are allowed in MaybeUninit.
        Self(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) })
    }

    /// Copies `text` and a terminator. `text` has no NUL: who is visible was
    /// checked for control characters.
    pub(crate) fn string(&mut self, text: &str) -> Result<*mut c_char, Failure> {
        let length = text.len().checked_add(1).ok_or(Failure::Buffer)?;
        let place = self.take(length)?;
        let bytes = text.bytes().chain(std::iter::once(0));
        for (to, byte) in place.iter_mut().zip(bytes) {
            to.write(byte);
        }
        Ok(place.as_mut_ptr().cast())
    }

    /// Copies the strings and a null-terminated array of pointers to them,
    /// aligned as pointers are.
    pub(crate) fn strings<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str> + Clone,
    ) -> Result<*mut *mut c_char, Failure> {
        let padding = self.0.as_ptr().align_offset(align_of::<*mut c_char>());
        self.take(padding)?;
        let count = texts.clone().count();
        let size = count
            .checked_add(1)
            .and_then(|count| count.checked_mul(size_of::<*mut c_char>()))
            .ok_or(Failure::Buffer)?;
        let array = self.take(size)?.as_mut_ptr();
        // SAFETY: these bytes were just taken from the buffer, begin where a
        // pointer may, and have room for `count` + 1 of them.
        let array = unsafe {
            std::slice::from_raw_parts_mut(
                array.cast::<MaybeUninit<*mut c_char>>(),
                count.saturating_add(1),
            )
        };
        // All null first: also the last, and those of members that an index
        // changed in place (which nobody should do) does not have any more.
        for place in array.iter_mut() {
            place.write(ptr::null_mut());
        }
        for (place, text) in array.iter_mut().take(count).zip(texts) {
            place.write(self.string(text)?);
        }
        Ok(array.as_mut_ptr().cast())
    }

    fn take(&mut self, length: usize) -> Result<&'a mut [MaybeUninit<u8>], Failure> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .split_at_mut_checked(length)
            .ok_or(Failure::Buffer)?;
        self.0 = rest;
        Ok(taken)
    }
}

/// The name that a C caller asks for, if it can be one of ours: anything
/// longer than a name or not spelled like one is answered without a look at
/// any file.
///
/// # Safety
///
/// `name` is null or a NUL-terminated string that outlives the result.
pub(crate) unsafe fn name_asked<'a>(name: *const c_char) -> Result<&'a str, Failure> {
    if name.is_null() {
        return Err(Failure::NotFound);
    }
    let longest = jump_accounts::NAME_MAX.saturating_add(1);
    // SAFETY: strnlen stops at the terminator, which is there by contract.
    let length = unsafe { libc::strnlen(name, longest) };
    // SAFETY: these bytes are in the string, by strnlen.
    let bytes = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), length) };
    std::str::from_utf8(bytes)
        .ok()
        .filter(|name| jump_accounts::is_name(name))
        .ok_or(Failure::NotFound)
}
