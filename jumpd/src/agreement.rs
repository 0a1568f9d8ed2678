//! Explain equals enforcement: `jumpctl explain`, PAM and a session's guard
//! ask the same jumpd the same question and must hear the same answer.

use crate::generation::Generation;
use crate::sessions::Sessions;
use crate::state::Jumpd;
use jiff::Timestamp;
use jump_audit::{Journal, Memory};
use jump_mfa::FileStore;
use jump_policy::Policy;
use jump_proto::{ExplainRequest, Reason, Reply, Via};
use std::sync::Arc;

/// A jumpd without sockets, and what it writes into its journal.
struct Host {
    jumpd: Arc<Jumpd>,
    _journal: Memory,
    _state: tempfile::TempDir,
}

impl Host {
    /// With this policy in force.
    fn with(policy: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let policy = Policy::parse(policy, "policy.toml", "UTC")
            .unwrap_or_else(|errors| panic!("{errors}\n{policy}"));
        let journal = Memory::default();
        let jumpd = Jumpd::new(
            Some(Generation {
                number: 1,
                policy: Arc::new(policy),
            }),
            Sessions::load(state.path()).unwrap(),
            FileStore::open(state.path().join("mfa")).unwrap(),
            Journal::with_sinks(
                &state.path().join("audit.chain"),
                vec![Box::new(journal.clone())],
            ),
        );
        Self {
            jumpd: Arc::new(jumpd),
            _journal: journal,
            _state: state,
        }
    }
}

#[test]
fn a_question_without_a_time_is_about_now() {
    let host = Host::with(
        "version = 1\n[users.alice]\nuid = 70001\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO4du/BYXHpkbWwykRTk7oAPt7qBSbuwJ/k/BXY2jbX\"]\nvalid_until = 2026-07-01T12:00:00Z\n\
         [targets.t]\nhosts = [\"10.20.0.1\"]\nports = [22]\n\
         [[rules]]\nname = \"r\"\neffect = \"allow\"\nusers = [\"alice\"]\ntargets = [\"t\"]\n",
    );
    let ask = ExplainRequest {
        user: "alice".to_owned(),
        groups: Vec::new(),
        host: "10.20.0.1".to_owned(),
        port: 22,
        from: None,
        at_ms: None,
        via: Via::Forward,
    };
    for (now, reason) in [
        ("2026-07-01T11:59:59Z", Reason::RuleAllow),
        ("2026-07-01T12:00:00Z", Reason::Expired),
    ] {
        host.jumpd.set_clock(now.parse::<Timestamp>().unwrap());
        let Reply::Explained(answer) = host.jumpd.explain(&ask) else {
            panic!("no explanation");
        };
        assert_eq!(answer.reason, reason);
    }
}
