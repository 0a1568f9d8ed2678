//! The second layer by itself, on this host's kernel: what it refuses when
//! the filter is not there.
//!
//! A domain is a thread's own, so each test has one to give away.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use jump_sys::landlock;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;

/// Runs `attempt` in a thread without TCP; its argument is the level obtained.
fn confined(attempt: impl FnOnce(u32) + Send + 'static) {
    let tried = thread::spawn(|| match landlock::restrict_session() {
        Ok(level) => attempt(level),
        Err(e) => assert_eq!(
            e.kind(),
            ErrorKind::PermissionDenied,
            "only root does without no_new_privs"
        ),
    });
    tried.join().unwrap();
}

#[test]
fn a_kernel_that_knows_tcp_refuses_it() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = target.local_addr().unwrap();
    confined(move |level| {
        if level == 0 {
            eprintln!("skipped: this kernel has no Landlock that knows TCP");
            return;
        }
        assert!(level <= landlock::abi() && level >= 4);
        assert_eq!(
            TcpStream::connect(to).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        assert_eq!(
            TcpListener::bind("127.0.0.1:0").unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
        // No right for datagrams exists: they are the filter's business.
        assert!(UdpSocket::bind("127.0.0.1:0").is_ok());
    });
    assert!(TcpStream::connect(to).is_ok(), "others are as they were");
}

#[test]
fn a_connection_from_before_goes_on() {
    use std::io::{Read, Write};
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(target.local_addr().unwrap()).unwrap();
    let (mut theirs, _) = target.accept().unwrap();
    confined(move |_| ours.write_all(b"on").unwrap());
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert!(text == "on" || text.is_empty());
}

#[test]
fn abstract_sockets_outside_are_out_of_reach() {
    let name = format!("jump-landlock-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    confined(move |level| {
        let reached = UnixStream::connect_addr(&address);
        assert_eq!(reached.is_err(), level >= 6, "{reached:?}");
    });
}
