//! Explain equals enforcement: `jumpctl explain`, PAM and a session's guard
//! ask the same jumpd, and must hear the same answer to the same question.
//!
//! The questions are not quite the same. Explain and the guard ask about a
//! place: may this user, from there, connect to that address and port this way
//! now? Their answers are equal word for word: yes or no, reason, rule. PAM
//! asks before a place is known: does any rule serve this user from there now?
//! So whatever explain allows, PAM lets in; whom PAM refuses, explain allows
//! nothing; and what is about the user alone has the same reason in both.

mod case;
pub(crate) mod host;

use case::{Case, OWN, SOURCES, cases, ip};
use host::{Answer, Host, Live, Person, answer};
use jiff::{SignedDuration, Timestamp};
use jump_proto::{Method, Reason};
use proptest::prelude::*;

/// Lets in whoever asks, so that a session is there whatever the policy says later.
const OPEN: &str = "version = 1\n[targets.any]\nhosts = [\"192.0.2.0/24\"]\nports = [22]\n\
    [users.alice]\nuid = 70001\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX\"]\n\
    [[rules]]\nname = \"all\"\neffect = \"allow\"\nusers = [\"alice\"]\nsystem_groups = [\"everybody\"]\ntargets = [\"any\"]\n\
    [users.robot]\nuid = 70003\nmfa = \"none\"\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmnjoOliYmva/enYpKl5dSJ9pA0Vm7uB2rqMeMPnt8B\"]\n\
    [[rules]]\nname = \"robots\"\neffect = \"allow\"\nusers = [\"robot\"]\ntargets = [\"any\"]\n\
    from = [\"0.0.0.0/1\", \"128.0.0.0/1\", \"2000::/3\"]\n";

/// A host on which the case's policy is in force and the case's user has a session.
fn set_up(case: &Case) -> (Host, Live) {
    let host = Host::new(OPEN, &case.names, &OWN.map(ip));
    host.at(case.now);
    let mut everybody = case.who.clone();
    everybody.groups.push("everybody".to_owned());
    let live = host.open(&everybody, case.source);
    host.take(&case.policy);
    (host, live)
}

fn milliseconds(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

/// What the three say of a place now; they must agree.
fn agreed(
    host: &Host,
    live: &Live,
    case: &Case,
    place: &host::Place,
) -> Result<Answer, TestCaseError> {
    let explained = host.explain(&case.who, Some(case.source), place, None);
    let answer = answer(&explained);

    // The guard asks by address, for each of them.
    let judged: Vec<Answer> = explained
        .addresses
        .iter()
        .map(|address| host.judge(live, *address, place))
        .collect();
    if let [judged] = judged.as_slice() {
        prop_assert_eq!(&answer, judged, "explain and guard differ");
    } else if !judged.is_empty() {
        let all = judged.iter().all(|(allowed, ..)| *allowed);
        prop_assert_eq!(answer.0, all, "explain and guard differ: {:?}", judged);
        prop_assert!(
            judged.contains(&answer),
            "{:?} is none of {:?}",
            answer,
            judged
        );
    }

    let (pam, sentence) = host.account(&case.who, case.source);
    prop_assert!(pam.0 || !answer.0, "explain allows, PAM says {:?}", pam);
    let of_the_user = |(_, reason, rule): &Answer| match reason {
        Reason::UnknownUser | Reason::NotYetValid | Reason::Expired => true,
        // With a rule, it is the rule that asks for another.
        Reason::MfaMethod => rule.is_none(),
        _ => false,
    };
    if of_the_user(&pam) || of_the_user(&answer) {
        prop_assert_eq!(&answer, &pam, "explain and PAM differ");
    }
    // Who is refused is told something; who is let in, at most when it ends.
    prop_assert!(sentence.is_some() || pam.0);
    Ok(answer)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn explain_pam_and_the_guard_agree(case in cases()) {
        let (host, live) = set_up(&case);
        for place in &case.places {
            agreed(&host, &live, &case, place)?;
        }
    }

}

// Each instant is searched for in windows of weeks: fewer cases do as much work.
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_changes_when_explain_says_and_not_before(case in cases()) {
        let (host, live) = set_up(&case);
        let Some(place) = case.places.first() else { return Ok(()) };
        let mut now = case.now;
        for _ in 0..3 {
            host.at(now);
            let answer = agreed(&host, &live, &case, place)?;
            let explained = host.explain(&case.who, Some(case.source), place, None);
            let Some(changes) = explained.changes_ms else {
                // Never: not in the next days, not in half a year.
                for later in [3, 200].map(|days| now + SignedDuration::from_hours(24 * days)) {
                    host.at(later);
                    prop_assert_eq!(&agreed(&host, &live, &case, place)?, &answer, "at {}", later);
                }
                return Ok(());
            };
            let change = milliseconds(changes);
            prop_assert!(change > now);
            for before in [now + change.duration_since(now) / 2, milliseconds(changes - 1)] {
                if before > now {
                    host.at(before);
                    prop_assert_eq!(&agreed(&host, &live, &case, place)?, &answer, "before {}", change);
                }
            }
            host.at(change);
            prop_assert_ne!(&agreed(&host, &live, &case, place)?, &answer, "at {}", change);
            // Asked with `--at`, it is the same.
            let told = host::answer(&host.explain(&case.who, Some(case.source), place, Some(changes - 1)));
            prop_assert_eq!(told, answer);
            now = change;
        }
    }

    #[test]
    fn without_a_source_explain_speaks_of_the_best(case in cases()) {
        let (host, _live) = set_up(&case);
        for place in case.places.iter().take(1) {
            let best = host.explain(&case.who, None, place, None);
            for source in SOURCES.map(ip) {
                let one = host.explain(&case.who, Some(source), place, None);
                prop_assert!(best.allowed || !one.allowed, "from {} it is allowed", source);
            }
            let any = Person { mfa: "", ..case.who.clone() };
            let whichever = host.explain(&any, Some(case.source), place, None);
            let mut opens = Vec::new();
            for method in Method::ALL {
                let with = case.who.clone().with(method.as_str());
                let one = host.explain(&with, Some(case.source), place, None);
                prop_assert!(whichever.allowed || !one.allowed || case.who.user == "robot", "with {} it is allowed", method);
                opens.extend(one.allowed.then_some(method));
            }
            // Where some open it and others do not, it is said which.
            prop_assert!(whichever.mfa.is_empty() || whichever.mfa == opens, "{:?}", whichever);
            if whichever.allowed && whichever.mfa.is_empty() && case.who.user != "robot" {
                let taken = host.jumpd.policy().unwrap().mfa_methods(case.who.user);
                prop_assert_eq!(opens, taken.into_iter().collect::<Vec<_>>());
            }
            if let Some(changes) = best.changes_ms {
                let at = |ms| answer(&host.explain(&case.who, None, place, Some(ms)));
                // With many sources it says how far it has looked.
                prop_assert_eq!(at(changes - 1), answer(&best));
            }
        }
    }
}

#[test]
fn a_question_without_a_time_is_about_now() {
    let policy = OPEN.replace(
        "uid = 70001",
        "uid = 70001\nvalid_until = 2026-07-01T12:00:00Z",
    );
    let host = Host::new(&policy, &[], &[]);
    let alice = Person::new("alice", 70001, &[]);
    let place = host::Place {
        host: "192.0.2.9",
        port: 22,
        via: jump_proto::Via::Forward,
    };
    for (now, reason) in [
        ("2026-07-01T11:59:59Z", Reason::RuleAllow),
        ("2026-07-01T12:00:00Z", Reason::Expired),
    ] {
        host.at(now.parse().unwrap());
        assert_eq!(host.explain(&alice, None, &place, None).reason, reason);
    }
}
