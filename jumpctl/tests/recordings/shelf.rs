//! A directory of recordings, and the program that reads it.

use jump_recording::{Facts, Head, Header, Kind, Sealing, Terminal, Writer};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// One auditor's age key.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
/// The other half of it.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
/// Another auditor's.
pub(crate) const OTHER: &str =
    "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU";
/// When recordings begin here: 2026-03-02, 14:00 UTC.
pub(crate) const BEGAN: i64 = 1_772_460_000;

pub(crate) const SECOND: u64 = 1_000_000;

/// An id of a recording.
pub(crate) fn id(first: &str) -> String {
    format!("{first:0<32}")
}

/// What a recording is of.
pub(crate) fn header(id: &str) -> Header {
    Header {
        version: 3,
        term: Terminal {
            cols: 80,
            rows: 24,
            kind: Some("xterm".to_owned()),
        },
        timestamp: BEGAN,
        facts: Facts {
            recording: id.to_owned(),
            session: "5e55".repeat(8),
            user: "alice".to_owned(),
            uid: 70001,
            source: "10.1.2.3".parse().unwrap(),
            key: None,
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

/// A recording, and its head after each frame.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) heads: Vec<Head>,
}

/// Frames: seconds, kind, data.
pub(crate) type Frames<'a> = &'a [(u64, Kind, &'a [u8])];

/// A session of six minutes, in two segments.
pub(crate) const SESSION: Frames<'static> = &[
    (0, Kind::Output, b"db1$ "),
    (2, Kind::Output, b"psql\r\n"),
    (3, Kind::Output, b"\x1b[31mDROP TABLE\x1b[0m customers;\r\n"),
    (4, Kind::Resize, b"100x30"),
    (5, Kind::Marker, b"here"),
    (400, Kind::Output, b"bye\r\n"),
    (401, Kind::Exit, b"3"),
];

/// Makes one; without its trailer, if it did not end.
pub(crate) fn made(header: &Header, frames: Frames<'_>, sealed: bool, ended: bool) -> Made {
    let mut key = 0_u8;
    let sealing = sealed.then(|| {
        Sealing::to(&[RECIPIENT], move |bytes| {
            key += 1;
            bytes.fill(key);
            Ok(())
        })
        .unwrap()
    });
    let mut writer = Writer::begin(Vec::new(), header, sealing).unwrap();
    let mut heads = Vec::new();
    let mut last = 0;
    for (second, kind, data) in frames {
        last = second * SECOND;
        heads.push(writer.write(last, *kind, data).unwrap());
    }
    let bytes = if ended {
        let (bytes, head) = writer.end(last).unwrap();
        heads.push(head);
        bytes
    } else {
        writer.get_ref().clone()
    };
    Made {
        id: header.facts.recording.clone(),
        bytes,
        heads,
    }
}

/// A directory of recordings.
pub(crate) struct Shelf {
    pub(crate) dir: tempfile::TempDir,
}

impl Shelf {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("2026-03-02")).unwrap();
        Self { dir }
    }

    /// One that ended, and one that is encrypted.
    pub(crate) fn with_two() -> Self {
        let shelf = Self::new();
        shelf.put(&made(&header(&id("aa")), SESSION, false, true));
        shelf.put(&made(&header(&id("bb")), SESSION, true, true));
        shelf
    }

    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.dir.path().join(format!("2026-03-02/{id}.jrec"))
    }

    pub(crate) fn put(&self, made: &Made) -> PathBuf {
        let path = self.path(&made.id);
        fs::write(&path, &made.bytes).unwrap();
        path
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// `jumpctl recordings ...` with this directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jumpctl"));
        command
            .args(["recordings", "--dir"])
            .arg(self.dir.path())
            .args(words)
            .env("TZ", "UTC");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Its exit code and what it says to people.
    pub(crate) fn said(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }

    /// Its exit code and what it says to programs.
    pub(crate) fn json(&self, words: &[&str]) -> (i32, Value) {
        let output = self.run(&[&["--json"], words].concat());
        let said = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&output.stdout)));
        (output.status.code().unwrap(), said.unwrap())
    }
}

/// Holds the lock that a recorder holds.
pub(crate) fn lock(path: &std::path::Path) -> nix::fcntl::Flock<fs::File> {
    let file = fs::OpenOptions::new().append(true).open(path).unwrap();
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).unwrap()
}
