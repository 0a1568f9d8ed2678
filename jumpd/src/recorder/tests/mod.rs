//! A jumpd with one session and one hop, and the shell's end of its recording.

mod disk;
mod ends;
mod leftovers;
mod prune;
mod stop;
mod talk;

use super::Recorder;
use crate::generation::Generation;
use crate::hops::{Hop, NewHop};
use crate::remember::Remembered;
use crate::sessions::{Sessions, tests::session};
use crate::state::Jumpd;
use jump_audit::{Journal, Memory, Rendered};
use jump_mfa::{FileStore, KeyRing};
use jump_policy::Policy;
use jump_proto::hop::{FromRecorder, FromShell};
use jump_proto::{Channel, HopId, Reply, Request, SessionId};
use jump_recording::{Frame, Head, Keys, Reader, Report, verify};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Alice, of a group that may be named in `break_glass`.
const POLICY: &str = r#"
version = 1
[groups.oncall]
gid = 70100
[users.alice]
uid = 70001
groups = ["oncall"]
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX alice@laptop"]
[recording]
keep = "30d"
reserve = "16MiB"
"#;

/// More than any disk has.
const NO_ROOM: &str = "reserve = \"1000000TiB\"\ngrace = \"0s\"\n";

/// One jumpd after the other on the same directories.
struct Host {
    jumpd: Arc<Jumpd>,
    journal: Memory,
    root: Arc<tempfile::TempDir>,
}

/// The session that there is.
fn alice() -> SessionId {
    SessionId::from_bytes([1; 16])
}

/// The hop that there is.
fn hop() -> HopId {
    HopId::from_bytes([7; 16])
}

fn hop_named(id: u8, record: bool) -> Hop {
    Hop::from(NewHop {
        id: HopId::from_bytes([id; 16]),
        asked: "db1".to_owned(),
        name: Some("db1.example.internal".to_owned()),
        address: "10.20.0.5:22".parse().unwrap(),
        login: "admin".to_owned(),
        rule: "dba".to_owned(),
        record,
        forwarded_agent: false,
        shell: None,
    })
}

impl Host {
    fn new(recording: &str) -> Self {
        let host = Self::on(Arc::new(tempfile::tempdir().unwrap()), recording);
        let mut alice = session(1);
        alice.open_hop(hop_named(7, true)).unwrap();
        alice.open_hop(hop_named(8, false)).unwrap();
        host.jumpd.sessions().insert(alice).unwrap();
        let mut other = session(2);
        other.open_hop(hop_named(9, true)).unwrap();
        host.jumpd.sessions().insert(other).unwrap();
        host
    }

    fn on(root: Arc<tempfile::TempDir>, recording: &str) -> Self {
        let state = root.path();
        let recordings = state.join("recordings");
        std::fs::create_dir_all(&recordings).unwrap();
        let journal = Memory::default();
        let mut jumpd = Jumpd::new(
            None,
            Sessions::load(state).unwrap(),
            Box::new(FileStore::open(state, KeyRing::generate().unwrap()).unwrap()),
            crate::ca::Ca::open(&state.join("ca"), KeyRing::none()),
            Remembered::load(state).unwrap(),
            Journal::with_sinks(&state.join("audit.chain"), vec![Box::new(journal.clone())]),
        );
        jumpd.recorder = Recorder::new(&recordings, &state.join("recordings-afar"));
        let host = Self {
            jumpd: Arc::new(jumpd),
            journal,
            root,
        };
        host.take(recording);
        host
    }

    /// Another jumpd after this one.
    fn next(self) -> Self {
        self.next_with("")
    }

    /// Another one, with these further lines of `[recording]`.
    fn next_with(self, recording: &str) -> Self {
        Self::on(Arc::clone(&self.root), recording)
    }

    /// Stops this jumpd, whose recordings go on with the next.
    fn stop(&self) -> JoinHandle<()> {
        let stopping = Arc::clone(&self.jumpd);
        std::thread::spawn(move || stopping.recorder.hand_over())
    }

    /// Takes a policy with these further lines of `[recording]` into force.
    fn take(&self, recording: &str) {
        let mut text = POLICY.to_owned();
        for line in recording.lines() {
            let (key, _) = line.split_once(" = ").unwrap();
            text = text
                .lines()
                .filter(|old| !old.starts_with(&format!("{key} = ")))
                .map(|old| format!("{old}\n"))
                .collect();
            text.push_str(&format!("{line}\n"));
        }
        let policy = Policy::parse(&text, "policy.toml", "UTC").unwrap_or_else(|e| panic!("{e}"));
        self.jumpd.take_into_force(Generation {
            number: 1,
            policy: Arc::new(policy),
        });
    }

    /// Asks for a recording as this session, and waits for the answer.
    fn ask(&self, session: &SessionId, request: Request) -> (Shell, Reply) {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (jumpd, session) = (Arc::clone(&self.jumpd), session.clone());
        let thread = std::thread::spawn(move || {
            let _ended = jumpd.record(&Channel::from(theirs), &session, &request);
        });
        let channel = Channel::from(ours);
        channel.set_timeout(Some(Duration::from_secs(10))).unwrap();
        let reply = channel.recv().unwrap().expect("an answer");
        (Shell { channel, thread }, reply)
    }

    /// Records the hop.
    fn record(&self) -> Shell {
        let (shell, reply) = self.ask(&alice(), record(hop()));
        assert!(matches!(reply, Reply::Recording), "{reply:?}");
        shell
    }

    /// Goes on with the hop's recording.
    fn record_again(&self) -> Shell {
        let (shell, reply) = self.ask(&alice(), Request::RecordAgain { hop: hop() });
        assert!(matches!(reply, Reply::Recording), "{reply:?}");
        shell
    }

    /// The file of the hop's recording.
    fn file(&self) -> PathBuf {
        self.files("jrec").pop().expect("a recording")
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let recordings = self.root.path().join("recordings");
        let days = std::fs::read_dir(recordings).unwrap();
        days.flat_map(|day| std::fs::read_dir(day.unwrap().path()).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().unwrap() == extension)
            .collect()
    }

    /// Every event of a kind, as its line.
    fn told(&self, kind: &str) -> Vec<String> {
        self.events(kind).into_iter().map(|e| e.message).collect()
    }

    fn events(&self, kind: &str) -> Vec<Rendered> {
        let all = self.journal.events().into_iter();
        all.filter(|e| e.kind.as_str() == kind).collect()
    }

    /// Every head that the journal knows.
    fn heads(&self) -> Vec<Head> {
        let mut heads = Vec::new();
        for event in self.journal.events() {
            let word = |key: &str| {
                let words = event.message.split(' ');
                words
                    .filter_map(|word| word.strip_prefix(key))
                    .map(str::to_owned)
                    .next()
            };
            if let (Some(sequence), Some(hash)) = (word("sequence="), word("head=")) {
                heads.push(Head {
                    sequence: sequence.parse().unwrap(),
                    hash: hash.parse().unwrap(),
                });
            }
        }
        heads
    }

    fn is_recorded(&self) -> bool {
        let sessions = self.jumpd.sessions();
        sessions.get(&alice()).unwrap().hops[&hop()].recorded
    }
}

fn record(hop: HopId) -> Request {
    Request::Record {
        hop,
        cols: 80,
        rows: 24,
        term: Some("xterm-256color".to_owned()),
    }
}

/// jump-shell's end of a recording.
struct Shell {
    channel: Channel,
    thread: JoinHandle<()>,
}

impl Shell {
    fn send(&self, from: FromShell<'_>) {
        let mut packet = Vec::new();
        from.put(&mut packet);
        self.channel.send_bytes(&packet, true).unwrap();
    }

    fn output(&self, bytes: &[u8]) {
        self.send(FromShell::Output(bytes));
    }

    /// What the recorder says next; `None` once it has closed.
    fn hear(&self) -> Option<FromRecorder> {
        let mut buffer = vec![0; 4096];
        let length = self.channel.recv_bytes(&mut buffer, true).unwrap()?;
        Some(FromRecorder::get(&buffer[..length]).unwrap())
    }

    /// Hears until so many packets are kept; everything else that was said.
    fn until_kept(&self, count: u64) -> Vec<FromRecorder> {
        let mut said = Vec::new();
        if count == 0 {
            return said;
        }
        loop {
            match self.hear().expect("still there") {
                FromRecorder::Kept(kept) if kept >= count => return said,
                FromRecorder::Kept(_) => {}
                other => said.push(other),
            }
        }
    }

    /// Hears to the end; everything but acknowledgements.
    fn hear_out(self) -> Vec<FromRecorder> {
        let mut said = Vec::new();
        // What is said last, the other side closes after.
        let last =
            |what: &FromRecorder| matches!(what, FromRecorder::End(_) | FromRecorder::ComeAgain);
        while let Some(what) = self.hear() {
            let is_last = last(&what);
            if !matches!(what, FromRecorder::Kept(_)) {
                said.push(what);
            }
            if is_last {
                break;
            }
        }
        self.close();
        said
    }

    /// Goes away, and waits for the recorder to notice.
    fn close(self) {
        drop(self.channel);
        self.thread.join().unwrap();
    }

    /// The hop is over.
    fn over(self, status: u8) {
        self.send(FromShell::Over { status });
        self.thread.join().unwrap();
    }
}

fn report(path: &Path, heads: &[Head]) -> Report {
    verify(
        BufReader::new(File::open(path).unwrap()),
        &Keys::none(),
        heads,
    )
}

fn frames(path: &Path) -> Vec<Frame> {
    let file = BufReader::new(File::open(path).unwrap());
    let mut reader = Reader::open(file, &Keys::none()).unwrap();
    reader.frames().map_while(Result::ok).collect()
}

/// Noise, which no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

/// Waits until something is so.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a test in a process of its own: for limits that hold for a whole process, and for ends that are sudden.
fn in_a_process(name: &str, body: impl FnOnce()) {
    const ALONE: &str = "JUMP_TEST_ALONE";
    if std::env::var_os(ALONE).is_some_and(|alone| alone == name) {
        return body();
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(ALONE, name)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
