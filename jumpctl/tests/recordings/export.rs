//! A recording is taken away.

use crate::shelf::{IDENTITY, OTHER, Shelf, id};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn each_format_goes_to_a_new_file_of_the_auditors_alone() {
    let shelf = Shelf::with_two();
    let key = shelf.write("key", IDENTITY);
    for (format, holds) in [
        ("cast", "{\"version\":3"),
        ("txt", "0:00:03.000  DROP TABLE customers;"),
        ("html", "DROP TABLE customers;"),
    ] {
        for name in ["aa", "bb"] {
            let file = shelf.dir.path().join(format!("{name}.{format}"));
            let words = ["export", name, "--format", format, "--identity", &key, "-o"];
            let words = [&words[..], &[file.to_str().unwrap()]].concat();
            let (code, said) = shelf.json(&words);
            assert_eq!((code, &said["format"]), (0, &format.into()), "{said}");
            assert!(
                fs::read_to_string(&file).unwrap().contains(holds),
                "{format}"
            );
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600
            );
            let (code, said) = shelf.said(&words);
            assert!(
                code == 2 && said.contains("cannot create"),
                "nothing is overwritten: {said}"
            );
        }
    }
    let (code, said) = shelf.said(&["export", "aa", "--format", "txt"]);
    assert!(
        code == 0 && said.contains("DROP TABLE customers;"),
        "{said}"
    );
    assert_eq!(
        shelf.json(&["export", "aa", "--format", "txt"]).0,
        2,
        "JSON and text would mix"
    );
}

#[test]
fn a_key_that_does_not_fit_is_told_and_leaves_no_file() {
    let shelf = Shelf::with_two();
    let other = shelf.write("other", OTHER);
    let file = shelf.dir.path().join("out");
    let words = [
        "export",
        "bb",
        "--format",
        "txt",
        "-o",
        file.to_str().unwrap(),
    ];
    let (code, said) = shelf.said(&words);
    assert!(
        code == 2 && said.contains("--identity names") && said.contains("age1"),
        "{said}"
    );
    let (code, said) = shelf.said(&[&words[..], &["--identity", &other]].concat());
    assert!(
        code == 2 && said.contains("none of the keys given") && said.contains("age1"),
        "{said}"
    );
    let (code, said) = shelf.said(&[&words[..], &["--identity", "/nowhere"]].concat());
    assert!(code == 2 && said.contains("/nowhere"), "{said}");
    assert!(!file.exists());
}

#[test]
fn what_was_changed_is_exported_up_to_there_and_the_answer_is_no() {
    let shelf = Shelf::with_two();
    let path = shelf.path(&id("aa"));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let (code, said) = shelf.said(&["export", "aa", "--format", "txt"]);
    assert!(code == 0 && said.contains("it ends at byte"), "{said}");
    let mut changed = whole;
    let at = changed.len() - 300;
    changed[at] ^= 1;
    fs::write(&path, changed).unwrap();
    let (code, said) = shelf.said(&["export", "aa", "--format", "txt"]);
    assert!(code == 1 && said.contains("the chain breaks"), "{said}");
}
