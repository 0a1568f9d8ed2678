//! Which recordings there are.

use crate::shelf::{IDENTITY, OTHER, SESSION, Shelf, header, id, lock, made};
use jump_recording::Kind;
use serde_json::Value;
use std::fs;

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| &item["recording"].as_str().unwrap()[..2])
        .collect()
}

#[test]
fn a_list_says_who_where_when_and_how_it_ended() {
    let shelf = Shelf::with_two();
    let (code, said) = shelf.said(&["list"]);
    assert_eq!(code, 0, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        [
            "aa000000",
            "Mon",
            "2026-03-02",
            "14:00:00",
            "UTC",
            "0:06:41",
            "alice",
            "db1",
            "1.1",
            "kB",
            "complete"
        ],
        "{said}"
    );
    assert!(lines[2].starts_with("bb000000") && lines[2].ends_with("complete  encrypted"));
    assert_eq!(shelf.said(&[]).1, said, "listing is what it does by itself");
    let (code, list) = shelf.json(&["list"]);
    let first = &list[0];
    assert_eq!(code, 0);
    assert_eq!(first["recording"], id("aa"));
    assert_eq!(first["began"], "2026-03-02T14:00:00Z");
    assert_eq!(first["duration_ms"], 401_000);
    assert_eq!(first["state"], "complete");
    assert_eq!(first["exit"], 3);
    assert_eq!(first["login"], "admin");
    assert_eq!(list[1]["sealed"], true);
}

#[test]
fn recordings_are_sorted_by_time_and_chosen_by_who_where_and_when() {
    let shelf = Shelf::new();
    for (name, user, target, hour) in [
        ("cc", "alice", "db1", 0),
        ("aa", "bob", "db2", 2),
        ("bb", "alice", "web1", 1),
    ] {
        let mut header = header(&id(name));
        header.timestamp += hour * 3600;
        header.facts.user = user.to_owned();
        header.facts.target = target.to_owned();
        shelf.put(&made(&header, SESSION, false, true));
    }
    for (words, wanted) in [
        (&[][..], &["cc", "bb", "aa"][..]),
        (&["--user", "alice"], &["cc", "bb"]),
        (&["--target", "db*"], &["cc", "aa"]),
        (&["--target", "DB1"], &["cc"]),
        (&["--target", "10.20.0.1"], &["cc", "bb", "aa"]),
        (&["--target", "10.20.0.1:22", "--user", "bob"], &["aa"]),
        (&["--session", "5E55"], &["cc", "bb", "aa"]),
        (&["--since", "2026-03-02 14:06:42"], &["bb", "aa"]),
        (&["--since", "2026-03-02 14:06:41"], &["cc", "bb", "aa"]),
        (&["--until", "2026-03-02 15:00"], &["cc"]),
        (
            &[
                "--since",
                "2026-03-02T15:00:00Z",
                "--until",
                "2026-03-02T16:00:00Z",
            ],
            &["bb"],
        ),
        (&["--text", "drop table CUST", "--user", "bob"], &["aa"]),
    ] {
        let (code, list) = shelf.json(&[&["list"], words].concat());
        assert_eq!((code, names(&list)), (0, wanted.to_vec()), "{words:?}");
    }
    for words in [
        ["--user", "eve"],
        ["--target", "db"],
        ["--since", "-1h"],
        ["--text", "no such text"],
    ] {
        let (code, list) = shelf.json(&[&["list"][..], &words].concat());
        assert_eq!((code, names(&list)), (1, vec![]), "{words:?}");
    }
    assert_eq!(shelf.said(&["list", "--since", "tomorrow"]).0, 2);
}

#[test]
fn text_is_looked_for_where_a_key_opens_it() {
    let shelf = Shelf::with_two();
    let key = shelf.write("key", IDENTITY);
    let other = shelf.write("other", OTHER);
    let search = |more: &[&str]| shelf.json(&[&["list", "--text", "customers"], more].concat());
    let (code, list) = search(&[]);
    assert_eq!((code, names(&list)), (0, vec!["aa", "bb"]));
    assert_eq!(
        (&list[0]["searched"], &list[1]["searched"]),
        (&true.into(), &false.into())
    );
    let (_, list) = search(&["--identity", &other]);
    assert_eq!(list[1]["searched"], false);
    let (code, list) = search(&["--identity", &key]);
    assert_eq!(code, 0);
    assert_eq!(list[1]["searched"], true);
    let (code, said) = shelf.said(&["list", "--text", "nothing like it"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("not searched") && said.contains("--identity"),
        "{said}"
    );
}

#[test]
fn one_that_runs_and_one_that_broke_off_are_told_apart() {
    let shelf = Shelf::new();
    let path = shelf.put(&made(&header(&id("aa")), SESSION, false, false));
    shelf.put(&made(&header(&id("bb")), SESSION, true, false));
    let torn = made(&header(&id("cc")), SESSION, false, true);
    fs::write(shelf.path(&torn.id), &torn.bytes[..torn.bytes.len() - 300]).unwrap();
    let states = || {
        let (_, list) = shelf.json(&["list"]);
        let state = |item: &Value| item["state"].as_str().unwrap().to_owned();
        list.as_array()
            .unwrap()
            .iter()
            .map(state)
            .collect::<Vec<_>>()
    };
    assert_eq!(states(), ["broken_off"; 3]);
    let (_, said) = shelf.said(&["list"]);
    assert!(
        said.contains("0:06:41   alice") && said.contains("0:06:40+"),
        "{said}"
    );
    let recorder = lock(&path);
    assert_eq!(states(), ["running", "broken_off", "broken_off"]);
    drop(recorder);
    fs::write(path.with_extension("position"), "{}").unwrap();
    assert_eq!(states()[0], "running", "its recorder is being replaced");
}

#[test]
fn what_is_no_recording_is_named_and_the_others_are_listed() {
    let shelf = Shelf::with_two();
    fs::write(shelf.path("cc"), "no recording").unwrap();
    fs::write(shelf.path("dd\u{1b}[2J"), "no recording").unwrap();
    let (code, said) = shelf.said(&["list"]);
    assert_eq!(code, 0);
    assert!(said.contains("cc.jrec: this is not a recording"), "{said}");
    assert!(said.contains("dd\\u{1b}[2J.jrec"), "{said}");
    assert_eq!(said.matches("complete").count(), 2);
}

#[test]
fn nothing_that_was_recorded_steers_the_auditors_terminal() {
    let hostile = "\u{1b}]0;pwned\u{7}\u{9b}2J\r\n\u{202e}<script>";
    let mut header = header(&id("aa"));
    let facts = &mut header.facts;
    for field in [
        &mut facts.user,
        &mut facts.target,
        &mut facts.rule,
        &mut facts.session,
    ] {
        *field = hostile.to_owned();
    }
    let screen: (u64, Kind, &[u8]) = (1, Kind::Output, b"x");
    let shelf = Shelf::new();
    shelf.put(&made(&header, &[screen], false, true));
    let (code, said) = shelf.said(&["list"]);
    assert_eq!(code, 0);
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(acts), "{said:?}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let shelf = Shelf::new();
    let (code, said) = shelf.said(&["list"]);
    assert_eq!((code, said.as_str()), (0, "No recordings.\n"));
    fs::remove_dir_all(shelf.dir.path()).unwrap();
    let (code, said) = shelf.said(&["list"]);
    assert!(code == 2 && said.contains("cannot read"), "{said}");
}
