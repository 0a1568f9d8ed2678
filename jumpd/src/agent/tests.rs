//! What ssh of a hop gets, and who gets nothing.

use super::*;
use crate::hop_open::tests::{alice, db, host, judge, opened};
use crate::state::now_ms;
use jump_proto::Reason;

const IDENTITIES: &[u8] = &[11];
const FAILURE: &[u8] = &[0, 0, 0, 1, 5];
const NO_IDENTITIES: &[u8] = &[0, 0, 0, 5, 12, 0, 0, 0, 0];

fn string(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text].concat()
}

/// What ssh signs to log in as `user`.
fn login(user: &str, certificate: &[u8]) -> Vec<u8> {
    [
        string(&[7; 32]),
        vec![50],
        string(user.as_bytes()),
        string(b"ssh-connection"),
        string(b"publickey"),
        vec![1],
        string(b"ssh-ed25519-cert-v01@openssh.com"),
        string(certificate),
    ]
    .concat()
}

fn sign(key: &[u8], data: &[u8]) -> Vec<u8> {
    [&[13][..], &string(key), &string(data), &[0; 4]].concat()
}

/// The one certificate of an answer.
fn certificate(answer: &[u8]) -> Vec<u8> {
    assert_eq!(answer[4..9], [12, 0, 0, 0, 1], "{answer:?}");
    let length = u32::from_be_bytes(answer[9..13].try_into().unwrap());
    answer[13..13 + usize::try_from(length).unwrap()].to_vec()
}

/// The process that [`judge`] names for a socket.
fn process(cookie: i32) -> i32 {
    5000 + cookie
}

#[test]
fn ssh_of_a_hop_gets_its_certificate_and_has_its_login_signed() {
    let host = host();
    let live = alice(&host);
    opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 1, true).0);
    let mut identity = None;
    let mut ask = |message: &[u8]| {
        host.jumpd
            .agent_answer(&live.id, process(1), message, &mut identity)
    };
    let known = certificate(&ask(IDENTITIES));
    assert_eq!(certificate(&ask(IDENTITIES)), known, "one hop, one key");
    let signed = ask(&sign(&known, &login("reader", &known)));
    assert_eq!(signed[4], 14);

    for wrong in [
        sign(&known, &login("root", &known)),
        sign(&known, b"anything"),
        sign(&known, b""),
        sign(b"another key", &login("reader", &known)),
        sign(&known, &[login("reader", &known), vec![0]].concat()),
        vec![],
        vec![17],
        vec![27, 0],
        [IDENTITIES, &[0]].concat(),
    ] {
        assert_eq!(ask(&wrong), FAILURE, "{wrong:?}");
    }
}

#[test]
fn nobody_else_gets_it() {
    let host = host();
    let (live, neighbour) = (alice(&host), alice(&host));
    opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 1, true).0);
    let ask = |session, process| {
        host.jumpd
            .agent_answer(session, process, IDENTITIES, &mut None)
    };
    certificate(&ask(&live.id, process(1)));
    assert_eq!(ask(&live.id, process(2)), FAILURE, "another process");
    assert_eq!(ask(&neighbour.id, process(1)), FAILURE, "another session");
    // A second hop's ssh has its own.
    opened(&host, &live, "odd");
    let odd = "10.20.0.9:2222".parse().unwrap();
    assert!(judge(&host, &live, odd, 2, true).0);
    assert_ne!(
        certificate(&ask(&live.id, process(1))),
        certificate(&ask(&live.id, process(2)))
    );
}

#[test]
fn a_process_that_carried_a_hop_is_never_given_the_key_of_another() {
    let host = host();
    let live = alice(&host);
    let me = i32::try_from(std::process::id()).unwrap();
    let ask = || host.jumpd.agent_answer(&live.id, me, IDENTITIES, &mut None);
    let first = opened(&host, &live, "reader@db").hop;
    assert!(judge(&host, &live, db(), 1, true).0);
    let hand_to_me = |cookie| {
        let mut sessions = host.jumpd.sessions();
        let session = sessions.get_mut(&live.id).unwrap();
        session.flows.get_mut(&cookie).unwrap().pid = me;
    };
    hand_to_me(1);
    assert_eq!(ask(), FAILURE, "the connection is another's");
    let carry = |hop| {
        let mut sessions = host.jumpd.sessions();
        let session = sessions.get_mut(&live.id).unwrap();
        session.carries(Process::of(me), hop);
    };
    carry(&first);
    certificate(&ask());
    // Over, and the next hop's connection, whoever made it, is not its own.
    host.jumpd.end_hop(&live.id, &first, None, None);
    opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 2, true).0);
    hand_to_me(2);
    assert_eq!(ask(), FAILURE);
}

#[test]
fn a_signature_is_of_a_hop_that_is_still_open_recorded_and_young() {
    let host = host();
    let live = alice(&host);
    let hop = opened(&host, &live, "root@db");
    host.jumpd.recording_begins(&live.id, &hop.hop).unwrap();
    assert!(judge(&host, &live, db(), 1, true).0);
    let mut identity = None;
    let mut ask = |message: &[u8]| {
        host.jumpd
            .agent_answer(&live.id, process(1), message, &mut identity)
    };
    let known = certificate(&ask(IDENTITIES));
    let request = sign(&known, &login("root", &known));
    assert_eq!(ask(&request)[4], 14);
    let change = |change: &dyn Fn(&mut Hop)| {
        let mut sessions = host.jumpd.sessions();
        change(
            sessions
                .get_mut(&live.id)
                .unwrap()
                .hops
                .get_mut(&hop.hop)
                .unwrap(),
        );
    };
    change(&|hop| hop.started_boot_ms -= 61_000);
    assert_eq!(ask(&request), FAILURE, "a login takes no minute");
    change(&|hop| hop.started_boot_ms += 61_000);
    assert_eq!(ask(&request)[4], 14);
    host.jumpd
        .recording_over(&live.id, &hop.hop, Reason::DiskFull);
    assert_eq!(ask(&request), FAILURE, "not recorded");
    change(&|hop| hop.recorded = true);
    assert_eq!(ask(&request), FAILURE, "its connection is cut");
    host.jumpd.end_hop(&live.id, &hop.hop, None, None);
    assert_eq!(ask(&request), FAILURE, "over");
}

#[test]
fn without_an_address_to_be_bound_to_there_is_no_certificate() {
    let host = host();
    let live = alice(&host);
    opened(&host, &live, "reader@db");
    assert!(judge(&host, &live, db(), 1, true).0);
    let (facts, ends) = host.jumpd.hop_that_logs_in(&live.id, process(1)).unwrap();
    assert!(ends.is_some_and(|ends| ends > now_ms()));
    // The host's own address, and not loopback.
    let sources = host.jumpd.own_sources().unwrap();
    assert_eq!(sources, ["192.0.2.10/32".parse::<IpNet>().unwrap()]);
    assert!(host.jumpd.new_identity(&facts, ends).is_ok());
    assert!(
        host.jumpd.new_identity(&facts, Some(0)).is_err(),
        "never valid"
    );
}

#[test]
fn a_message_that_is_too_long_or_cut_off_ends_the_connection() {
    let whole = string(IDENTITIES);
    assert_eq!(read(&mut &whole[..]).unwrap().as_deref(), Some(IDENTITIES));
    assert_eq!(read(&mut &[][..]).unwrap(), None);
    let long = u32::try_from(MAX_MESSAGE + 1).unwrap().to_be_bytes();
    assert!(read(&mut &long[..]).is_err());
    assert!(read(&mut &whole[..4]).is_err());
    assert_eq!(
        NO_IDENTITIES,
        Answer::Identities(None).to_message().unwrap()
    );
}

#[test]
fn the_connection_must_name_its_process() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let random = std::process::id();
    let place =
        SocketAddrUnix::new_abstract_name(format!("jump-test/{random}").as_bytes()).unwrap();
    bind(&listener, &place).unwrap();
    listen(&listener, 2).unwrap();
    let accepted = |name: Option<String>| {
        let ssh = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        if let Some(name) = name {
            let name = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
            bind(&ssh, &name).unwrap();
        }
        connect(&ssh, &place).unwrap();
        let end = rustix::net::accept(&listener).unwrap();
        process_of(&end)
    };
    assert_eq!(accepted(None), None);
    assert_eq!(accepted(Some(format!("else/{random}"))), None);
    let name = jump_proto::asker_name(4711, u64::from(random));
    assert_eq!(accepted(Some(name)), Some(4711));
}

fn process_of(end: &OwnedFd) -> Option<i32> {
    asking_process(end.as_fd()).unwrap()
}
