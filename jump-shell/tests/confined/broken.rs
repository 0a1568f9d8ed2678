//! Connections that do not stand, and relays that break off: one sentence each.

use crate::Tests;
use crate::fake::{Answer, Fake, friendly};
use crate::relay::{Target, heard, relayed};
use crate::shell::{asked, wait_until};
use jump_proto::{Reply, Request};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};

pub(crate) fn tests() -> Tests {
    crate::tests![
        a_closed_port_is_one_sentence,
        the_second_address_is_taken,
        a_name_without_address_is_one_sentence,
        a_target_that_breaks_off_is_told,
        a_reader_that_left_ends_the_relay,
    ]
}

fn a_closed_port_is_one_sentence() {
    let jumpd = Fake::friendly();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let output = asked(&jumpd.socket(), &format!("connect db1 {port}"))
        .output()
        .unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("jump-shell: db1 port {port}: the target refuses connections on this port.\n")
    );
}

/// A jumpd that resolves every name to `addresses`.
fn resolving_to(addresses: &[IpAddr]) -> Fake {
    let addresses = addresses.to_vec();
    Fake::new(move |question| {
        Answer::Say(match question {
            Request::Resolve { .. } => Reply::Addresses {
                addresses: addresses.clone(),
            },
            other => friendly(other),
        })
    })
}

fn the_second_address_is_taken() {
    let nobody = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let jumpd = resolving_to(&[nobody, IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let target = Target::new();
    let mut child = asked(&jumpd.socket(), &target.wish()).spawn().unwrap();
    let mut stream = target.accept();
    stream.write_all(b"here").unwrap();
    drop(stream);
    let mut out = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut out)
        .unwrap();
    assert_eq!(
        (out.as_str(), child.wait().unwrap().code()),
        ("here", Some(0))
    );
}

fn a_name_without_address_is_one_sentence() {
    let jumpd = resolving_to(&[]);
    let output = asked(&jumpd.socket(), "connect db1 22").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        b"jump-shell: db1 port 22: it has no address.\n"
    );
}

fn a_target_that_breaks_off_is_told() {
    let mut relayed = relayed();
    relayed.say(b"x");
    assert_eq!(heard(&mut relayed.target, 1), b"x");
    // Closing with bytes unread resets the connection (RFC 2525 section 2.17).
    relayed.say(b"unread");
    wait_until("the bytes", || {
        relayed.target.peek(&mut [0; 6]).unwrap() == 6
    });
    let target = std::mem::replace(&mut relayed.target, {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    });
    drop(target);
    let (status, err) = relayed.end();
    assert_eq!(status, Some(1));
    assert!(
        err.ends_with("the target broke the connection off.\n") && err.lines().count() == 1,
        "{err}"
    );
}

fn a_reader_that_left_ends_the_relay() {
    let mut relayed = relayed();
    relayed.say(b"x");
    assert_eq!(heard(&mut relayed.target, 1), b"x");
    drop(relayed.child.stdout.take());
    // The user says no more either, the target is silent: nobody is left to relay for.
    let (status, _) = relayed.end();
    assert_eq!(status, Some(1));
}
