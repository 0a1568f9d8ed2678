//! Compression: one zstd stream (RFC 8878) per segment, flushed after each frame.
//!
//! A flush makes everything so far readable; the window still reaches back
//! over the segment's earlier frames, so that small frames compress as well as
//! large ones. The window is small, because thousands of hops may be recorded
//! at once.

use crate::frame::{FIXED, MAX_DATA};
use std::io;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective,
    compress_bound, get_error_name,
};

/// Speed goes before size: a terminal's output shrinks tenfold either way.
const LEVEL: i32 = 1;
/// The window is 64 KiB.
const WINDOW_LOG: u32 = 16;
/// What flushes may add to [`compress_bound`].
const SLACK: usize = 1024;

fn error(code: ErrorCode) -> io::Error {
    io::Error::other(format!("zstd: {}", get_error_name(code)))
}

/// Compresses one segment after the other.
pub(crate) struct Packer {
    context: CCtx<'static>,
}

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut set = |parameter| context.set_parameter(parameter).map_err(error);
        set(CParameter::CompressionLevel(LEVEL))?;
        set(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self { context })
    }

    /// Begins a segment: nothing before is referred to.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let reset = self.context.reset(ResetDirective::SessionOnly);
        reset.map(drop).map_err(error)
    }

    /// Replaces `packed` by this frame, flushed.
    pub(crate) fn pack(&mut self, body: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        packed.clear();
        packed.reserve(compress_bound(body.len()) + SLACK);
        let mut input = InBuffer::around(body);
        let mut output = OutBuffer::around(packed);
        let left =
            self.context
                .compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_flush);
        if left.map_err(error)? > 0 {
            return Err(io::Error::other("zstd: a frame grew beyond its bound"));
        }
        Ok(())
    }

    /// Bytes of memory that zstd holds.
    pub(crate) fn memory(&self) -> usize {
        self.context.sizeof()
    }
}

/// The other way; what it is given may be anything.
pub(crate) struct Unpacker {
    context: DCtx<'static>,
}

impl Unpacker {
    pub(crate) fn new() -> io::Result<Self> {
        let mut context = DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        let set = context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG));
        set.map_err(error)?;
        Ok(Self { context })
    }

    /// Begins a segment.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let reset = self.context.reset(ResetDirective::SessionOnly);
        reset.map(drop).map_err(error)
    }

    /// One frame; `None` if this is none, or too large for one.
    pub(crate) fn unpack(&mut self, packed: &[u8]) -> Option<Vec<u8>> {
        const ROOM: usize = FIXED + MAX_DATA + 1;
        let mut body = Vec::with_capacity(ROOM);
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(&mut body);
        loop {
            let before = (input.pos(), output.pos());
            // 0 says that the stream ends, which ours never does.
            let hint = self.context.decompress_stream(&mut output, &mut input);
            if hint.ok()? == 0 || output.pos() >= ROOM {
                return None;
            }
            if before == (input.pos(), output.pos()) {
                break;
            }
        }
        (input.pos() == packed.len()).then_some(body)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn each_flush_can_be_read_at_once() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let mut packed = Vec::new();
        for segment in 0..3 {
            packer.begin().unwrap();
            unpacker.begin().unwrap();
            for i in 0..50 {
                let body = format!("frame {i} of segment {segment}").into_bytes();
                packer.pack(&body, &mut packed).unwrap();
                assert_eq!(unpacker.unpack(&packed), Some(body));
            }
        }
    }

    #[test]
    fn noise_of_the_largest_size_fits_and_nothing_larger_comes_out() {
        let noise = |length: usize| -> Vec<u8> {
            let mut state = 1_u64;
            let step = |_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            };
            (0..length).map(step).collect()
        };
        let mut packer = Packer::new().unwrap();
        let mut packed = Vec::new();
        for (length, fits) in [(FIXED + MAX_DATA, true), (FIXED + MAX_DATA + 1, false)] {
            let mut unpacker = Unpacker::new().unwrap();
            packer.begin().unwrap();
            packer.pack(&noise(length), &mut packed).unwrap();
            assert_eq!(unpacker.unpack(&packed).is_some(), fits);
            assert!(packed.len() < crate::block::MAX_PAYLOAD - 16);
        }
        assert!(packer.memory() < 640 * 1024, "{}", packer.memory());
    }
}
