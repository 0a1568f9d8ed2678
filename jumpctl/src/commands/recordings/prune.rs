//! `jumpctl recordings prune`: delete what the policy keeps no longer.
//!
//! jumpd does it, because a deletion is an event, and because it knows which
//! recordings are being written. It deletes so many at a time; this asks until
//! nothing is left to delete.

use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::Output;
use jump_proto::{HopId, Reply, Request};

pub(super) fn run(jumpd: &Jumpd, dry_run: bool, out: &mut Output) -> Answer {
    let mut all: Vec<HopId> = Vec::new();
    let mut total: u64 = 0;
    let more = loop {
        let reply = jumpd.ask(&Request::RecordingsPrune { dry_run })?;
        let Reply::Pruned {
            recordings,
            bytes,
            more,
        } = reply
        else {
            return Err(Error::WrongAnswer);
        };
        // Each time something is deleted, so this comes to an end.
        let last = !more || dry_run || recordings.is_empty();
        all.extend(recordings);
        total = total.saturating_add(bytes);
        if last {
            break more;
        }
    };
    for recording in &all {
        out.line(recording)?;
    }
    let (done, at_least) = match (dry_run, more) {
        (true, true) => ("would be deleted", "at least "),
        (true, false) => ("would be deleted", ""),
        (false, _) => ("deleted", ""),
    };
    out.line(format_args!(
        "{at_least}{} recordings {done}, {}",
        all.len(),
        crate::output::bytes(total)
    ))?;
    out.json(&serde_json::json!({
        "recordings": all,
        "bytes": total,
        "dry_run": dry_run,
        "more": more,
    }))?;
    Ok(Outcome::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_proto::Channel;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    /// A jumpd that gives these answers to requests to prune; how many it was asked.
    fn asked(answers: Vec<Reply>, dry_run: bool) -> (Answer, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jumpd.sock");
        let listener = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&listener, 8).unwrap();
        let jumpd = std::thread::spawn(move || {
            let mut asked = 0;
            for answer in answers {
                let channel = Channel::from(rustix::net::accept(&listener).unwrap());
                match channel.recv().unwrap() {
                    Some(Request::RecordingsPrune { dry_run: asks }) if asks == dry_run => {}
                    other => panic!("{other:?}"),
                }
                channel.send(&answer).unwrap();
                asked += 1;
            }
            asked
        });
        let mut out = Output::to(false, Box::new(Vec::new()));
        let answer = run(&Jumpd::at(path), dry_run, &mut out);
        (answer, jumpd.join().unwrap())
    }

    fn pruned(count: u8, more: bool) -> Reply {
        Reply::Pruned {
            recordings: (0..count).map(|id| HopId::from_bytes([id; 16])).collect(),
            bytes: 1 << 20,
            more,
        }
    }

    #[test]
    fn it_asks_until_nothing_is_left() {
        let (answer, times) = asked(
            vec![pruned(3, true), pruned(2, true), pruned(1, false)],
            false,
        );
        assert!(matches!(answer, Ok(Outcome::Yes)));
        assert_eq!(times, 3);
    }

    #[test]
    fn what_is_only_named_is_named_once() {
        let (answer, times) = asked(vec![pruned(3, true)], true);
        assert!(matches!(answer, Ok(Outcome::Yes)));
        assert_eq!(times, 1);
    }

    #[test]
    fn a_jumpd_that_deletes_nothing_is_not_asked_for_ever() {
        let (answer, _) = asked(vec![pruned(0, true)], false);
        assert!(answer.is_ok());
    }

    #[test]
    fn a_refusal_is_told() {
        let refusal = Reply::Refused {
            reason: jump_proto::Reason::AuditFailed,
            message: "the deletion cannot be written".into(),
        };
        assert!(asked(vec![refusal], false).0.is_err());
    }
}
