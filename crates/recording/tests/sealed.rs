//! What is encrypted is read by the auditors and by nobody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shared;

use jump_recording::{KeyError, Keys, Kind, Problem, Reader, Sealing, WriteError, Writer, verify};
use shared::{IDENTITY, RECIPIENT, TEXT, contains, frames, header, keys, recording, writer};

#[test]
fn without_the_identity_nothing_of_the_screen_is_in_the_file() {
    let bytes = recording(true);
    for secret in [
        &b"login\r\n"[..],
        b"secret",
        b"plan",
        b"exit\r\n",
        b"100x40",
    ] {
        assert!(!contains(&bytes, secret), "{secret:?}");
        assert!(
            contains(&recording(false), secret),
            "short frames are not compressed away"
        );
    }
    assert!(contains(&bytes, b"alice"), "what it is of can be listed");
    let mut reader = Reader::open(&bytes[..], &Keys::none()).unwrap();
    let fault = reader.next_frame().unwrap_err();
    assert!(matches!(fault.problem, Problem::NoKey), "{fault}");
    let report = verify(&bytes[..], &Keys::none(), &[]);
    assert!(
        report.good() && !report.opened,
        "it can be verified all the same"
    );
}

#[test]
fn with_the_identity_all_of_it_is_read() {
    let all = frames(&recording(true)[..], &keys());
    assert_eq!(all, frames(&recording(false)[..], &Keys::none()));
    assert_eq!(all[1].data, TEXT.as_bytes());
}

#[test]
fn another_identity_opens_nothing() {
    let other = "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU";
    let bytes = recording(true);
    let mut reader = Reader::open(&bytes[..], &Keys::parse(other).unwrap()).unwrap();
    let fault = reader.next_frame().unwrap_err();
    assert!(matches!(fault.problem, Problem::WrongKey), "{fault}");
    let both = Keys::parse(&format!("# mine\n{other}\n\n{IDENTITY}\n")).unwrap();
    assert_eq!(frames(&bytes[..], &both).len(), 7);
}

#[test]
fn the_keys_of_the_segments_are_never_in_the_file() {
    let bytes = recording(true);
    for segment in 1..=3_u8 {
        assert!(!contains(&bytes, &[segment; 32]));
    }
}

#[test]
fn the_same_text_is_never_the_same_bytes() {
    let mut writer = writer(true);
    for minute in 0..40_u64 {
        writer
            .write(minute * 60_000_000, Kind::Output, b"the same text")
            .unwrap();
    }
    let (bytes, _) = writer.end(0).unwrap();
    let starts = shared::blocks(&bytes);
    let mut payloads: Vec<&[u8]> = starts
        .windows(2)
        .filter(|block| bytes[block[0]] == b'F')
        .map(|block| &bytes[block[0] + 13..block[1] - 32])
        .collect();
    payloads.sort_unstable();
    payloads.dedup();
    assert_eq!(payloads.len(), 40);
}

#[test]
fn what_is_no_key_is_refused_and_never_repeated() {
    let random = |_: &mut [u8]| Ok(());
    for wrong in ["", "age1", IDENTITY, "ssh-ed25519 AAAA"] {
        assert!(matches!(
            Sealing::to(&[wrong], random),
            Err(KeyError::Recipient(_))
        ));
    }
    assert!(matches!(
        Sealing::to::<&str>(&[], random),
        Err(KeyError::None)
    ));
    assert_eq!(
        Keys::parse("# only a comment\n").err(),
        Some(KeyError::None)
    );
    let said = Keys::parse(&format!("\n{IDENTITY}X\n")).unwrap_err();
    assert_eq!(said, KeyError::Identity(2));
    assert!(!said.to_string().contains("GFPYY"));
    assert!(!format!("{:?}", keys()).contains("GFPYY"));
}

#[test]
fn without_random_bytes_nothing_is_written() {
    let dry = |_: &mut [u8]| Err(std::io::Error::other("no entropy"));
    let sealing = Sealing::to(&[RECIPIENT], dry).unwrap();
    let mut writer = Writer::begin(Vec::new(), &header(), Some(sealing)).unwrap();
    let before = writer.get_ref().len();
    assert!(matches!(
        writer.write(1, Kind::Output, b"x"),
        Err(WriteError::Io(_))
    ));
    assert!(matches!(
        writer.write(1, Kind::Output, b"x"),
        Err(WriteError::Ended)
    ));
    assert_eq!(writer.get_ref().len(), before);
}
