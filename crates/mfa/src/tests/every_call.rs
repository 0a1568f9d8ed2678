//! H4, H5: whichever system call of the store fails, and wherever the process
//! dies, each record is afterwards the old one or the new one, what was
//! accepted stays used, and nobody is locked out.
//!
//! Each operation is first done once to count its calls, then once per call
//! and fault on a fresh copy of the same state: every call, not a sample.

use super::*;
use crate::file_store::fault::{Fault, calls, plan};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// What is done to the store. Each begins with alice enrolled with [`USED`] accepted, and bob enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Code,
    RecoveryCode,
    WrongCode,
    Unlock,
    Enrol,
    EnrolAgain,
    Confirm,
    NewRecoveryCodes,
    Reset,
    Invite,
    EnrolInvited,
    Restore,
    RestoreReplace,
    Rekey,
    Open,
    Upgrade,
    AfterACrash,
}

macro_rules! deeds {
    ($($deed:ident: $name:ident,)*) => {
        const DEEDS: &[Deed] = &[$(Deed::$deed,)*];
        mod h4_whichever_call_fails_the_record_is_the_old_or_the_new_one {
            $(#[test]
            fn $name() {
                super::each_call_fails(super::Deed::$deed);
            })*
        }
        mod h5_killed_at_whichever_call_the_record_is_the_old_or_the_new_one {
            $(#[test]
            fn $name() {
                super::killed_at_each_call(super::Deed::$deed);
            })*
        }
    };
}

deeds! {
    Code: code,
    RecoveryCode: recovery_code,
    WrongCode: wrong_code,
    Unlock: unlock,
    Enrol: enrol,
    EnrolAgain: enrol_again,
    Confirm: confirm,
    NewRecoveryCodes: new_recovery_codes,
    Reset: reset,
    Invite: invite,
    EnrolInvited: enrol_invited,
    Restore: restore,
    RestoreReplace: restore_replace,
    Rekey: rekey,
    Open: open,
    Upgrade: upgrade,
    AfterACrash: after_a_crash,
}

/// When alice's first code was accepted.
const USED: i64 = NOW - 60;

fn bob() -> Who {
    Who {
        uid: 70002,
        user: "bob".to_owned(),
    }
}

/// A state to begin with, and what is known of it.
struct Beginning {
    dir: TempDir,
    key: String,
    codes: Vec<String>,
    pending: String,
    invitation: Secret,
    draft: Draft,
    backup: Secret,
}

const NEW_KEY: &str =
    "ffeeddccbbaa9988:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n";

fn both_keys() -> KeyRing {
    KeyRing::parse(&format!("{NEW_KEY}{KEY}")).unwrap()
}

impl Beginning {
    fn of(deed: Deed) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let (key, codes) = enrol(&store);
        begin_enrolment(&store, &bob(), "b", NOW, false).unwrap();
        assert_eq!(ask(&store, &code(&key, USED), USED), totp());
        ask(&store, &wrong_code(&key, USED), USED);
        let (mut backup, _) = export(&store).unwrap();
        let draft = Draft::new(&alice(), "b", NOW, Params::default()).unwrap();
        let (pending, invitation) = if deed == Deed::EnrolInvited {
            let invitation = invite(&store, &alice(), NOW, NOW + 3600).unwrap();
            (draft.shown.secret_base32.expose().to_owned(), invitation)
        } else {
            let pending = begin_enrolment(&store, &alice(), "b", NOW, true).unwrap();
            let none = Secret::new(String::new());
            (pending.secret_base32.expose().to_owned(), none)
        };
        let mut key = key;
        match deed {
            Deed::Open => {
                // As the package leaves it before the first start.
                for name in ["mfa", "watermarks"] {
                    fs::remove_dir_all(dir.path().join(name)).unwrap();
                }
                fs::remove_file(dir.path().join("identity")).unwrap();
            }
            Deed::Upgrade => {
                fs::remove_file(dir.path().join("watermarks/70001")).unwrap();
                let old = include_str!("record-v1.json");
                fs::write(dir.path().join("mfa/70001.json"), old).unwrap();
                key = "O2L6OTEB2ODPTVKLCBKWJKMEZNC6NGWY".to_owned();
            }
            Deed::AfterACrash => {
                // The record came into its place, its watermark did not.
                let watermark = dir.path().join("watermarks/70001");
                let before = fs::read(&watermark).unwrap();
                ask(&store, &codes[9], NOW);
                fs::write(&watermark, before).unwrap();
            }
            _ => {}
        }
        Self {
            dir,
            key,
            codes,
            pending,
            invitation,
            draft,
            // Alice's; of bob nothing changes.
            backup: backup
                .drain(..)
                .find(|text| text.expose().contains("\"alice\""))
                .unwrap(),
        }
    }

    /// The same state elsewhere.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(self.dir.path(), copy.path());
        copy
    }

    /// Does it; `Err` is a denial. An answer that lets somebody in, or is wrong, panics where it should not come.
    fn act(&self, deed: Deed, state: &Path) -> Result<(), StoreError> {
        let planned = PLANNED.get();
        let store = if deed == Deed::Open {
            plan(planned);
            FileStore::open(state, keys())?
        } else {
            let store = open(state);
            plan(planned);
            store
        };
        let judge = |store: &FileStore, typed: &str| verify(store, &alice(), typed, NOW, &LIMITS);
        match deed {
            Deed::Code | Deed::Upgrade | Deed::AfterACrash => {
                assert_eq!(judge(&store, &code(&self.key, NOW))?, totp());
            }
            Deed::RecoveryCode => assert_eq!(judge(&store, &self.codes[0])?, recovery(9)),
            Deed::WrongCode => {
                let verdict = judge(&store, &wrong_code(&self.key, NOW))?;
                assert!(matches!(verdict, Verdict::Wrong { failures: 2, .. }));
            }
            Deed::Unlock => unlock(&store, &alice())?,
            Deed::Enrol => drop(begin_enrolment(&store, &carol(), "b", NOW, false)?),
            Deed::EnrolAgain => drop(begin_enrolment(&store, &alice(), "b", NOW, false)?),
            Deed::Confirm => {
                let typed = code(&self.pending, NOW);
                let answer = confirm_enrolment(&store, &alice(), &typed, NOW)?;
                assert_eq!(answer, Confirmation::Confirmed);
            }
            Deed::NewRecoveryCodes => drop(new_recovery_codes(&store, &alice())?),
            Deed::Reset => reset(&store, &alice())?,
            Deed::Invite => drop(invite(&store, &alice(), NOW, NOW + 3600)?),
            Deed::EnrolInvited => {
                let (text, typed) = (self.invitation.expose(), code(&self.pending, NOW));
                let done =
                    enrol_invited(&store, &alice(), &desk(), text, &self.draft, &typed, NOW)?;
                assert_eq!(done, Confirmation::Confirmed);
            }
            Deed::Restore | Deed::RestoreReplace => {
                let replace = [alice().user];
                let terms = Terms {
                    replace: if deed == Deed::Restore { &[] } else { &replace },
                    ..Terms::default()
                };
                let (who, _) = restore(&store, &self.backup, NOW, terms)?;
                assert_eq!(who, alice());
            }
            Deed::Rekey => {
                assert_eq!(store.rekey(both_keys())?.sealed, 2);
            }
            Deed::Open => {}
        }
        Ok(())
    }

    /// Whatever happened, the store is whole; `told` is whether the deed was said to be done.
    fn check(&self, deed: Deed, state: &Path, told: bool, case: &str) {
        let store = FileStore::open(state, both_keys()).unwrap_or_else(|e| panic!("{case}: {e}"));
        for (uid, record) in list(&store, NOW).unwrap() {
            let stuck = deed == Deed::Reset && uid == 70001;
            match record {
                Ok(_) => {}
                // Alice was to be forgotten, and is refused until that is done.
                Err(e) if stuck && e.is_replay() => {}
                Err(e) => panic!("{case}: {e}"),
            }
        }
        let judge = |typed: &str, at| verify(&store, &alice(), typed, at, &LIMITS);
        let accepts = |typed: &str, at| matches!(judge(typed, at), Ok(Verdict::Accepted { .. }));
        match deed {
            Deed::Open => {
                enrol(&store);
                return;
            }
            Deed::Reset => {
                if told {
                    assert!(!status(&store, &alice(), NOW).unwrap().enrolled, "{case}");
                }
                reset(&store, &alice()).unwrap();
                assert!(!accepts(&code(&self.key, NOW), NOW), "{case}");
                let (key, _) = enrol(&store);
                assert_eq!(ask(&store, &code(&key, NOW), NOW), totp(), "{case}");
                return;
            }
            _ => {}
        }
        // What had been accepted before stays used.
        if deed != Deed::Upgrade {
            assert!(!accepts(&code(&self.key, USED), USED), "{case}");
        }
        match deed {
            Deed::EnrolAgain | Deed::Confirm | Deed::EnrolInvited => {
                // The old authenticator or the new one, never neither.
                let (old, new) = (code(&self.key, NOW + 60), code(&self.pending, NOW + 60));
                let old = accepts(&old, NOW + 60);
                if told {
                    assert!(!old, "{case}");
                } else if deed != Deed::EnrolAgain {
                    assert!(old != accepts(&new, NOW + 60), "{case}");
                }
            }
            _ => {
                // The deed's code is good no more, if it was said to be accepted; then another is.
                let typed = code(&self.key, NOW);
                if told && matches!(deed, Deed::Code | Deed::Upgrade | Deed::AfterACrash) {
                    assert_eq!(judge(&typed, NOW).unwrap(), Verdict::Replayed, "{case}");
                }
                if told && deed == Deed::RecoveryCode {
                    assert_eq!(
                        judge(&self.codes[0], NOW).unwrap(),
                        Verdict::Replayed,
                        "{case}"
                    );
                }
                let later = NOW + 60;
                assert!(
                    accepts(&code(&self.key, later), later),
                    "{case}: alice is locked out"
                );
            }
        }
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if path.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&to).unwrap();
            copy_all(&path, &to);
        } else {
            // With its mode.
            fs::copy(path, to).unwrap();
        }
    }
}

fn carol() -> Who {
    Who {
        uid: 70003,
        user: "carol".to_owned(),
    }
}

thread_local! {
    static PLANNED: std::cell::Cell<Option<(usize, Fault)>> = const { std::cell::Cell::new(None) };
}

/// The calls of a deed that goes well.
fn calls_of(beginning: &Beginning, deed: Deed) -> Vec<&'static str> {
    let state = beginning.copy();
    PLANNED.set(None);
    beginning.act(deed, state.path()).unwrap();
    let calls = calls();
    plan(None);
    beginning.check(deed, state.path(), true, "nothing fails");
    calls
}

fn each_call_fails(deed: Deed) {
    let beginning = Beginning::of(deed);
    let calls = calls_of(&beginning, deed);
    assert!(
        calls.contains(&"fsync"),
        "{deed:?} keeps nothing: {calls:?}"
    );
    for (at, call) in calls.iter().enumerate() {
        for fault in [
            Fault::Fails(Errno::NOSPC),
            Fault::Fails(Errno::ROFS),
            Fault::Fails(Errno::IO),
            Fault::FailsEverAfter(Errno::IO),
        ] {
            let case = format!("{deed:?}: {fault:?} at {at}, {call}");
            let state = beginning.copy();
            PLANNED.set(Some((at, fault)));
            let answer = beginning.act(deed, state.path());
            plan(None);
            // Only what is looked at once more, or cleared away, may fail and be borne.
            let read_twice = deed == Deed::RestoreReplace
                && matches!(*call, "openat" | "fstat" | "read")
                && matches!(fault, Fault::Fails(_));
            let borne = *call == "mkdir" || *call == "unlinkat" || read_twice;
            assert!(answer.is_err() || borne, "{case}: told as done");
            beginning.check(deed, state.path(), answer.is_ok(), &case);
        }
    }
}

/// The part of [`killed_at_each_call`] that is killed.
#[test]
fn one_to_be_killed() {
    let Ok(text) = std::env::var("JUMP_MFA_TEST_DEED") else {
        return;
    };
    let words: Vec<&str> = text.split(' ').collect();
    let [deed, at, state, key, pending, first, invitation, backup] = words[..] else {
        panic!("{text}");
    };
    let deed = DEEDS[deed.parse::<usize>().unwrap()];
    let beginning = Beginning {
        dir: tempfile::tempdir().unwrap(),
        key: key.to_owned(),
        codes: vec![first.to_owned()],
        pending: pending.to_owned(),
        invitation: Secret::new(invitation.to_owned()),
        draft: Draft::of_key(&alice(), pending, NOW).unwrap(),
        backup: Secret::new(backup.to_owned()),
    };
    PLANNED.set(Some((at.parse().unwrap(), Fault::Killed)));
    let _answer = beginning.act(deed, Path::new(state));
    println!("survived");
}

fn killed_at_each_call(deed: Deed) {
    let number = DEEDS.iter().position(|d| *d == deed).unwrap();
    let beginning = Beginning::of(deed);
    let calls = calls_of(&beginning, deed);
    for (at, call) in calls.iter().enumerate() {
        // Nothing has changed since the call before, where that only looked.
        if matches!(*call, "fstat" | "read" | "flock" | "getdents64") {
            continue;
        }
        let case = format!("{deed:?}: killed at {at}, {call}");
        let state = beginning.copy();
        let words = [
            number.to_string(),
            at.to_string(),
            state.path().display().to_string(),
            beginning.key.clone(),
            beginning.pending.clone(),
            beginning.codes[0].clone(),
            beginning.invitation.expose().to_owned(),
            beginning.backup.expose().to_owned(),
        ];
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "tests::every_call::one_to_be_killed",
                "--nocapture",
            ])
            .env("JUMP_MFA_TEST_DEED", words.join(" "))
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{case}");
        beginning.check(deed, state.path(), false, &case);
    }
}
