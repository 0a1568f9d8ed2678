//! What the user of a session tries. Each result is a line on stdout.

use crate::{agents, hostile, table};
use jump_sys::attacks::{self, Send};
use nix::errno::Errno;
use nix::libc;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Says how something went: `ok` or the errno's name.
pub fn say<T>(name: &str, result: io::Result<T>) {
    match result {
        Ok(_) => say_text(name, "ok"),
        Err(e) => {
            say_text(
                name,
                &e.raw_os_error()
                    .map_or_else(|| e.to_string(), |n| format!("{:?}", Errno::from_raw(n))),
            );
        }
    }
}

pub fn say_text(name: &str, text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{name} {text}");
    let _ = out.flush();
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// struct sockaddr of an address.
pub fn raw(to: SocketAddr) -> Vec<u8> {
    let mut bytes = match to {
        SocketAddr::V4(_) => libc::AF_INET as u16,
        SocketAddr::V6(_) => libc::AF_INET6 as u16,
    }
    .to_ne_bytes()
    .to_vec();
    bytes.extend(to.port().to_be_bytes());
    match to {
        SocketAddr::V4(v4) => {
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend([0; 4]);
            bytes.extend(v6.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

pub fn tcp() -> OwnedFd {
    attacks::socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap()
}

pub fn udp() -> OwnedFd {
    attacks::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap()
}

pub fn connect(fd: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    let bytes = raw(to);
    attacks::connect(fd.as_raw_fd(), &bytes, bytes.len() as u32)
}

/// What the monitor does as root once the filter is in force.
pub fn in_monitor(probe: &str) {
    if probe != "monitor" {
        return;
    }
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    say("sendmsg", attacks::send(Send::Msg, ours.as_fd(), None, 0));
    say("received", theirs.recv(&mut [0; 8]));
    let audit = attacks::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_AUDIT);
    say("netlink", audit);
    let name = std::env::var("JUMP_TEST_DIR").unwrap();
    say(
        "unix",
        UnixStream::connect(Path::new(&name).join("native.sock")),
    );
    let to: SocketAddr = address(&std::env::args().nth(1).unwrap());
    say("inet", TcpStream::connect(to));
}

/// What the user's child does.
pub fn in_user_child(probe: &str, dir: &Path, args: &[String]) {
    let arg = |n: usize| args.get(n).map_or("", String::as_str);
    match probe {
        "nothing" | "monitor" => {}
        "connect" => {
            for to in args {
                say(to, TcpStream::connect(address(to)));
            }
        }
        "exchange" => exchange(address(arg(0))),
        "hold" => hold(address(arg(0))),
        "hold-scattered" => hold_scattered(address(arg(0))),
        "hide" => hide(),
        "sleep" => {
            say("sleeping", Ok(()));
            thread::sleep(Duration::from_secs(60));
        }
        "non-blocking" => {
            let fd =
                attacks::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0).unwrap();
            say("connect", connect(&fd, address(arg(0))));
        }
        "blocking" => {
            say("before", Ok(()));
            say("after", TcpStream::connect(address(arg(0))));
        }
        "many-blocking" => many_blocking(address(arg(0))),
        "spellings" => spellings(address(arg(0)).port()),
        "families" => families(address(arg(0)), address(arg(1))),
        "errors" => errors(address(arg(0))),
        "fastopen" => hostile::fastopen(address(arg(0))),
        "lines" => table::make(args),
        "foreign" => table::make_foreign(),
        "flood" => table::flood(address(arg(0))),
        "ordinary" => table::ordinary(),
        "datagrams" => hostile::datagrams(dir, address(arg(0)), address(arg(1))),
        "unix" => unix(dir),
        "shell" => {
            say(
                "shell",
                jump_proto::Channel::connect(dir.join("shell.sock"), Duration::from_secs(2))
                    .map_err(io::Error::other),
            );
            say("target", TcpStream::connect(address(arg(0))));
        }
        "ssh" => ssh(dir, address(arg(0))),
        "sshd-with-agent" => agents::sshd(dir),
        "race" => hostile::race(address(arg(0)), address(arg(1))),
        "dissolve" => hostile::dissolve(address(arg(0))),
        "second-listener" => {
            let second = jump_sys::seccomp::install_session_filter();
            say_text(
                "second",
                &second.map_or_else(|e| e.to_string(), |_| "ok".into()),
            );
        }
        "alarm" => {
            attacks::restarting_alarm(arg(1).parse().unwrap()).unwrap();
            say("connect", TcpStream::connect(address(arg(0))));
        }
        "patient" => patient(address(arg(0))),
        "orphan" => orphan(address(arg(0))),
        "resolver" => {
            let socket = udp();
            say("connect", connect(&socket, address(arg(0))));
            say(
                "send",
                nix::sys::socket::send(
                    socket.as_raw_fd(),
                    b"query",
                    nix::sys::socket::MsgFlags::empty(),
                )
                .map_err(io::Error::from),
            );
        }
        other => panic!("no such probe: {other}"),
    }
}

fn exchange(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"ping").unwrap();
    let mut text = [0; 4];
    stream.read_exact(&mut text).unwrap();
    say_text("heard", std::str::from_utf8(&text).unwrap());
}

fn hold(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(b"ping").unwrap();
    say("holding", Ok(()));
    thread::sleep(Duration::from_secs(60));
}

/// A session that does not want to die: stopped, detached, in a session of its own.
fn hold_scattered(to: SocketAddr) {
    use jump_sys::process::{Fork, fork};
    if fork().unwrap() == Fork::Child {
        let _ = nix::unistd::setsid();
        if fork().unwrap() == Fork::Child {
            // Its parent gone, this one descends from init.
            thread::sleep(Duration::from_millis(100));
            let stream = TcpStream::connect(to).unwrap();
            say("detached", Ok(()));
            let _kept = stream;
            thread::sleep(Duration::from_secs(60));
        }
        jump_sys::process::exit_now(0);
    }
    let stream = TcpStream::connect(to).unwrap();
    let _kept = stream;
    say("stopping", Ok(()));
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).unwrap();
}

/// A process that no longer descends from the session and never called for the guard.
fn hide() {
    use jump_sys::process::{Fork, fork};
    if fork().unwrap() == Fork::Child {
        let _ = nix::unistd::setsid();
        if fork().unwrap() == Fork::Child {
            thread::sleep(Duration::from_millis(50));
            say("hidden", Ok(()));
            thread::sleep(Duration::from_secs(60));
        }
        jump_sys::process::exit_now(0);
    }
    thread::sleep(Duration::from_secs(60));
}

fn many_blocking(to: SocketAddr) {
    let mut threads = Vec::new();
    for _ in 0..80 {
        threads.push(thread::spawn(move || {
            say("connect", TcpStream::connect(to));
        }));
    }
    thread::sleep(Duration::from_secs(2));
    say("done", Ok(()));
}

fn spellings(port: u16) {
    for ip in [
        "127.0.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::]",
        "[::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::127.0.0.1]",
    ] {
        say(ip, TcpStream::connect(address(&format!("{ip}:{port}"))));
    }
}

/// An address of one family on a socket of the other.
fn families(v4: SocketAddr, resolver: SocketAddr) {
    let six = attacks::socket(libc::AF_INET6, libc::SOCK_STREAM, 0).unwrap();
    say("tcp6-v4", connect(&six, v4));
    say(
        "tcp4-v6",
        connect(
            &tcp(),
            address(&format!("[::ffff:127.0.0.1]:{}", v4.port())),
        ),
    );
    let six = attacks::socket(libc::AF_INET6, libc::SOCK_DGRAM, 0).unwrap();
    say("udp6-v4", connect(&six, resolver));
}

fn errors(to: SocketAddr) {
    let bytes = raw(to);
    let fd = tcp();
    let number = fd.as_raw_fd();
    say("closed", attacks::connect(987, &bytes, 16));
    say("file", attacks::connect(0, &bytes, 16));
    say("long", attacks::connect(number, &bytes, 129));
    say("negative", attacks::connect(number, &bytes, u32::MAX));
    say("short", attacks::connect(number, &bytes, 8));
    say("empty", attacks::connect(number, &bytes, 0));
    say("null", attacks::connect_null(fd.as_fd(), 16));
    say("closed-null", attacks::connect(987, &bytes, 129));
    say("family", attacks::connect(number, &99u16.to_ne_bytes(), 16));
}

fn ssh(dir: &Path, target: SocketAddr) {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
    say("agent", UnixStream::connect(dir.join("agent.sock")));
    let named = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    let name = UnixAddr::new_abstract(b"jump-agent/1/1").unwrap();
    say(
        "named",
        bind(named.as_raw_fd(), &name).map_err(io::Error::from),
    );
    say(
        "shell",
        jump_proto::Channel::connect(dir.join("shell.sock"), Duration::from_secs(2))
            .map_err(io::Error::other),
    );
    say("target", TcpStream::connect(target));
}

fn unix(dir: &Path) {
    say("stream", UnixStream::connect(dir.join("docker.sock")));
    say(
        "shell",
        jump_proto::Channel::connect(dir.join("shell.sock"), Duration::from_secs(2))
            .map_err(io::Error::other),
    );
    let abstract_name =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            b"jump-test",
        )
        .unwrap();
    say("abstract", UnixStream::connect_addr(&abstract_name));
    let log = UnixDatagram::unbound().unwrap();
    say("log", log.connect(dir.join("log")));
    say("line", log.send(b"a line"));
    let other = UnixDatagram::unbound().unwrap();
    say("other-dgram", other.connect(dir.join("other.dgram")));
    say("relative", UnixStream::connect("docker.sock"));
}

/// Tries once a second until it is let through.
fn patient(to: SocketAddr) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        let result = TcpStream::connect(to);
        let let_through = result.is_ok();
        say("try", result);
        if let_through {
            return;
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// Outlives the user's child, to see what becomes of its calls.
fn orphan(to: SocketAddr) {
    use jump_sys::process::{Fork, fork};
    if fork().unwrap() == Fork::Child {
        say("waiting", Ok(()));
        thread::sleep(Duration::from_millis(700));
        say("connect", TcpStream::connect(to));
        jump_sys::process::exit_now(0);
    }
    thread::sleep(Duration::from_secs(60));
}
