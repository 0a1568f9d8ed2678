//! What was changed, cut or taken away is told, and where.

use crate::shelf::{BEGAN, Frames, IDENTITY, Made, OTHER, SESSION, Shelf, header, id, lock, made};
use jump_recording::{Head, Kind};
use serde_json::{Value, json};
use std::fs;

/// An entry of the journal, as `journalctl -o json` writes it.
fn entry(id: &str, event: &str, seconds: i64, head: Option<&Head>) -> String {
    let mut entry = json!({
        "__REALTIME_TIMESTAMP": ((BEGAN + seconds) * 1_000_000).to_string(),
        "_SYSTEMD_UNIT": "jumpd.service", "SYSLOG_IDENTIFIER": "jumpd",
        "JUMP_EVENT": event, "JUMP_RECORDING": id,
    });
    if let Some(head) = head {
        entry["JUMP_SEQUENCE"] = head.sequence.to_string().into();
        entry["JUMP_HEAD"] = head.hash.to_string().into();
    }
    format!("{entry}\n")
}

/// What the journal has of a recording: begun, a checkpoint every second frame, sealed.
fn journal(made: &Made) -> String {
    let mut text = entry(&made.id, "recording.started", 0, None);
    for head in made.heads.iter().step_by(2) {
        text += &entry(&made.id, "recording.checkpoint", 1, Some(head));
    }
    if made.heads.len() > SESSION.len() {
        text += &entry(&made.id, "recording.sealed", 401, made.heads.last());
    }
    text
}

fn verdict(shelf: &Shelf, words: &[&str]) -> (i32, Value) {
    let (code, said) = shelf.json(&[&["verify"], words].concat());
    (code, said[0].clone())
}

#[test]
fn a_whole_recording_agrees_with_the_journal_with_a_key_and_without() {
    let shelf = Shelf::with_two();
    for (name, sealed) in [("aa", false), ("bb", true)] {
        let made = made(&header(&id(name)), SESSION, sealed, true);
        shelf.put(&made);
        let journal = shelf.write("journal", &journal(&made));
        let (code, said) = verdict(&shelf, &[name, "--journal", &journal]);
        assert_eq!((code, &said["verdict"]), (0, &"whole".into()), "{said}");
        assert_eq!(
            (&said["checkpoints"], &said["agreed"]),
            (&5.into(), &5.into())
        );
        assert_eq!(said["opened"], !sealed);
        assert_eq!(said["head"]["sequence"], 8);
        assert_eq!(said.get("byte"), None);
        let key = shelf.write("key", IDENTITY);
        let (code, said) = verdict(&shelf, &[name, "--journal", &journal, "--identity", &key]);
        assert_eq!((code, &said["opened"]), (0, &true.into()), "{said}");
        let key = shelf.write("other", OTHER);
        let words = ["verify", name, "--journal", &journal, "--identity", &key];
        let (code, said) = shelf.said(&words);
        assert!(
            code == 0 && said.contains("whole: 7 frames; agrees with 5"),
            "{said}"
        );
        assert_eq!(said.contains("none of the identities"), sealed, "{said}");
    }
}

#[test]
fn each_change_is_named_with_its_place_and_time() {
    let whole = made(&header(&id("aa")), SESSION, false, true);
    let blocks = blocks(&whole.bytes);
    let (second, third) = (blocks[2], blocks[3]);
    let mut flipped = whole.bytes.clone();
    flipped[third + 20] ^= 1;
    let mut dropped = whole.bytes.clone();
    dropped.drain(second..third);
    let mut repeated = whole.bytes.clone();
    repeated.splice(third..third, whole.bytes[second..third].to_vec());
    let mut appended = whole.bytes.clone();
    appended.extend_from_slice(b"more");
    let mut renamed = whole.bytes.clone();
    renamed[30] ^= 1;
    let cut = whole.bytes[..third].to_vec();
    let torn = whole.bytes[..third + 20].to_vec();
    let frame = |frame: u64, byte: usize, ms: u64| json!([frame, byte, ms]);
    for (what, bytes, place, words) in [
        (
            "flipped",
            flipped,
            frame(2, third, 2000),
            "the chain breaks",
        ),
        (
            "dropped",
            dropped,
            frame(1, second, 0),
            "dropped, moved, repeated or changed",
        ),
        (
            "repeated",
            repeated,
            frame(2, third, 2000),
            "dropped, moved, repeated or changed",
        ),
        (
            "appended",
            appended,
            frame(8, whole.bytes.len(), 401_000),
            "appended after the end",
        ),
        (
            "cut",
            cut,
            frame(2, third, 2000),
            "the journal knows of 8 frames",
        ),
        (
            "torn",
            torn,
            frame(2, third, 2000),
            "the journal knows of 8 frames",
        ),
        (
            "renamed",
            renamed,
            json!([0, 0, null]),
            "the header was changed",
        ),
    ] {
        let shelf = Shelf::new();
        let path = shelf.put(&whole);
        let journal = shelf.write("journal", &journal(&whole));
        fs::write(path, bytes).unwrap();
        let (code, said) = verdict(&shelf, &["--all", "--journal", &journal]);
        assert_eq!(
            (code, &said["verdict"]),
            (1, &"wrong".into()),
            "{what}: {said}"
        );
        let at = json!([said["frame"], said["byte"], said["at_ms"]]);
        assert_eq!(at, place, "{what}: {said}");
        assert!(
            said["sentence"].as_str().unwrap().contains(words),
            "{what}: {said}"
        );
        let (_, said) = shelf.said(&["verify", "--all", "--journal", &journal]);
        assert!(
            said.contains(&format!("WRONG at byte {}", place[1])),
            "{said}"
        );
    }
}

#[test]
fn without_a_key_the_segment_says_when() {
    let shelf = Shelf::new();
    let mut sealed = made(&header(&id("aa")), SESSION, true, true);
    let exit = blocks(&sealed.bytes)[8];
    sealed.bytes[exit + 20] ^= 1;
    shelf.put(&sealed);
    let (code, said) = verdict(&shelf, &["aa", "--no-journal"]);
    assert_eq!(
        (code, &said["frame"], &said["segment"]),
        (1, &6.into(), &1.into())
    );
    assert_eq!(said["at_ms"], 400_000);
}

#[test]
fn a_recording_that_was_written_anew_is_none_of_the_journals() {
    let shelf = Shelf::new();
    let whole = made(&header(&id("aa")), SESSION, false, true);
    let journal = shelf.write("journal", &journal(&whole));
    let harmless: Frames<'_> = &[(0, Kind::Output, b"db1$ "), (401, Kind::Exit, b"0")];
    shelf.put(&made(&header(&id("aa")), harmless, false, true));
    let (code, said) = verdict(&shelf, &["aa", "--journal", &journal]);
    assert_eq!((code, &said["verdict"]), (1, &"wrong".into()), "{said}");
    assert_eq!(
        shelf.said(&["verify", "aa", "--no-journal"]).0,
        0,
        "its chain holds"
    );

    let forged = made(&header(&id("bb")), harmless, false, true);
    shelf.put(&forged);
    let (code, said) = verdict(&shelf, &["bb", "--journal", &journal]);
    assert_eq!(code, 0, "the journal may begin later: {said}");
    let older =
        entry("other", "session.opened", -3600, None) + &fs::read_to_string(&journal).unwrap();
    let older = shelf.write("older", &older);
    let (code, said) = verdict(&shelf, &["bb", "--journal", &older]);
    assert!(
        code == 1
            && said["sentence"]
                .as_str()
                .unwrap()
                .contains("knows of no such"),
        "{said}"
    );

    let mut other = made(&header(&id("aa")), SESSION, false, true);
    other.id = id("cc");
    shelf.put(&other);
    let (code, said) = verdict(&shelf, &["cc", "--journal", &journal]);
    assert!(
        code == 1
            && said["sentence"]
                .as_str()
                .unwrap()
                .contains("name of another"),
        "{said}"
    );
    let copy = shelf.dir.path().join("copy.jrec");
    fs::copy(shelf.path(&id("cc")), &copy).unwrap();
    let (code, said) = verdict(&shelf, &[copy.to_str().unwrap(), "--journal", &journal]);
    assert_eq!((code, &said["recording"]), (0, &id("aa").into()), "{said}");
}

#[test]
fn one_that_runs_is_fine_up_to_its_end_and_one_that_broke_off_is_not() {
    let shelf = Shelf::new();
    let mut running = made(&header(&id("aa")), SESSION, false, false);
    running.bytes.extend_from_slice(b"F\x10");
    let path = shelf.put(&running);
    let text = journal(&running);
    let known = shelf.write("journal", &text);
    let words = ["aa", "--journal", &known];
    let (code, said) = verdict(&shelf, &words);
    assert_eq!((code, &said["verdict"]), (1, &"wrong".into()), "{said}");
    let recorder = lock(&path);
    let (code, said) = verdict(&shelf, &words);
    assert_eq!(
        (code, &said["verdict"], &said["agreed"]),
        (0, &"running".into(), &4.into()),
        "{said}"
    );
    fs::write(&path, &running.bytes[..running.bytes.len() - 80]).unwrap();
    let (code, said) = verdict(&shelf, &words);
    assert_eq!(
        (code, &said["verdict"]),
        (1, &"wrong".into()),
        "it was cut: {said}"
    );
    drop(recorder);
    shelf.put(&running);
    let failed = entry(&running.id, "recording.failed", 402, None);
    let known = shelf.write("journal", &(text + &failed));
    let (code, said) = verdict(&shelf, &["aa", "--journal", &known]);
    assert_eq!(
        (code, &said["verdict"]),
        (0, &"broken_off".into()),
        "{said}"
    );
}

#[test]
fn a_file_that_is_gone_is_missing_unless_the_journal_says_that_it_was_deleted() {
    let shelf = Shelf::new();
    let mut texts = Vec::new();
    for (name, stays) in [("aa", true), ("bb", true), ("cc", false), ("dd", false)] {
        let made = made(&header(&id(name)), SESSION, name == "bb", true);
        if stays {
            shelf.put(&made);
        }
        texts.push(journal(&made));
    }
    let deleted = entry(&id("dd"), "recording.deleted", 9000, None);
    let refused = entry(&id("ee"), "recording.failed", 9000, None);
    let journal = shelf.write("journal", &(texts.concat() + &deleted + &refused));
    let (code, said) = shelf.json(&["verify", "--all", "--journal", &journal]);
    let verdicts: Vec<_> = said
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (&v["recording"], &v["verdict"]))
        .collect();
    assert_eq!(code, 1);
    assert_eq!(
        verdicts,
        [
            (&id("aa").into(), &"whole".into()),
            (&id("bb").into(), &"whole".into()),
            (&id("cc").into(), &"missing".into()),
        ]
    );
    let one = |name: &str| verdict(&shelf, &[name, "--journal", &journal]);
    assert_eq!(one("cc").1["verdict"], "missing");
    assert_eq!(
        (one("dd").0, &one("dd").1["verdict"]),
        (0, &"deleted".into())
    );
    let (code, said) = shelf.said(&["verify", "ff", "--journal", &journal]);
    assert!(
        code == 2 && said.contains("no recording whose id begins with"),
        "{said}"
    );
}

#[test]
fn entries_that_are_not_jumpds_are_counted_and_ignored() {
    let shelf = Shelf::with_two();
    let whole = made(&header(&id("aa")), SESSION, false, true);
    let forged = journal(&whole).replace("jumpd.service", "evil.service");
    let journal = shelf.write("journal", &forged);
    let (code, said) = shelf.said(&["verify", "aa", "--journal", &journal]);
    assert_eq!(code, 0);
    assert!(
        said.contains("compared with nothing") && said.contains("6 entries"),
        "{said}"
    );
}

/// Where each block begins, and where the last one ends.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut starts = vec![8 + 4 + number(8) + 32];
    while *starts.last().unwrap() < bytes.len() {
        let at = *starts.last().unwrap();
        starts.push(at + 13 + number(at + 1) + 32);
    }
    starts
}
