//! Retention: by age, by size, the oldest first, and never what is being written.

use super::*;
use std::time::SystemTime;

const DAY: u64 = 86_400;

impl Host {
    /// A recording of a hop that ended so many days ago.
    fn recorded(&self, id: u8, days: u64) -> HopId {
        let hop = HopId::from_bytes([id; 16]);
        let place = self.jumpd.recorder.shelf.place(&hop, self.jumpd.now());
        let whole = std::fs::read(self.whole()).unwrap();
        let path = place.file();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, whole).unwrap();
        #[allow(
            clippy::disallowed_methods,
            reason = "a file's time is by the host's clock"
        )]
        let ended = SystemTime::now() - Duration::from_secs(days * DAY + 60);
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(ended).unwrap();
        hop
    }

    /// A recording outside of the shelf.
    fn whole(&self) -> PathBuf {
        let path = self.root.path().join("whole");
        if !path.exists() {
            let shell = self.record();
            shell.output(&noise(5_000));
            shell.until_kept(1);
            shell.over(0);
            std::fs::rename(self.file(), &path).unwrap();
        }
        path
    }

    fn pruned(&self, dry_run: bool) -> (Vec<HopId>, u64) {
        match self.jumpd.prune_recordings(dry_run) {
            Reply::Pruned {
                recordings, bytes, ..
            } => (recordings, bytes),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_older_than_it_is_kept_goes_and_nothing_else() {
    let host = Host::new("");
    let (young, old, older) = (
        host.recorded(0x21, 29),
        host.recorded(0x22, 30),
        host.recorded(0x23, 400),
    );
    let each = std::fs::metadata(host.whole()).unwrap().len();
    let expected = (vec![older.clone(), old], 2 * each);
    assert_eq!(host.pruned(true), expected, "only told");
    assert_eq!(host.files("jrec").len(), 3);
    assert!(host.told("recording.deleted").is_empty());
    assert_eq!(host.pruned(false), expected);
    assert!(host.file().ends_with(format!("{young}.jrec")));
    let deleted = host.told("recording.deleted");
    assert_eq!(deleted.len(), 2);
    for word in [
        "reason=retention",
        "user=alice",
        &format!("recording={older}"),
        &format!("size={each}"),
    ] {
        assert!(deleted[0].contains(word), "{deleted:?}");
    }
    assert_eq!(host.pruned(false), (vec![], 0));
}

#[test]
fn of_more_than_is_kept_the_oldest_go() {
    let host = Host::new("");
    host.take("keep = \"forever\"\nkeep_size = \"16MiB\"\n");
    let names: Vec<_> = (0..5)
        .map(|id| host.recorded(0x20 + id, u64::from(id)))
        .collect();
    for name in &names {
        let path = host
            .jumpd
            .recorder
            .shelf
            .place(name, host.jumpd.now())
            .file();
        let ended = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(5 << 20).unwrap();
        file.set_modified(ended).unwrap();
    }
    // Three of 5 MiB fit.
    let gone = vec![names[4].clone(), names[3].clone()];
    assert_eq!(host.pruned(false), (gone, 10 << 20));
    assert!(host.told("recording.deleted")[0].contains("keep_size"));
}

#[test]
fn nothing_is_said_of_how_long_so_all_is_kept() {
    let host = Host::new("keep = \"forever\"\n");
    host.recorded(0x21, 4000);
    assert_eq!(host.pruned(false), (vec![], 0));
}

#[test]
fn what_is_being_written_or_waited_for_stays() {
    let host = Host::new("");
    host.whole();
    let waited_for = host.recorded(0x21, 400);
    let place = host
        .jumpd
        .recorder
        .shelf
        .place(&waited_for, host.jumpd.now());
    std::fs::write(place.file().with_extension("position"), "{}").unwrap();
    // The hop that is recorded now, in a file that looks old.
    let live = {
        let (shell, reply) = host.ask(
            &SessionId::from_bytes([2; 16]),
            record(HopId::from_bytes([9; 16])),
        );
        assert!(matches!(reply, Reply::Recording));
        shell
    };
    for path in host.files("jrec") {
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(host.pruned(false), (vec![], 0));
    assert_eq!(host.files("jrec").len(), 2);
    live.over(0);
}

#[test]
fn what_cannot_be_in_the_journal_is_not_deleted() {
    let host = Host::new("");
    host.recorded(0x21, 400);
    host.journal.fail(true);
    let reply = host.jumpd.prune_recordings(false);
    assert!(
        matches!(reply, Reply::Refused { reason, .. } if reason == jump_proto::Reason::AuditFailed),
        "{reply:?}"
    );
    assert_eq!(host.files("jrec").len(), 1);
}

#[test]
fn days_with_nothing_in_them_go_and_what_is_not_ours_stays() {
    let host = Host::new("");
    let recordings = host.root.path().join("recordings");
    for name in ["2020-01-01", "2020-01-02", "lost+found"] {
        std::fs::create_dir(recordings.join(name)).unwrap();
    }
    std::fs::write(recordings.join("2020-01-02/note"), "mine").unwrap();
    host.pruned(false);
    let mut left: Vec<_> = std::fs::read_dir(&recordings)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["2020-01-02", "lost+found"]);
}
