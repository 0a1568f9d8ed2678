//! H5: a process killed at any moment leaves the old record or the new one, and what it had accepted stays used.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// The part of [`h5_a_killed_process_leaves_a_whole_record`] that is killed: accepts one step after another.
#[test]
fn a_process_to_be_killed() {
    let (Ok(path), Ok(key), Ok(from)) = (
        std::env::var("JUMP_MFA_TEST_STORE"),
        std::env::var("JUMP_MFA_TEST_KEY"),
        std::env::var("JUMP_MFA_TEST_FROM"),
    ) else {
        return;
    };
    let store = open(path);
    let mut at: i64 = from.parse().unwrap();
    println!("ready");
    loop {
        at += 30;
        assert_eq!(ask(&store, &code(&key, at), at), totp());
        println!("{at}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn h5_a_killed_process_leaves_a_whole_record() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let mut at = NOW;
    for round in 0..25u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::crash::a_process_to_be_killed",
                "--nocapture",
            ])
            .env("JUMP_MFA_TEST_STORE", t.dir.path())
            .env("JUMP_MFA_TEST_KEY", &key)
            .env("JUMP_MFA_TEST_FROM", at.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines.next().unwrap().unwrap() != "ready" {}
        std::thread::sleep(Duration::from_micros(1700 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = lines
            .map_while(Result::ok)
            .filter_map(|l| l.parse::<i64>().ok())
            .last();
        let last = t.store.read(&alice()).unwrap().unwrap().last_step();
        let told = told.unwrap_or(at);
        // At most the one that was under way is further than what was told.
        let last = last.map_or(NOW, |step| step.cast_signed() * 30 + NOW % 30);
        assert!(
            last == told || last == told + 30,
            "round {round}: {last} after {told}"
        );
        if told > NOW {
            assert_eq!(ask(&t.store, &code(&key, told), told), Verdict::Replayed);
        }
        at = last.max(told);
    }
    assert_eq!(ask(&t.store, &code(&key, at + 30), at + 30), totp());
}

#[test]
fn what_a_crash_left_behind_is_cleared_away() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    std::fs::write(t.store.path().join("70001.new"), "half a rec").unwrap();
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
    assert!(!t.store.path().join("70001.new").exists());
}
