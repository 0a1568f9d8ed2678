//! What a session must not do, tried for real. Numbers are those of the list of attacks.

use crate::lab::{Lab, Target};

pub const TRIALS: &[(&str, fn())] = &[
    ("a18_fast_open_reaches_nobody", fast_open),
    ("a18_only_tcp_udp_and_unix_sockets_come_into_being", sockets),
    (
        "a18_socket_options_that_lead_elsewhere_are_refused",
        options,
    ),
    ("a18_a42_a44_calls_that_lead_out_are_refused", calls),
    ("a18_x32_calls_end_the_process", x32),
    ("a18_i386_calls_end_the_process", i386),
    (
        "a18_an_address_that_changes_after_the_question_does_not_matter",
        race,
    ),
    (
        "a20_a_second_listener_is_refused_with_a_clear_message",
        second_listener,
    ),
    (
        "a_tcp_connection_cannot_be_dissolved_to_hide_its_bytes",
        dissolve,
    ),
];

fn fast_open() {
    let target = Target::new();
    let lab = Lab::new(|_| false);
    let said = lab
        .session("fastopen", &[&target.address().to_string()])
        .says();
    assert_eq!(said["To"], "EOPNOTSUPP");
    assert_eq!(said["Msg"], "EOPNOTSUPP");
    assert_eq!(said["Mmsg"], "EOPNOTSUPP");
    assert_eq!(said["mptcp"], "none");
    assert!(target.is_untouched());
}

fn sockets() {
    let lab = Lab::new(|_| true);
    let said = lab.session("sockets", &[]).says();
    for protocol in [
        "mptcp",
        "sctp",
        "smc-by-protocol",
        "raw",
        "icmp",
        "udplite",
        "dccp",
        "packet-of-old",
    ] {
        assert_eq!(said[protocol], "EPROTONOSUPPORT", "{protocol}");
    }
    for family in [
        "vsock",
        "packet",
        "alg",
        "tipc",
        "rds",
        "smc",
        "kcm",
        "bluetooth",
        "xdp",
        "qipcrtr",
        "netlink",
    ] {
        assert_eq!(said[family], "EAFNOSUPPORT", "{family}");
    }
    assert_eq!(said["pair"], "ok");
    assert_eq!(said["listen"], "EACCES");
    assert_eq!(said["bind"], "EACCES");
}

fn options() {
    let lab = Lab::new(|_| true);
    let said = lab.session("options", &[]).says();
    for option in ["fastopen-connect", "fastopen", "ulp"] {
        assert_eq!(said[option], "EOPNOTSUPP", "{option}");
    }
    for option in ["repair", "ip-options", "rthdr", "linger", "device"] {
        assert_eq!(said[option], "EPERM", "{option}");
    }
    for option in ["nodelay", "keepalive", "tos"] {
        assert_eq!(said[option], "ok", "{option}");
    }
}

fn calls() {
    let lab = Lab::new(|_| true);
    let said = lab.session("calls", &[]).says();
    for works in ["clone", "thread", "program"] {
        assert_eq!(said[works], "ok", "{works}");
    }
    assert_eq!(said["clone3"], "ENOSYS");
    let others: Vec<_> = said
        .iter()
        .filter(|(name, _)| {
            !["clone", "thread", "program", "clone3", "child", "landlock"].contains(&name.as_str())
        })
        .collect();
    assert_eq!(others.len(), 20, "{others:?}");
    for (name, result) in others {
        assert_eq!(result, "EPERM", "{name}");
    }
}

#[cfg(target_arch = "x86_64")]
fn dies(probe: &str) {
    let lab = Lab::new(|_| true);
    let said = lab.session(probe, &[]).says();
    assert!(said["child"].contains("SIGKILL"), "{said:?}");
    assert!(!said.contains_key(probe));
}

fn x32() {
    #[cfg(target_arch = "x86_64")]
    dies("x32");
}

fn i386() {
    #[cfg(target_arch = "x86_64")]
    dies("i386");
}

fn race() {
    let (open, shut) = (Target::new(), Target::new());
    let to = open.address();
    let lab = Lab::new(move |j| j.destination == to);
    let mut session = lab.session("race", &[&to.to_string(), &shut.address().to_string()]);
    // The backlog must not fill.
    let reached = std::thread::spawn(move || (0..).take_while(|_| !open.is_untouched()).count());
    let connected: usize = session.waits_for("connected").parse().unwrap();
    let refused: usize = session.waits_for("refused").parse().unwrap();
    drop(session.says());
    assert_eq!(connected + refused, 400);
    assert!(shut.is_untouched());
    drop(reached);
    let asked = lab.jumpd.judged();
    assert_eq!(
        asked.iter().filter(|j| j.destination == to).count(),
        connected
    );
}

fn second_listener() {
    let lab = Lab::new(|_| true);
    let said = lab.session("second-listener", &[]).says();
    assert!(said["second"].contains("LXC"), "{said:?}");
}

fn dissolve() {
    let target = Target::new();
    let lab = Lab::new(|_| true);
    let said = lab
        .session("dissolve", &[&target.address().to_string()])
        .says();
    assert_eq!(said["connect"], "ok");
    assert_eq!(said["dissolve"], "EACCES");
    assert_eq!(said["again"], "EISCONN");
}
