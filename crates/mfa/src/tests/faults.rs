//! H4, H6, H7, H8: a store that is full, read-only, planted, damaged or somebody else's refuses and keeps what it had.

use super::*;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::process::Command;

fn record(t: &Temporary) -> PathBuf {
    t.store.path().join("70001.json")
}

fn write_private(path: &std::path::Path, bytes: &[u8]) {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    std::io::Write::write_all(&mut options.open(path).unwrap(), bytes).unwrap();
}

fn refusal(t: &Temporary, typed: &str) -> String {
    let began = std::time::Instant::now();
    let error = verify(&t.store, &alice(), typed, NOW, &LIMITS).unwrap_err();
    // H8: not even a FIFO makes it wait.
    assert!(began.elapsed() < Duration::from_millis(500));
    error.to_string()
}

#[test]
fn h8_a_planted_record_is_refused_at_once() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let typed = code(&key, NOW);
    let aside = t.dir.path().join("aside.json");
    std::fs::rename(record(&t), &aside).unwrap();

    symlink(&aside, record(&t)).unwrap();
    assert!(refusal(&t, &typed).contains("is a symbolic link"));
    std::fs::remove_file(record(&t)).unwrap();

    std::fs::hard_link(&aside, record(&t)).unwrap();
    assert!(refusal(&t, &typed).contains("hard link"));
    std::fs::remove_file(record(&t)).unwrap();

    std::fs::create_dir(record(&t)).unwrap();
    assert!(refusal(&t, &typed).contains("not a regular file"));
    std::fs::remove_dir(record(&t)).unwrap();

    rustix::fs::mknodat(
        rustix::fs::CWD,
        record(&t),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(refusal(&t, &typed).contains("not a regular file"));
    std::fs::remove_file(record(&t)).unwrap();

    std::fs::rename(&aside, record(&t)).unwrap();
    assert_eq!(ask(&t.store, &typed, NOW), totp());
}

#[test]
fn h8_a_planted_lock_is_refused_at_once() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let lock = t.store.path().join("70001.lock");
    std::fs::remove_file(&lock).unwrap();
    symlink("/dev/null", &lock).unwrap();
    assert!(refusal(&t, &code(&key, NOW)).contains("is a symbolic link"));
    std::fs::remove_file(&lock).unwrap();
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}

#[test]
fn a_record_that_others_can_read_is_refused() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    for mode in [0o640, 0o604, 0o620, 0o602] {
        std::fs::set_permissions(record(&t), PermissionsExt::from_mode(mode)).unwrap();
        assert!(refusal(&t, &code(&key, NOW)).contains("can be used by others"));
    }
    std::fs::set_permissions(record(&t), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(t.store.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert!(refusal(&t, &code(&key, NOW)).contains("mode 0755"));
    assert!(FileStore::open(t.dir.path(), keys()).is_err());
}

#[test]
fn a_record_of_somebody_else_is_refused() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let typed = code(&key, NOW);
    // The uid was given to someone else.
    let bob = Who {
        user: "bob".to_owned(),
        ..alice()
    };
    let error = verify(&t.store, &bob, &typed, NOW, &LIMITS).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is the record of \"alice\" (uid 70001), not of \"bob\" (uid 70001)"),
        "{error}"
    );
    assert!(reset(&t.store, &bob).is_err());
    // The file was copied to another user's place.
    std::fs::copy(record(&t), t.store.path().join("70002.json")).unwrap();
    let carol = Who {
        uid: 70002,
        user: "alice".to_owned(),
    };
    assert!(verify(&t.store, &carol, &typed, NOW, &LIMITS).is_err());
    let listed = list(&t.store, NOW).unwrap();
    assert_eq!(
        listed.iter().map(|(uid, _)| *uid).collect::<Vec<_>>(),
        [70001, 70002]
    );
    assert!(listed[0].1.is_ok() && listed[1].1.is_err());
}

#[test]
fn h9_a_damaged_record_is_refused_whatever_the_damage() {
    // In the clear, as a release without seals left it.
    let t = temporary_without_key();
    write_private(&record(&t), include_bytes!("record-v1.json"));
    let key = "O2L6OTEB2ODPTVKLCBKWJKMEZNC6NGWY";
    ask(&t.store, "no code", NOW);
    let good = std::fs::read(record(&t)).unwrap();
    for length in 0..good.len() - 2 {
        write_private(&record(&t), &good[..length]);
        refusal(&t, &code(key, NOW));
    }
    for (from, to) in [
        ("\"version\": 2", "\"version\": 3"),
        ("\"digits\": 6", "\"digits\": 1"),
        ("\"digits\": 6", "\"digits\": 7"),
        ("\"period_s\": 30", "\"period_s\": 0"),
        ("\"memory_kib\": 19456", "\"memory_kib\": 4294967295"),
        ("\"passes\": 2", "\"passes\": 4000000000"),
        ("\"wrong\": 1", "\"wrong\": -1"),
        ("\"wrong\": 1", "\"wrong\": 1, \"unknown\": 1"),
        ("SHA1", "MD5"),
    ] {
        let text = String::from_utf8(good.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        write_private(&record(&t), text.replace(from, to).as_bytes());
        let error = refusal(&t, &code(key, NOW));
        assert!(error.contains("70001.json"), "{error}");
    }
    write_private(&record(&t), &vec![b' '; 40_000]);
    assert!(refusal(&t, "123456").contains("too large"));
    write_private(&record(&t), &good);
    assert_eq!(ask(&t.store, &code(key, NOW), NOW), totp());
}

#[test]
fn h9_a_sealed_record_is_refused_whichever_byte_is_damaged() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let good = std::fs::read(record(&t)).unwrap();
    for at in 0..good.len() {
        for flipped in [good[at] ^ 1, good[at] ^ 0x20] {
            // White space is no part of it, and the end of the line need not be there.
            if good[at].is_ascii_whitespace() {
                continue;
            }
            let mut bytes = good.clone();
            bytes[at] = flipped;
            write_private(&record(&t), &bytes);
            refusal(&t, &code(&key, NOW));
        }
    }
    write_private(&record(&t), &good);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}

#[test]
fn a_store_that_is_gone_or_is_no_directory_is_an_error() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    std::fs::rename(t.store.path(), t.dir.path().join("elsewhere")).unwrap();
    assert!(refusal(&t, &code(&key, NOW)).contains("cannot open"));
    symlink(t.dir.path().join("elsewhere"), t.store.path()).unwrap();
    assert!(refusal(&t, &code(&key, NOW)).contains("cannot open"));
    for state in [
        t.dir.path(),
        "/dev/null".as_ref(),
        &t.dir.path().join("a/b"),
    ] {
        assert!(FileStore::open(state, keys()).is_err());
    }
}

/// The part of [`h4_what_cannot_be_kept_is_denied`] that runs in a mount namespace of its own.
#[test]
fn in_a_mount_namespace() {
    let Ok(path) = std::env::var("JUMP_MFA_TEST_MOUNT") else {
        return;
    };
    let mount = |arguments: &str| {
        let done = Command::new("mount")
            .args(arguments.split(' '))
            .arg(&path)
            .status();
        assert!(done.unwrap().success(), "mount {arguments}");
    };
    mount("-t tmpfs -o size=64k,mode=0700 tmpfs");
    let store = open(&path);
    let (key, codes) = enrol(&store);
    let file = PathBuf::from(&path).join("mfa/70001.json");
    let before = std::fs::read(&file).unwrap();

    // ENOSPC
    let filler = PathBuf::from(&path).join("filler");
    let mut full = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut full, &[0; 512]).is_ok() {}
    unchanged_and_denied(&store, &key, &codes, &file, &before);
    drop(full);
    std::fs::remove_file(&filler).unwrap();

    // EROFS
    mount("-o remount,ro tmpfs");
    unchanged_and_denied(&store, &key, &codes, &file, &before);
    mount("-o remount,rw tmpfs");

    assert_eq!(ask(&store, &code(&key, NOW), NOW), totp());
    println!("all held");
}

fn unchanged_and_denied(
    store: &FileStore,
    key: &str,
    codes: &[String],
    file: &std::path::Path,
    before: &[u8],
) {
    let wrong = wrong_code(key, NOW);
    for typed in [code(key, NOW), codes[0].clone(), wrong] {
        let answer = verify(store, &alice(), &typed, NOW, &LIMITS);
        assert!(matches!(answer, Err(StoreError::Io { .. })), "{answer:?}");
        assert_eq!(std::fs::read(file).unwrap(), before);
    }
    assert!(begin_enrolment(store, &alice(), "b", NOW, false).is_err());
    assert!(unlock(store, &alice()).is_err());
    assert_eq!(std::fs::read(file).unwrap(), before);
}

#[test]
fn h4_what_cannot_be_kept_is_denied() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tests::faults::in_a_mount_namespace",
            "--nocapture",
        ])
        .env("JUMP_MFA_TEST_MOUNT", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("all held"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
