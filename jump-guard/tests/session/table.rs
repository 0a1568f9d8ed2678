//! Every line of the session filter's table, made for real: under the filter
//! and a guard, and without them.

use crate::lab::{Lab, Target};
use crate::probes::{connect, say, say_text, tcp};
use jump_proto::{Reason, Request};
use jump_sys::attacks::{Abi, Outcome, Probe, Targets, call_by, probes, set_option, socket};
use jump_sys::seccomp::{Action, row_of, rows};
use nix::libc;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

pub const TRIALS: &[(&str, fn())] = &[
    (
        "a18_a42_a44_every_line_of_the_table_is_made_and_written_down",
        every_line,
    ),
    (
        "a18_no_row_says_what_the_kernel_would_have_said_anyway",
        without_the_filter,
    ),
    (
        "a18_calls_by_other_tables_end_the_process_and_are_written_down",
        foreign,
    ),
    (
        "a_flood_of_forbidden_calls_is_written_down_in_sum_and_holds_nobody_up",
        flooded,
    ),
    ("what_programs_do_by_habit_is_no_event", habits),
];

/// How many refusals are written one by one in one go.
const ONE_BY_ONE: usize = 12;

// What the user of a session does.

/// Makes the lines with these numbers; the first two arguments are the targets.
pub fn make(args: &[String]) {
    let target = |n: usize| args[n].parse().unwrap();
    let targets = Targets {
        tcp: target(0),
        udp: target(1),
    };
    for number in &args[2..] {
        let probe = &probes()[number.parse::<usize>().unwrap()];
        let outcome = probe.run(targets).unwrap();
        say_text(number, &said(outcome));
    }
}

fn said(outcome: Outcome) -> String {
    outcome.to_string().replace(' ', "-")
}

/// Calls every number of the table, and getpid(2), by other architectures' tables.
pub fn make_foreign() {
    for (abi, number) in foreign_numbers() {
        let outcome = call_by(abi, number).map_or_else(|e| e.to_string(), said);
        say_text(&format!("{abi}-{number}"), &outcome);
    }
}

fn foreign_numbers() -> Vec<(Abi, u32)> {
    let mut calls: Vec<&str> = probes().iter().map(|probe| probe.call).collect();
    calls.push("getpid");
    calls.dedup();
    let numbers = |call| jump_sys::attacks::numbers(call).unwrap();
    [Abi::I386, Abi::X32]
        .into_iter()
        .flat_map(|abi| calls.iter().map(move |call| (abi, numbers(call).by(abi))))
        .collect()
}

/// Floods the guard with forbidden calls, and wants to connect meanwhile.
pub fn flood(to: SocketAddr) {
    let begun = Instant::now();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(move || {
                while begun.elapsed() < Duration::from_secs(3) {
                    let _refused = socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0);
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let mut worst = Duration::ZERO;
    for _ in 0..10 {
        let before = Instant::now();
        say("connect", connect(&tcp(), to));
        worst = worst.max(before.elapsed());
    }
    say_text("worst-ms", &worst.as_millis().to_string());
    // The needle in the noise.
    let linger = set_option(tcp().as_fd(), libc::SOL_SOCKET, libc::SO_LINGER, 1);
    say("linger", linger);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// What the C library and ordinary programs do unasked.
pub fn ordinary() {
    use std::net::ToSocketAddrs;
    say(
        "thread",
        thread::Builder::new()
            .spawn(|| ())
            .map(thread::JoinHandle::join),
    );
    say("program", std::process::Command::new("/bin/true").status());
    let _unresolved = "no-such-name.invalid:22".to_socket_addrs();
    let _addresses = nix::ifaddrs::getifaddrs();
    for (level, option) in [
        (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (libc::IPPROTO_IP, libc::IP_TOS),
    ] {
        let fd = tcp();
        say(
            &format!("option-{level}-{option}"),
            set_option(fd.as_fd(), level, option, 1),
        );
    }
    say("pair", std::os::unix::net::UnixStream::pair());
}

// The tests.

/// Somebody who listens, where nobody from a session may go, and what a probe is told of it.
struct Elsewhere {
    tcp: Target,
    udp: UdpSocket,
}

impl Elsewhere {
    fn new() -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self {
            tcp: Target::new(),
            udp,
        }
    }

    fn args(&self, lines: &[usize]) -> Vec<String> {
        let mut args = vec![
            self.tcp.address().to_string(),
            self.udp.local_addr().unwrap().to_string(),
        ];
        args.extend(lines.iter().map(ToString::to_string));
        args
    }

    fn is_untouched(&self) -> bool {
        self.tcp.is_untouched() && self.udp.recv(&mut [0; 8]).is_err()
    }
}

fn results(
    lab: &Lab,
    role: &str,
    elsewhere: &Elsewhere,
    lines: &[usize],
) -> HashMap<usize, String> {
    let args = elsewhere.args(lines);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = lab.session_as(role, "lines", &args).says();
    lines
        .iter()
        .map(|line| {
            let result = said.get(&line.to_string());
            (
                *line,
                result.unwrap_or_else(|| panic!("{line}: {said:?}")).clone(),
            )
        })
        .collect()
}

/// What a user of a session gets; jumpd says no to every connect.
fn expected(probe: &Probe) -> String {
    said(match probe.then {
        Action::Allow => Outcome::Ran,
        Action::Quietly(errno)
        | Action::Refuse(errno)
        | Action::RootOnly { errno, .. }
        | Action::Bind(errno)
        | Action::Listen(errno) => Outcome::Failed(errno),
        Action::Judge => Outcome::Failed(libc::EACCES),
    })
}

/// What is written down of it.
fn event(probe: &Probe) -> Option<String> {
    let told = match probe.then {
        Action::Refuse(_) | Action::Bind(_) | Action::Listen(_) => true,
        Action::RootOnly { told, .. } => told,
        Action::Allow | Action::Quietly(_) | Action::Judge => false,
    };
    let row = row_of(rows(), probe.number, &probe.seen()).unwrap();
    told.then(|| format!("{}(2): {}", row.call, row.why))
}

fn every_line() {
    let lines: Vec<usize> = (0..probes().len()).collect();
    for lines in lines.chunks(ONE_BY_ONE) {
        let elsewhere = Elsewhere::new();
        let mut lab = Lab::new(|_| false);
        let results = results(&lab, "monitor", &elsewhere, lines);
        for line in lines {
            let probe = &probes()[*line];
            assert_eq!(results[line], expected(probe), "{probe}");
        }
        assert!(elsewhere.is_untouched());
        // Its last words are all that it has to say.
        assert!(lab.guard_exit().success());
        let mut told: Vec<(Reason, String)> = lab.jumpd.refusals();
        // A socket in repair mode is asked for by other lines too.
        told.dedup();
        let mut events: Vec<(Reason, String)> = lines
            .iter()
            .filter_map(|line| event(&probes()[*line]))
            .map(|event| (Reason::ForbiddenCall, event))
            .collect();
        events.dedup();
        assert_eq!(told, events);
    }
}

fn without_the_filter() {
    let lines: Vec<usize> = (0..probes().len()).collect();
    let lab = Lab::new(|_| false);
    let elsewhere = Elsewhere::new();
    let as_user = results(&lab, "unguarded-user", &elsewhere, &lines);
    let as_root = results(&lab, "unguarded", &elsewhere, &lines);
    let differs = |line: &usize| {
        let with = expected(&probes()[*line]);
        [&as_user[line], &as_root[line]]
            .into_iter()
            .any(|without| *without != with && without != "not-made")
    };
    for row in rows().iter().filter(|row| row.then != Action::Allow) {
        let of_row: Vec<usize> = lines
            .iter()
            .copied()
            .filter(|line| {
                let probe = &probes()[*line];
                row_of(rows(), probe.number, &probe.seen())
                    .is_some_and(|decides| std::ptr::eq(decides, row))
            })
            .collect();
        assert!(
            of_row.iter().any(differs),
            "{}: the kernel of this host refuses it likewise: {}",
            row.call,
            row.why
        );
    }
    // What the table lets run is what runs anyway.
    for line in &lines {
        if probes()[*line].then == Action::Allow {
            assert_eq!(as_user[line], "ran", "{}", probes()[*line]);
        }
    }
    // The probes of the ways out do lead out.
    assert!(!elsewhere.is_untouched());
}

/// Whether processes of this host can call by this table at all.
fn can_call(abi: Abi) -> bool {
    let lab = Lab::new(|_| false);
    let getpid = jump_sys::attacks::numbers("getpid").unwrap().by(abi);
    let said = lab.session_as("unguarded", "foreign", &[]).says();
    let result = &said[&format!("{abi}-{getpid}")];
    assert!(
        ["ran", "errno-38", "signal-11"].contains(&result.as_str())
            || cfg!(not(target_arch = "x86_64")),
        "{abi}: {result}"
    );
    result == "ran"
}

fn foreign() {
    if cfg!(not(target_arch = "x86_64")) {
        // Nothing calls by a second table here but 32-bit programs, which this host need not have.
        return;
    }
    let i386 = can_call(Abi::I386);
    let mut lab = Lab::new(|_| true);
    let said = lab.session("foreign", &[]).says();
    for (abi, number) in foreign_numbers() {
        // x32 numbers pass the filter before the kernel finds that it has no such call; the i386
        // gate is closed before, with SIGSEGV, on a kernel without IA32_EMULATION.
        let end = match abi {
            Abi::I386 if !i386 => "signal-11",
            _ => "signal-9",
        };
        assert_eq!(said[&format!("{abi}-{number}")], end, "{abi} {number}");
    }
    assert!(lab.guard_exit().success());
    let told = lab.jumpd.refusals();
    let first = if i386 { "i386" } else { "x32" };
    assert_eq!(told[0].0, Reason::ForbiddenCall);
    assert!(
        told[0].1.contains(&format!("of the {first} table")),
        "{told:?}"
    );
    assert!(told[0].1.contains("the process was ended"), "{told:?}");
    // What was too much for a line each is in the sum.
    assert!(told.last().unwrap().1.contains("foreign"), "{told:?}");
}

fn flooded() {
    let target = Target::new();
    let mut lab = Lab::new(|_| true);
    let said = lab
        .session("flood", &[&target.address().to_string()])
        .says();
    assert_eq!(said["connect"], "ok");
    let worst: u64 = said["worst-ms"].parse().unwrap();
    assert!(worst < 1000, "a connect took {worst} ms");
    assert_eq!(said["linger"], "EPERM");
    assert!(lab.guard_exit().success());
    let told = lab.jumpd.refusals();
    assert!(told.len() < 40, "{} events", told.len());
    let sums: Vec<&String> = told
        .iter()
        .map(|(_, detail)| detail)
        .filter(|detail| detail.contains("not written one by one"))
        .collect();
    assert!(sums.iter().any(|sum| sum.contains("socket")), "{sums:?}");
    // The one call that was not noise is named, singly or in the sum.
    assert!(
        told.iter().any(|(_, detail)| detail.contains("setsockopt")),
        "{told:?}"
    );
}

fn habits() {
    let mut lab = Lab::new(|_| false);
    let said = lab.session("ordinary", &[]).says();
    for (what, result) in &said {
        if !["child", "landlock"].contains(&what.as_str()) {
            assert_eq!(result, "ok", "{what}");
        }
    }
    assert!(lab.guard_exit().success());
    assert_eq!(lab.jumpd.refusals(), []);
    // It was there to hear of any.
    lab.jumpd
        .hears(|r| matches!(r, Request::Ended { .. }).then_some(()));
}
