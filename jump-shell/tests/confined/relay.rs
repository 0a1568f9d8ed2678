//! `connect HOST PORT`: every byte, both ends, both half-closes.

use crate::Tests;
use crate::fake::Fake;
use crate::shell::{asked, confined, run_typed, shell, worked};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// How much the long relays carry, each way.
const LONG: usize = 100 << 20;

pub(crate) fn tests() -> Tests {
    crate::tests![
        bytes_go_both_ways,
        what_the_user_has_said_ends_at_the_target,
        what_the_target_has_said_ends_at_the_user,
        the_same_over_one_socket,
        a_hundred_megabytes_through_pipes,
        a_hundred_megabytes_through_a_socket,
        a_slow_reader_holds_the_target_back,
        it_waits_without_working,
        nothing_new_can_be_opened_while_relaying,
        what_was_typed_after_the_command_is_relayed,
        an_interactive_shell_ends_with_its_relay,
    ]
}

/// A target that takes one connection.
pub(crate) struct Target {
    address: SocketAddr,
    taken: JoinHandle<TcpStream>,
}

impl Target {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            taken: spawn(move || listener.accept().unwrap().0),
        }
    }

    pub(crate) fn wish(&self) -> String {
        format!("connect db1.example.internal {}", self.address.port())
    }

    pub(crate) fn accept(self) -> TcpStream {
        let stream = self.taken.join().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }
}

/// A shell that relays to a target, and both ends.
pub(crate) struct Relayed {
    pub(crate) child: Child,
    pub(crate) target: TcpStream,
    _jumpd: Fake,
}

pub(crate) fn relayed() -> Relayed {
    let jumpd = Fake::friendly();
    let target = Target::new();
    let child = asked(&jumpd.socket(), &target.wish())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    Relayed {
        child,
        target: target.accept(),
        _jumpd: jumpd,
    }
}

/// The same with one socket as standard input and output, as some sshd give.
fn relayed_over_a_socket() -> (Relayed, UnixStream) {
    let jumpd = Fake::friendly();
    let target = Target::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (input, output) = (
        OwnedFd::from(theirs.try_clone().unwrap()),
        OwnedFd::from(theirs),
    );
    let child = asked(&jumpd.socket(), &target.wish())
        .stdin(input)
        .stdout(output)
        .spawn()
        .unwrap();
    (
        Relayed {
            child,
            target: target.accept(),
            _jumpd: jumpd,
        },
        ours,
    )
}

impl Relayed {
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn say_no_more(&mut self) {
        drop(self.child.stdin.take());
    }

    fn hear(&mut self, count: usize) -> Vec<u8> {
        heard(self.child.stdout.as_mut().unwrap(), count)
    }

    fn hear_the_end(&mut self) {
        assert_eq!(
            self.child.stdout.as_mut().unwrap().read(&mut [0]).unwrap(),
            0
        );
    }

    /// The status, and what was said on standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut err = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut err)
            .unwrap();
        (self.child.wait().unwrap().code(), err)
    }
}

pub(crate) fn heard(from: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

fn bytes_go_both_ways() {
    let mut relayed = relayed();
    relayed.say(b"SSH-2.0-client\r\n");
    assert_eq!(heard(&mut relayed.target, 16), b"SSH-2.0-client\r\n");
    relayed
        .target
        .write_all(b"SSH-2.0-server\0\x1b\xff")
        .unwrap();
    assert_eq!(relayed.hear(17), b"SSH-2.0-server\0\x1b\xff");
    relayed.say_no_more();
    relayed.target.shutdown(Shutdown::Write).unwrap();
    relayed.hear_the_end();
    assert_eq!(relayed.end(), (Some(0), String::new()));
}

fn what_the_user_has_said_ends_at_the_target() {
    let mut relayed = relayed();
    relayed.say(b"request");
    relayed.say_no_more();
    let mut request = Vec::new();
    relayed.target.read_to_end(&mut request).unwrap();
    assert_eq!(request, b"request");
    // The target answers only now.
    relayed.target.write_all(b"answer").unwrap();
    assert_eq!(relayed.hear(6), b"answer");
    drop(
        relayed
            .target
            .try_clone()
            .unwrap()
            .shutdown(Shutdown::Write),
    );
    relayed.hear_the_end();
    assert_eq!(relayed.end().0, Some(0));
}

fn what_the_target_has_said_ends_at_the_user() {
    let mut relayed = relayed();
    relayed.target.write_all(b"greeting").unwrap();
    relayed.target.shutdown(Shutdown::Write).unwrap();
    assert_eq!(relayed.hear(8), b"greeting");
    relayed.hear_the_end();
    // The user goes on.
    for _ in 0..10 {
        relayed.say(b"more");
        assert_eq!(heard(&mut relayed.target, 4), b"more");
    }
    relayed.say_no_more();
    assert_eq!(relayed.target.read(&mut [0]).unwrap(), 0);
    assert_eq!(relayed.end(), (Some(0), String::new()));
}

fn the_same_over_one_socket() {
    let (mut relayed, mut user) = relayed_over_a_socket();
    user.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    relayed.target.write_all(b"greeting").unwrap();
    relayed.target.shutdown(Shutdown::Write).unwrap();
    let mut greeting = Vec::new();
    user.read_to_end(&mut greeting).unwrap();
    assert_eq!(greeting, b"greeting");
    user.write_all(b"more").unwrap();
    user.shutdown(Shutdown::Write).unwrap();
    let mut more = Vec::new();
    relayed.target.read_to_end(&mut more).unwrap();
    assert_eq!(more, b"more");
    assert_eq!(relayed.end(), (Some(0), String::new()));
}

/// As many bytes as a relay is to carry, which repeat nowhere.
fn random() -> Arc<Vec<u8>> {
    let mut bytes = vec![0; LONG];
    std::fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    Arc::new(bytes)
}

/// Reads to the end and compares each byte.
fn hears(mut from: impl Read, expected: &[u8]) {
    let (mut count, mut bytes) = (0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut bytes).unwrap() {
            0 => return assert_eq!(count, expected.len()),
            got => {
                assert!(
                    bytes[..got] == expected[count..count + got],
                    "differs after {count} bytes"
                );
                count += got;
            }
        }
    }
}

/// Sends [`LONG`] bytes each way at the same time and compares.
fn carries(
    up: impl Write + Send + 'static,
    down: impl Read + Send + 'static,
    target: &TcpStream,
    done: impl FnOnce() + Send + 'static,
) {
    let (from_user, from_target) = (random(), random());
    let (mut up, mut sender) = (up, target.try_clone().unwrap());
    let receiver = target.try_clone().unwrap();
    let (up_said, up_heard) = (Arc::clone(&from_user), from_user);
    let (down_said, down_heard) = (Arc::clone(&from_target), from_target);
    let ends = [
        spawn(move || {
            up.write_all(&up_said).unwrap();
            drop(up);
            done();
        }),
        spawn(move || {
            sender.write_all(&down_said).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        }),
        spawn(move || hears(receiver, &up_heard)),
        spawn(move || hears(down, &down_heard)),
    ];
    for end in ends {
        end.join().unwrap();
    }
}

fn a_hundred_megabytes_through_pipes() {
    let mut relayed = relayed();
    let (up, down) = (
        relayed.child.stdin.take().unwrap(),
        relayed.child.stdout.take().unwrap(),
    );
    carries(up, down, &relayed.target, || {});
    assert_eq!(relayed.end(), (Some(0), String::new()));
}

fn a_hundred_megabytes_through_a_socket() {
    let (relayed, user) = relayed_over_a_socket();
    let (up, end) = (user.try_clone().unwrap(), user.try_clone().unwrap());
    carries(up, user, &relayed.target, move || {
        end.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(relayed.end(), (Some(0), String::new()));
}

/// Nothing is piled up in between: what nobody reads stays with the sender.
fn a_slow_reader_holds_the_target_back() {
    let mut relayed = relayed();
    relayed
        .target
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let piece = vec![1; 1 << 16];
    let mut sent = 0;
    while let Ok(count) = relayed.target.write(&piece) {
        sent += count;
        assert!(sent < 64 << 20, "piled up");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", relayed.child.id())).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 32 << 10, "{resident} kB");
    // The user's side is not held back by that.
    relayed.say(b"still here");
    assert_eq!(heard(&mut relayed.target, 10), b"still here");
    relayed.child.kill().unwrap();
    relayed.child.wait().unwrap();
}

/// In none of the states in which one side waits does the relay spin.
fn it_waits_without_working() {
    let quiet = |state: &str, child: &Child| {
        let before = worked(child);
        std::thread::sleep(Duration::from_millis(400));
        assert!(worked(child) - before <= 2, "{state}");
    };
    let mut open = relayed();
    quiet("nobody says anything", &open.child);
    open.target
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    while open.target.write(&[1; 1 << 16]).is_ok() {}
    quiet("nobody reads", &open.child);
    open.say_no_more();
    quiet("nobody reads, and the user has said all", &open.child);
    open.child.kill().unwrap();
    open.child.wait().unwrap();

    let mut ended = relayed();
    ended.target.shutdown(Shutdown::Write).unwrap();
    ended.hear_the_end();
    quiet("the target has said all", &ended.child);
    ended.child.kill().unwrap();
    ended.child.wait().unwrap();

    let (mut socket, mut user) = relayed_over_a_socket();
    user.set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    while user.write(&[1; 1 << 16]).is_ok() {}
    quiet("the target does not read", &socket.child);
    socket.child.kill().unwrap();
    socket.child.wait().unwrap();
}

/// Two filters are in force: the shell's and the relay's.
fn nothing_new_can_be_opened_while_relaying() {
    let mut relayed = relayed();
    relayed.say(b"x");
    assert_eq!(heard(&mut relayed.target, 1), b"x");
    assert!(confined(&relayed.child));
    let status = std::fs::read_to_string(format!("/proc/{}/status", relayed.child.id())).unwrap();
    let filters = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"))
        .unwrap();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let before = own
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"))
        .unwrap();
    let count = |text: &str| text.trim().parse::<u32>().unwrap();
    assert_eq!(count(filters), count(before) + 2);
    relayed.child.kill().unwrap();
    relayed.child.wait().unwrap();
}

fn what_was_typed_after_the_command_is_relayed() {
    let jumpd = Fake::friendly();
    let target = Target::new();
    let typed = format!("{}\nSSH-2.0-x\nwhoami\n", target.wish());
    let socket = jumpd.socket();
    let said = spawn(move || run_typed(&socket, typed.as_bytes()));
    let mut stream = target.accept();
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, "SSH-2.0-x\nwhoami\n");
    stream.write_all(b"done").unwrap();
    drop(stream);
    let said = said.join().unwrap();
    assert_eq!(
        (said.status, said.out.as_str(), said.err.as_str()),
        (Some(0), "done", "")
    );
}

fn an_interactive_shell_ends_with_its_relay() {
    let jumpd = Fake::friendly();
    let target = Target::new();
    let mut child = shell(&jumpd.socket())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", target.wish()).unwrap();
    drop(target.accept());
    drop(input);
    let begun = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
}
