//! `jumpctl sessions`: who is connected, to what, until when; and ending it.

use crate::cli::Sessions;
use crate::client::Jumpd;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, bytes, printable, remark};
use crate::time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use jump_proto::{HopInfo, Request, SessionInfo};

/// Digits of an id in lists: unique among thousands, short enough to type.
const SHORT: usize = 8;

pub(super) fn run(jumpd: &Jumpd, action: Option<Sessions>, out: &mut Output) -> Answer {
    let mut sessions = jumpd.sessions()?;
    sessions.sort_by(|a, b| (a.opened_ms, &a.session).cmp(&(b.opened_ms, &b.session)));
    match action.unwrap_or(Sessions::List { user: None }) {
        Sessions::List { user } => {
            sessions.retain(|session| user.as_ref().is_none_or(|user| session.user == *user));
            list(&sessions, out)
        }
        Sessions::Show { session } => {
            let listed = find(&sessions, &session)?;
            let whole = jumpd.session(&listed.session)?;
            show(whole.as_ref().unwrap_or(listed), out)
        }
        Sessions::Kill {
            sessions: ids,
            user,
        } => {
            let chosen: Vec<&SessionInfo> = match &user {
                Some(user) => sessions
                    .iter()
                    .filter(|session| session.user == *user)
                    .collect(),
                None => ids
                    .iter()
                    .map(|id| find(&sessions, id))
                    .collect::<Result<_, _>>()?,
            };
            kill(jumpd, &chosen, out)
        }
    }
}

fn list(sessions: &[SessionInfo], out: &mut Output) -> Answer {
    let (now, zone) = (Timestamp::now().as_millisecond(), TimeZone::system());
    if sessions.is_empty() {
        out.line("No sessions.")?;
    } else {
        let rows: Vec<_> = sessions
            .iter()
            .map(|session| row(session, now, &zone))
            .collect();
        out.table(
            &[
                "SESSION", "USER", "FROM", "SINCE", "UNTIL", "FLOWS", "SENT", "RECEIVED", "SANDBOX",
            ],
            &rows,
        )?;
    }
    out.json(&sessions)?;
    Ok(Outcome::Yes)
}

fn row(session: &SessionInfo, now: i64, zone: &TimeZone) -> Vec<String> {
    vec![
        session.session.as_str()[..SHORT].to_owned(),
        printable(&session.user),
        session.source.ip().to_string(),
        time::length(now - session.opened_ms),
        until(session, zone),
        session.flow_count.to_string(),
        bytes(session.bytes_sent),
        bytes(session.bytes_received),
        printable(&session.sandbox),
    ]
}

fn until(session: &SessionInfo, zone: &TimeZone) -> String {
    match (session.ends_ms, session.ends_reason) {
        (Some(ms), Some(reason)) => format!("{} ({reason})", time::show(ms, zone)),
        (Some(ms), None) => time::show(ms, zone),
        (None, _) => "open".to_owned(),
    }
}

/// Hops of the restricted shell, and what is recorded of them.
fn hops(session: &SessionInfo, zone: &TimeZone, out: &mut Output) -> Result<(), Error> {
    if session.hops.is_empty() {
        return Ok(());
    }
    let recording = |hop: &HopInfo| match (hop.record, hop.recorded) {
        (false, _) => String::new(),
        (true, None) => "no".to_owned(),
        (true, Some(so_far)) => bytes(so_far),
    };
    let rows: Vec<Vec<String>> = session
        .hops
        .iter()
        .map(|hop| {
            vec![
                hop.hop.as_str()[..SHORT].to_owned(),
                format!("{}@{}", printable(&hop.login), printable(&hop.target)),
                hop.destination.to_string(),
                time::show(hop.since_ms, zone),
                recording(hop),
                printable(&hop.rule),
            ]
        })
        .collect();
    out.line("")?;
    out.table(
        &["HOP", "TARGET", "ADDRESS", "SINCE", "RECORDED", "RULE"],
        &rows,
    )
}

fn show(session: &SessionInfo, out: &mut Output) -> Answer {
    let zone = TimeZone::system();
    out.line(format_args!("Session:  {}", session.session))?;
    out.line(format_args!(
        "User:     {} (uid {})",
        printable(&session.user),
        session.uid
    ))?;
    out.line(format_args!("From:     {}", session.source))?;
    out.line(format_args!(
        "Since:    {}",
        time::show(session.opened_ms, &zone)
    ))?;
    out.line(format_args!("Until:    {}", until(session, &zone)))?;
    if let Some(idle) = session.idle_ms {
        let idle = i64::try_from(idle).unwrap_or(i64::MAX);
        out.line(format_args!("Idle:     {}", time::length(idle)))?;
    }
    out.line(format_args!(
        "Bytes:    {} sent, {} received",
        session.bytes_sent, session.bytes_received
    ))?;
    out.line(format_args!("Factor:   {}", printable(&session.mfa)))?;
    if let Some(key) = &session.key_fingerprint {
        out.line(format_args!("Key:      {}", printable(key)))?;
    }
    out.line(format_args!("Sandbox:  {}", printable(&session.sandbox)))?;
    hops(session, &zone, out)?;
    if session.flows.is_empty() {
        out.line("No connections.")?;
    } else {
        let rows: Vec<Vec<String>> = session
            .flows
            .iter()
            .map(|flow| {
                vec![
                    flow.destination.to_string(),
                    printable(flow.name.as_deref().unwrap_or("")),
                    flow.via.as_str().to_owned(),
                    time::show(flow.since_ms, &zone),
                    flow.bytes_sent.map_or_else(String::new, bytes),
                    flow.bytes_received.map_or_else(String::new, bytes),
                    printable(&flow.rule),
                ]
            })
            .collect();
        out.line("")?;
        out.table(
            &[
                "DESTINATION",
                "NAME",
                "VIA",
                "SINCE",
                "SENT",
                "RECEIVED",
                "RULE",
            ],
            &rows,
        )?;
        let unseen = session.flow_count.saturating_sub(session.flows.len());
        if unseen > 0 {
            out.line(format_args!("and {unseen} more"))?;
        }
    }
    out.json(session)?;
    Ok(Outcome::Yes)
}

fn kill(jumpd: &Jumpd, chosen: &[&SessionInfo], out: &mut Output) -> Answer {
    let mut killed = Vec::new();
    let mut refused = false;
    for session in chosen {
        match jumpd.tell(&Request::Kill {
            session: session.session.clone(),
        }) {
            Ok(()) => {
                out.line(format_args!(
                    "Ended {} of {}.",
                    session.session,
                    printable(&session.user)
                ))?;
                killed.push(session.session.as_str());
            }
            // One that ended by itself meanwhile must not keep the others alive.
            Err(Error::Refused { message, .. }) => {
                remark(format_args!("{}: {}", session.session, printable(&message)));
                refused = true;
            }
            Err(e) => return Err(e),
        }
    }
    if chosen.is_empty() {
        out.line("No such session.")?;
    }
    out.json(&serde_json::json!({ "killed": killed }))?;
    Ok(Outcome::from_bool(!refused && !killed.is_empty()))
}

/// The one session whose id begins like this.
fn find<'a>(sessions: &'a [SessionInfo], prefix: &str) -> Result<&'a SessionInfo, Error> {
    let prefix = prefix.to_ascii_lowercase();
    let mut fitting = sessions
        .iter()
        .filter(|s| !prefix.is_empty() && s.session.as_str().starts_with(&prefix));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::Refused {
            reason: jump_proto::Reason::NoSession,
            message: format!(
                "no live session has an id that begins with {prefix:?}; see `jumpctl sessions`"
            ),
        }),
        (Some(_), Some(_)) => Err(Error::Usage(format!(
            "several sessions have an id that begins with {prefix:?}; give more of it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jump_proto::{Reason, SessionId};

    fn session(first: u8, second: u8) -> SessionInfo {
        let mut id = [0; 16];
        (id[0], id[1]) = (first, second);
        SessionInfo {
            session: SessionId::from_bytes(id),
            user: "alice".into(),
            uid: 70001,
            source: "10.1.2.3:4711".parse().unwrap(),
            opened_ms: 1_795_417_200_000,
            ends_ms: Some(1_795_433_400_000),
            ends_reason: Some(Reason::WindowClosed),
            mfa: "totp".into(),
            key_fingerprint: None,
            sandbox: "seccomp+landlock7".into(),
            guard: None,
            flow_count: 0,
            flows: vec![],
            bytes_sent: 1_500,
            bytes_received: 20_000_000,
            idle_ms: None,
            hops: vec![],
        }
    }

    #[test]
    fn an_id_may_be_abbreviated_while_it_is_unique() {
        let all = [session(0xab, 0x01), session(0xab, 0x02), session(0xcd, 0)];
        assert_eq!(find(&all, "cd").unwrap().session, all[2].session);
        assert_eq!(find(&all, "AB02").unwrap().session, all[1].session);
        assert_eq!(find(&all, "ab").unwrap_err().exit_code(), 2);
        assert_eq!(find(&all, "ff").unwrap_err().exit_code(), 1);
        assert_eq!(find(&all, "").unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_row_says_until_when_and_why() {
        let row = row(
            &session(1, 2),
            1_795_417_260_000,
            &TimeZone::get("Europe/Paris").unwrap(),
        );
        assert_eq!(
            row,
            [
                "01020000",
                "alice",
                "10.1.2.3",
                "1 min",
                "Mon 2026-11-23 12:30:00 CET (window_closed)",
                "0",
                "1.5 kB",
                "20.0 MB",
                "seccomp+landlock7"
            ]
        );
    }
}
