//! What stood on the screen is found without playing it.

use crate::shelf::{IDENTITY, OTHER, SESSION, Shelf, header, id, made};
use jump_recording::Kind;
use std::fs;

#[test]
fn a_line_is_printed_with_its_recording_and_its_time() {
    let shelf = Shelf::new();
    shelf.put(&made(&header(&id("aa")), SESSION, false, true));
    let found = "aa000000  0:00:03.000  DROP TABLE customers;\n";
    for words in [
        &["DROP T[A-Z]+E"][..],
        &["-i", "drop table"],
        &["-F", "customers;"],
        &["DROP", "--user", "alice", "--target", "db1"],
        &[
            "DROP",
            "--since",
            "2026-03-02 14:00:03",
            "--until",
            "2026-03-02 14:00:04",
        ],
    ] {
        let said = shelf.said(&[&["grep"], words].concat());
        assert_eq!(said, (0, found.to_owned()), "{words:?}");
    }
    for words in [
        &["drop table"][..],
        &["-F", "DROP.TABLE"],
        &["DROP", "--user", "bob"],
        &["DROP", "--since", "2026-03-02 14:00:04"],
    ] {
        let said = shelf.said(&[&["grep"], words].concat());
        assert_eq!(said, (1, String::new()), "{words:?}");
    }
    let (code, said) = shelf.said(&["grep", "("]);
    assert!(code == 2 && said.contains("-F"), "{said}");
    let (code, said) = shelf.json(&["grep", "DROP"]);
    assert_eq!(code, 0);
    assert_eq!(said[0]["recording"], id("aa"));
    assert_eq!(said[0]["at_ms"], 3000);
    assert_eq!(said[0]["time"], "2026-03-02T14:00:03Z");
    assert_eq!(said[0]["line"], "DROP TABLE customers;");
}

#[test]
fn nothing_found_is_only_said_of_what_was_looked_into() {
    let shelf = Shelf::with_two();
    let key = shelf.write("key", IDENTITY);
    let other = shelf.write("other", OTHER);
    let (code, said) = shelf.said(&["grep", "customers"]);
    assert_eq!((code, said.lines().count()), (0, 2), "{said}");
    assert!(
        said.contains("one encrypted recording was not searched"),
        "{said}"
    );
    let (code, said) = shelf.said(&["grep", "customers", "--identity", &key]);
    assert_eq!((code, said.lines().count()), (0, 2), "{said}");
    assert_eq!(shelf.said(&["grep", "nowhere"]).0, 2);
    assert_eq!(shelf.said(&["grep", "nowhere", "--identity", &other]).0, 2);
    assert_eq!(shelf.said(&["grep", "nowhere", "--identity", &key]).0, 1);
    let mut bytes = fs::read(shelf.path(&id("aa"))).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(shelf.path(&id("aa")), bytes).unwrap();
    let (code, said) = shelf.said(&["grep", "nowhere", "--identity", &key]);
    assert!(code == 2 && said.contains("the chain breaks"), "{said}");
}

#[test]
fn what_is_found_does_not_steer_the_auditors_terminal() {
    let shelf = Shelf::new();
    let hostile = "found \u{1b}]0;title\u{7}\u{9b}5i\u{202e}here\u{200b}".as_bytes();
    let frames: &[(u64, Kind, &[u8])] = &[(1, Kind::Output, hostile)];
    shelf.put(&made(&header(&id("aa")), frames, false, true));
    let (code, said) = shelf.said(&["grep", "found"]);
    assert_eq!(code, 0);
    let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
    assert!(!said.contains(acts) && said.contains("here"), "{said:?}");
}
