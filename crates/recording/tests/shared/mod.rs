//! A small recording, and how to take it apart.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jump_recording::{Facts, Frame, Header, Keys, Kind, Reader, Sealing, Terminal, Writer};
use std::io::Read;

/// One auditor's age key.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
/// The other half of it.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

pub(crate) fn header() -> Header {
    Header {
        version: 3,
        term: Terminal {
            cols: 80,
            rows: 24,
            kind: Some("xterm".to_owned()),
        },
        timestamp: 1_790_000_000,
        facts: Facts {
            recording: "r-1".to_owned(),
            session: "s-1".to_owned(),
            user: "alice".to_owned(),
            uid: 70001,
            source: "10.1.2.3".parse().unwrap(),
            key: Some("SHA256:abc".to_owned()),
            target: "db1".to_owned(),
            address: "10.20.0.1:22".parse().unwrap(),
            login: Some("admin".to_owned()),
            rule: "dba-office".to_owned(),
            policy: "p-1".to_owned(),
            version: "0.1.0".to_owned(),
            sealed_to: Vec::new(),
        },
    }
}

/// Keys that differ from each other, and are the same in every run.
pub(crate) fn sealing() -> Sealing {
    let mut next = 0_u8;
    Sealing::to(&[RECIPIENT], move |bytes| {
        next = next.wrapping_add(1);
        bytes.fill(next);
        Ok(())
    })
    .unwrap()
}

pub(crate) fn keys() -> Keys {
    Keys::parse(IDENTITY).unwrap()
}

/// Encrypted or not.
pub(crate) fn writer(sealed: bool) -> Writer<Vec<u8>> {
    Writer::begin(Vec::new(), &header(), sealed.then(sealing)).unwrap()
}

pub(crate) const TEXT: &str = "the secret plan of db1";

/// A few frames, in three segments: six minutes pass twice.
pub(crate) fn recording(sealed: bool) -> Vec<u8> {
    let minute = 60_000_000;
    let mut writer = writer(sealed);
    writer.write(1, Kind::Output, b"login\r\n").unwrap();
    writer.write(2, Kind::Output, TEXT.as_bytes()).unwrap();
    writer
        .write(6 * minute, Kind::Output, &[0xff, 0xfe, 0x00])
        .unwrap();
    writer
        .write(6 * minute + 1, Kind::Resize, b"100x40")
        .unwrap();
    writer.write(7 * minute, Kind::Keepalive, b"").unwrap();
    writer
        .write(13 * minute, Kind::Output, b"exit\r\n")
        .unwrap();
    writer.write(13 * minute + 1, Kind::Exit, b"0").unwrap();
    writer.end(13 * minute + 2).unwrap().0
}

/// Where each block begins, and where the last one ends.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut starts = vec![8 + 4 + number(8) + 32];
    while *starts.last().unwrap() < bytes.len() {
        let at = *starts.last().unwrap();
        starts.push(at + 13 + number(at + 1) + 32);
    }
    starts
}

/// Every frame up to the end or a fault.
pub(crate) fn frames<R: Read>(input: R, keys: &Keys) -> Vec<Frame> {
    let mut reader = Reader::open(input, keys).unwrap();
    reader.frames().map_while(Result::ok).collect()
}

pub(crate) fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
