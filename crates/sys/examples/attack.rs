//! What somebody tries who can run any program inside a guarded session: the
//! lab's copy of the calls in `jump_sys::attacks`, one per word.
//!
//! It is in no package; `cargo xtask lab` builds it and the lab puts it onto its
//! hosts. Every result is one line: a name, a tab, and how it went.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is for a test to read"
)]

use jump_sys::attacks::{
    self, Abi, Outcome, Targets, another_listener, call_by, numbers, peep, probes,
};
use jump_sys::seccomp::Action;
use std::io::{self, Read};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: attack WHAT

  lines TCP UDP [CALL...]      every line of the session filter's table, or of these calls:
                               how it went, how it must go in a session, whether that is an event
  foreign                      every call of the table by the numbers of i386 and x32
  race ADDRESS OTHER TIMES     connect while the address changes; where it led
  connect ADDRESS              connect over TCP
  alarm ADDRESS MS             the same, with a restarting signal meanwhile
  unix PATH                    connect to a socket, and hear what is said there
  syslog TEXT                  a line for the host's log
  neighbour PID                everything one process can do to another one of the same user
  serve PATH                   say who connects to a socket, and say hello
  listened PROGRAM...          run a program under a filter that somebody listens to
  listen                       install a filter that somebody listens to
";

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let tried = match words.as_slice() {
        ["lines", tcp, udp, calls @ ..] => lines(tcp, udp, calls),
        ["foreign"] => foreign(),
        ["race", address, other, times] => race(address, other, times),
        ["connect", address] => address.parse().map_err(Into::into).map(|address| {
            connect(address);
        }),
        ["alarm", address, ms] => alarm(address, ms),
        ["unix", path] => {
            unix(path);
            Ok(())
        }
        ["syslog", text] => {
            say("syslog", &tell_syslog(text));
            Ok(())
        }
        ["neighbour", pid] => neighbour(pid),
        ["serve", path] => serve(path),
        ["listened", program, arguments @ ..] => listened(program, arguments),
        ["listen"] => {
            say("listen", &another_listener());
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match tried {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("attack: {e}");
            ExitCode::FAILURE
        }
    }
}

fn tell(name: &str, how: impl std::fmt::Display) {
    println!("{name}\t{how}");
}

fn say<T>(name: &str, result: &io::Result<T>) {
    match result {
        Ok(_) => tell(name, Outcome::Ran),
        Err(e) => match e.raw_os_error() {
            Some(errno) => tell(name, Outcome::Failed(errno)),
            None => tell(name, e),
        },
    }
}

fn lines(tcp: &str, udp: &str, calls: &[&str]) -> Result<()> {
    let targets = Targets {
        tcp: tcp.parse()?,
        udp: udp.parse()?,
    };
    for probe in probes() {
        if calls.is_empty() || calls.contains(&probe.call) {
            let outcome = probe.run(targets)?;
            let (expected, told) = expected(probe.then);
            let told = if told { "event" } else { "no event" };
            tell(&probe.to_string(), format!("{outcome}\t{expected}\t{told}"));
        }
    }
    Ok(())
}

/// What a user of a session gets, and whether it is written down as a forbidden call.
fn expected(then: Action) -> (Outcome, bool) {
    match then {
        Action::Allow => (Outcome::Ran, false),
        Action::Quietly(errno) => (Outcome::Failed(errno), false),
        Action::Refuse(errno) => (Outcome::Failed(errno), true),
        Action::RootOnly { errno, told } => (Outcome::Failed(errno), told),
        Action::Bind(errno) | Action::Listen(errno) => (Outcome::Failed(errno), true),
        // EACCES, unless jumpd says yes.
        Action::Judge => (Outcome::Failed(13), false),
    }
}

fn foreign() -> Result<()> {
    let mut calls: Vec<&str> = probes().iter().map(|probe| probe.call).collect();
    calls.dedup();
    for abi in [Abi::I386, Abi::X32] {
        for call in ["getpid"].iter().chain(&calls) {
            let number = numbers(call).ok_or("no number")?.by(abi);
            tell(&format!("{abi} {call}"), call_by(abi, number)?);
        }
    }
    Ok(())
}

fn race(address: &str, other: &str, times: &str) -> Result<()> {
    let addresses: [SocketAddr; 2] = [address.parse()?, other.parse()?];
    let results = attacks::connect_racing(addresses, times.parse()?);
    for (name, to) in ["address", "other"].iter().zip(addresses) {
        let led = results.iter().flatten().filter(|peer| **peer == to);
        tell(name, led.count());
    }
    tell("refused", results.iter().filter(|r| r.is_err()).count());
    Ok(())
}

fn connect(address: SocketAddrV4) -> Option<TcpStream> {
    let stream = TcpStream::connect(address);
    say("connect", &stream);
    stream.ok()
}

fn alarm(address: &str, ms: &str) -> Result<()> {
    attacks::restarting_alarm(ms.parse()?)?;
    if let Some(stream) = connect(address.parse()?) {
        // That it is the connection it seems to be.
        tell("peer", stream.peer_addr()?);
    }
    Ok(())
}

fn unix(path: &str) {
    let stream = UnixStream::connect(path);
    say("unix", &stream);
    if let Ok(mut stream) = stream {
        let mut heard = String::new();
        // What could not be heard was not said.
        let _silence = stream.read_to_string(&mut heard);
        tell("heard", heard);
    }
}

fn tell_syslog(text: &str) -> io::Result<usize> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/dev/log")?;
    socket.send(format!("<14>attack: {text}").as_bytes())
}

fn neighbour(pid: &str) -> Result<()> {
    for (name, result) in peep(pid.parse()?) {
        say(name, &result);
    }
    Ok(())
}

fn serve(path: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    tell("serving", path);
    for connection in listener.incoming() {
        let connection = connection?;
        tell("peer", attacks::peer_uid(&connection)?);
        io::Write::write_all(&mut &connection, b"hello")?;
    }
    Ok(())
}

fn listened(program: &str, arguments: &[&str]) -> Result<()> {
    let _kept_open = another_listener()?;
    Command::new(program).args(arguments).status()?;
    Ok(())
}
