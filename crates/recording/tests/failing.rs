//! Recorders that are killed, disks that are full, and output without end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;

use jump_recording::{Keys, Kind, Problem, Reader, WriteError, Writer, verify};
use shared::{blocks, frames, header, keys, recording, sealing};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// A file that others can look at while it is written.
#[derive(Clone, Default)]
struct File(Rc<RefCell<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_each_write_the_frame_is_in_the_file() {
    for sealed in [false, true] {
        let file = File::default();
        let sealing = sealed.then(sealing);
        let mut writer = Writer::begin(file.clone(), &header(), sealing).unwrap();
        for i in 0..100_u64 {
            let text = format!("keystroke {i}");
            writer
                .write(i * 10_000_000, Kind::Output, text.as_bytes())
                .unwrap();
            let now = file.0.borrow().clone();
            assert_eq!(
                frames(&now[..], &keys()).last().unwrap().data,
                text.as_bytes()
            );
            let report = verify(&now[..], &keys(), &[writer.head()]);
            assert!(
                report.unfinished() && report.checkpoints == 1,
                "{:?}",
                report.fault
            );
        }
        // Killed: no trailer, nothing lost.
        std::mem::forget(writer);
        assert_eq!(frames(&file.0.borrow()[..], &keys()).len(), 100);
    }
}

/// Gives what it has so far, and then the end of the file.
struct Growing(Rc<RefCell<Vec<u8>>>, usize);

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.borrow();
        let read = (&bytes[self.1..]).read(buffer)?;
        self.1 += read;
        Ok(read)
    }
}

#[test]
fn a_recording_that_is_being_written_can_be_followed_byte_by_byte() {
    let whole = recording(true);
    let file = Rc::new(RefCell::new(whole[..blocks(&whole)[0]].to_vec()));
    let mut reader = Reader::open(Growing(Rc::clone(&file), 0), &keys()).unwrap();
    let mut seen = Vec::new();
    for byte in &whole[blocks(&whole)[0]..] {
        file.borrow_mut().push(*byte);
        match reader.next_frame() {
            Ok(frame) => seen.extend(frame),
            Err(fault) => assert!(matches!(fault.problem, Problem::Cut), "{fault}"),
        }
    }
    assert_eq!(seen, frames(&whole[..], &keys()));
    assert!(reader.trailer().is_some());
}

/// A disk with so much room.
struct Full {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Full {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = self.room - self.bytes.len();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.write(&data[..data.len().min(room)])
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_the_rest_can_follow_a_gap() {
    for sealed in [false, true] {
        for room in 1500..1800 {
            let full = Full {
                bytes: Vec::new(),
                room,
            };
            let mut writer = Writer::begin(full, &header(), sealed.then(sealing)).unwrap();
            while writer.write(1, Kind::Output, b"some output").is_ok() {}
            assert!(matches!(
                writer.write(2, Kind::Keepalive, b""),
                Err(WriteError::Ended)
            ));
            let position = writer.position().clone();
            let mut bytes = writer.get_ref().bytes.clone();
            assert!(matches!(writer.end(3), Err(WriteError::Ended)));
            bytes.truncate(usize::try_from(position.bytes).unwrap());
            let mut writer = Writer::resume(bytes, position, sealed.then(sealing)).unwrap();
            writer.write(4, Kind::Gap, b"the disk was full").unwrap();
            let (bytes, head) = writer.end(5).unwrap();
            let report = verify(&bytes[..], &keys(), &[head]);
            assert!(report.good(), "{room}: {:?}", report.fault);
            assert_eq!(report.trailer.unwrap().gaps, 1);
        }
    }
}

/// Counts, and keeps nothing.
struct Counting(u64);

impl Write for Counting {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 += data.len() as u64;
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn memory_stays_below_one_mebibyte_however_long_it_is() {
    for sealed in [false, true] {
        let mut writer = Writer::begin(Counting(0), &header(), sealed.then(sealing)).unwrap();
        let mut state = 1_u64;
        let mut chunk = vec![0_u8; 100_000];
        for i in 0..160 {
            // Half of it cannot be compressed.
            for byte in chunk.iter_mut().step_by(2) {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            writer.write(i, Kind::Output, &chunk).unwrap();
            assert!(writer.memory() < 1024 * 1024, "{}", writer.memory());
        }
        assert!(writer.position().counts.segments >= 15);
        assert_eq!(writer.get_ref().0, writer.position().bytes);
        assert!(writer.get_ref().0 > 8_000_000);
    }
}

#[test]
fn what_repeats_is_small_and_keystrokes_cost_little() {
    let mut writer = Writer::begin(Counting(0), &header(), None).unwrap();
    for i in 0..200 {
        writer
            .write(i, Kind::Output, &b"y\r\n".repeat(20_000))
            .unwrap();
    }
    assert!(writer.get_ref().0 < 200 * 300, "{}", writer.get_ref().0);
    let mut writer = Writer::begin(Counting(0), &header(), Some(sealing())).unwrap();
    let begin = writer.position().bytes;
    for i in 0..1000_u64 {
        let key = [b'a' + (i % 26) as u8];
        writer.write(i * 100_000, Kind::Output, &key).unwrap();
    }
    let each = (writer.position().bytes - begin) / 1000;
    assert!(each < 96, "{each} bytes for a keystroke");
    assert!(verify(&b""[..], &Keys::none(), &[]).header.is_none());
}
