//! What a session may do: the connects that jumpd allows, and how.

use crate::jumpd::{Manners, seqpacket_listener};
use crate::lab::{BlackHole, GUARD, Lab, Target};
use jump_proto::{Channel, Request, Via};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

pub const TRIALS: &[(&str, fn())] = &[
    (
        "an_allowed_connect_carries_data_and_is_told_with_its_cookie",
        allowed,
    ),
    ("a_denied_connect_reaches_nobody", denied),
    (
        "a_non_blocking_connect_is_in_progress_at_once",
        non_blocking,
    ),
    ("the_errors_are_the_kernels_own", errors),
    ("an_address_is_judged_as_what_it_is", spellings),
    ("families_mix_as_in_the_kernel", families),
    ("a_query_goes_to_a_resolver_only", resolver),
    ("syslog_is_reached_and_other_sockets_are_not", unix),
    ("jump_shell_reaches_jumpd_and_counts_as_shell", shell),
    ("ssh_reaches_its_agent_by_name_and_counts_as_a_hop", ssh),
    ("the_monitor_goes_on_working_as_root", monitor),
    ("a_restarted_call_is_answered_from_memory", restarted),
    (
        "more_connects_at_once_than_anyone_needs_are_refused",
        overload,
    ),
];

fn allowed() {
    let target = Target::new();
    let to = target.address();
    let mut lab = Lab::new(move |j| j.destination == to);
    let session = lab.session("exchange", &[&to.to_string()]);
    let mut peer = target.accepts();
    let mut text = [0; 4];
    peer.read_exact(&mut text).unwrap();
    peer.write_all(b"pong").unwrap();
    let said = session.says();
    assert_eq!(said["heard"], "pong");
    assert!(said["child"].contains("Exited"), "{said:?}");
    let judged = lab.jumpd.judged();
    assert_eq!(judged.len(), 1);
    assert!(judged[0].tcp && judged[0].via == Via::Forward && judged[0].pid > 0);
    let (cookie, errno) = lab.jumpd.hears(|r| match r {
        Request::Connected { cookie, errno, .. } => Some((*cookie, *errno)),
        _ => None,
    });
    assert_eq!((cookie, errno), (judged[0].cookie, 0));
    // Nobody is left: the guard says so and goes.
    lab.jumpd
        .hears(|r| matches!(r, Request::Ended { .. }).then_some(()));
    assert!(lab.guard_exit().success());
    let sandbox = lab.jumpd.hears(|r| match r {
        Request::Attach { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    assert!(sandbox.starts_with("seccomp"));
}

fn denied() {
    let (open, shut) = (Target::new(), Target::new());
    let to = open.address();
    let lab = Lab::new(move |j| j.destination == to);
    let said = lab
        .session("connect", &[&to.to_string(), &shut.address().to_string()])
        .says();
    assert_eq!(said[&to.to_string()], "ok");
    assert_eq!(said[&shut.address().to_string()], "EACCES");
    assert!(shut.is_untouched());
}

fn non_blocking() {
    let hole = BlackHole::new();
    let lab = Lab::new(|_| true);
    let said = lab
        .session("non-blocking", &[&hole.address().to_string()])
        .says();
    assert_eq!(said["connect"], "EINPROGRESS");
    let errno = lab.jumpd.hears(|r| match r {
        Request::Connected { errno, .. } => Some(*errno),
        _ => None,
    });
    assert_eq!(errno, nix::libc::EINPROGRESS);
}

fn errors() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let said = lab
        .session("errors", &[&target.address().to_string()])
        .says();
    for (what, errno) in [
        ("closed", "EBADF"),
        ("file", "ENOTSOCK"),
        ("long", "EINVAL"),
        ("negative", "EINVAL"),
        ("short", "EINVAL"),
        ("empty", "EINVAL"),
        ("null", "EFAULT"),
        ("closed-null", "EBADF"),
        ("family", "EAFNOSUPPORT"),
    ] {
        assert_eq!(said[what], errno, "{what}");
    }
    assert!(target.is_untouched());
}

fn spellings() {
    let lab = Lab::new(|_| false);
    let said = lab.session("spellings", &["127.0.0.1:22"]).says();
    assert_eq!(
        said.values().filter(|v| *v == "EACCES").count(),
        8,
        "{said:?}"
    );
    let judged: Vec<String> = lab
        .jumpd
        .judged()
        .iter()
        .map(|j| j.destination.to_string())
        .collect();
    assert_eq!(
        judged,
        [
            "127.0.0.1:22",
            "0.0.0.0:22",
            "127.0.0.1:22",
            "[::]:22",
            "[::1]:22",
            "[64:ff9b::7f00:1]:22",
            "[2002:7f00:1::]:22",
            "[::7f00:1]:22"
        ]
    );
}

fn families() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let to = target.address().to_string();
    let said = lab.session("families", &[&to, "127.0.0.1:53"]).says();
    assert_eq!(said["tcp6-v4"], "EAFNOSUPPORT");
    assert_eq!(said["tcp4-v6"], "EAFNOSUPPORT");
    assert_eq!(said["udp6-v4"], "ok");
    assert!(target.is_untouched());
}

fn resolver() {
    let dns = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, cut_off) = (
        dns.local_addr().unwrap(),
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let lab = Lab::new(move |j| !j.tcp && j.destination == to);
    std::fs::write(lab.dir.path().join("x"), "").unwrap();
    let log = UnixDatagram::bind(lab.dir.path().join("log")).unwrap();
    let said = lab
        .session(
            "datagrams",
            &[&cut_off.local_addr().unwrap().to_string(), &to.to_string()],
        )
        .says();
    for (what, result) in [
        ("To", "EPERM"),
        ("Msg", "EPERM"),
        ("Mmsg", "ENOSYS"),
        ("connect", "EACCES"),
        ("resolver", "ok"),
        ("query", "ok"),
        ("elsewhere", "EPERM"),
        ("elsewhere-msg", "EPERM"),
        ("dissolve", "ok"),
        ("after", "EDESTADDRREQ"),
        ("bound", "EACCES"),
        ("journal", "EPERM"),
        ("journal-msg", "EPERM"),
    ] {
        assert_eq!(said[what], result, "{what}");
    }
    dns.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(dns.recv(&mut [0; 64]).unwrap(), 5);
    for silent in [dns, cut_off] {
        silent.set_nonblocking(true).unwrap();
        assert!(silent.recv(&mut [0; 64]).is_err());
    }
    log.set_nonblocking(true).unwrap();
    assert!(log.recv(&mut [0; 64]).is_err());
}

fn unix() {
    let lab = Lab::new(|_| true);
    let at = |name: &str| lab.dir.path().join(name);
    let _docker = UnixListener::bind(at("docker.sock")).unwrap();
    let _shell = seqpacket_listener(&at("shell.sock"));
    let _other = UnixDatagram::bind(at("other.dgram")).unwrap();
    let log = UnixDatagram::bind(at("log")).unwrap();
    for name in ["docker.sock", "other.dgram", "log"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o666)).unwrap();
    }
    let said = lab.session("unix", &[]).says();
    for what in ["stream", "abstract", "other-dgram", "relative"] {
        assert_eq!(said[what], "EACCES", "{what}");
    }
    assert!(said["shell"].contains("Permission denied"), "{said:?}");
    assert_eq!((said["log"].as_str(), said["line"].as_str()), ("ok", "ok"));
    log.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(log.recv(&mut [0; 64]).unwrap(), 6);
    lab.jumpd
        .hears(|r| matches!(r, Request::RefusedLocally { .. }).then_some(()));
}

fn shell() {
    use std::os::linux::net::SocketAddrExt;
    let target = Target::new();
    let lab = Lab::new(|_| true);
    passes_for(&lab, "jump-shell");
    let door = UnixListener::from(seqpacket_listener(&lab.dir.path().join("shell.sock")));
    let session = lab.session("shell", &[&target.address().to_string()]);
    let (connection, name) = door.accept().unwrap();
    let process = jump_proto::asking_process(name.as_abstract_name().unwrap());
    let peer = Channel::from(OwnedFd::from(connection)).peer().unwrap();
    // Attested: the other end is this session's guard, not the user.
    assert_eq!((peer.pid as u32, peer.uid), (lab.guard.id(), GUARD));
    let said = session.says();
    assert_eq!(
        (said["shell"].as_str(), said["target"].as_str()),
        ("ok", "ok")
    );
    let judged = &lab.jumpd.judged()[0];
    assert_eq!((judged.via, judged.hop), (Via::Shell, false));
    assert!(judged.ancestors.is_empty());
    // It hears which of the session's shells asks.
    assert_eq!(process, Some(judged.pid));
}

/// The user's program, which is this one, is the one of that name.
fn passes_for(lab: &Lab, name: &str) {
    let (this, link) = (std::env::current_exe().unwrap(), lab.dir.path().join(name));
    std::fs::hard_link(&this, &link)
        .or_else(|_| std::os::unix::fs::symlink(&this, &link))
        .unwrap();
}

fn ssh() {
    use std::os::linux::net::SocketAddrExt;
    let target = Target::new();
    let lab = Lab::new(|_| true);
    passes_for(&lab, "ssh");
    let place = lab.dir.path().join("agent.sock");
    let door = UnixListener::bind(&place).unwrap();
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let session = lab.session("ssh", &[&target.address().to_string()]);
    let monitor = session.monitor.id();
    let (connection, name) = door.accept().unwrap();
    let process = jump_proto::asking_process(name.as_abstract_name().unwrap());
    let peer = Channel::from(OwnedFd::from(connection)).peer().unwrap();
    assert_eq!((peer.pid as u32, peer.uid), (lab.guard.id(), GUARD));
    let said = session.says();
    assert_eq!(
        (said["agent"].as_str(), said["target"].as_str()),
        ("ok", "ok")
    );
    // A name of its own choice would be believed, were it to have one.
    assert_ne!(said["named"], "ok");
    assert!(said["shell"].contains("Permission denied"), "{said:?}");
    let judged = &lab.jumpd.judged()[0];
    assert_eq!((judged.via, judged.hop), (Via::Shell, true));
    let monitor = i32::try_from(monitor).unwrap();
    assert_eq!(judged.ancestors.first(), Some(&monitor));
    // The agent hears of the same process as jumpd was asked for.
    assert_eq!(process, Some(judged.pid));
}

fn monitor() {
    let target = Target::new();
    let lab = Lab::new(|_| false);
    let native = UnixListener::bind(lab.dir.path().join("native.sock")).unwrap();
    let session = lab.session("monitor", &[&target.address().to_string()]);
    let (connection, _) = native.accept().unwrap();
    let peer =
        nix::sys::socket::getsockopt(&connection, nix::sys::socket::sockopt::PeerCredentials)
            .unwrap();
    assert_eq!(
        (peer.uid(), peer.pid() as u32),
        (0, session.monitor.id()),
        "it connected by itself"
    );
    let said = session.says();
    for what in ["sendmsg", "received", "unix"] {
        assert_eq!(said[what], "ok", "{what}");
    }
    assert!(
        ["ok", "EPROTONOSUPPORT"].contains(&said["netlink"].as_str()),
        "{said:?}"
    );
    // TCP is judged also as root.
    assert_eq!(said["inet"], "EACCES");
    assert!(target.is_untouched());
}

fn restarted() {
    let target = Target::new();
    let manners = Manners {
        slow_connected: Duration::from_millis(600),
        ..Manners::default()
    };
    let lab = Lab::with(manners, |_| true);
    let to = target.address().to_string();
    let said = lab
        .session_as("monitor-of-an-old-kernel", "alarm", &[&to, "200"])
        .says();
    assert_eq!(said["connect"], "ok");
    drop(target.accepts());
    assert!(target.is_untouched(), "it connected once");
    assert_eq!(lab.jumpd.judged().len(), 1);
}

fn overload() {
    let hole = BlackHole::new();
    let mut lab = Lab::new(|_| true);
    let mut session = lab.session("many-blocking", &[&hole.address().to_string()]);
    let mut refused = 0;
    loop {
        let (name, result) = session.next().unwrap();
        match name.as_str() {
            "done" => break,
            "connect" => {
                assert_eq!(result, "ECONNREFUSED");
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!(refused, 80 - 64, "judged {}", lab.jumpd.judged().len());
    drop(session.says());
    // The 64 that waited do not hold up the guard's end.
    assert!(lab.guard_exit().success());
}
