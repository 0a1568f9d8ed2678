//! The user's own agent, brought along with `ssh -A`: may it come, and which ssh may use it?
//!
//! It comes only for a user with a rule that says `agent = "forwarded"`, and then only ssh of a hop by such a
//! rule gets to it, while it logs in. The guard asks both; jumpd itself never speaks to it.

#[cfg(test)]
mod tests;

use crate::agent::hop_that_may_log_in;
use crate::state::{Jumpd, complain};
use jump_audit::Kind;
use jump_proto::{Reason, Reply, SessionId};

impl Jumpd {
    /// sshd of a session is about to listen for its user's agent.
    pub(crate) fn bring_agent(&self, id: &SessionId, guard: i32) -> Reply {
        let reason = self.may_bring_agent(id, guard);
        Reply::Judged {
            allowed: reason == Reason::RuleAllow,
            reason,
        }
    }

    fn may_bring_agent(&self, id: &SessionId, guard: i32) -> Reason {
        let Some(asker) = self.guarded_by(id, guard) else {
            return Reason::NoSession;
        };
        let Some(policy) = self.policy() else {
            return Reason::NoRule;
        };
        let Some(rule) = policy.lets_agent_along(&asker.subject(), asker.source.ip()) else {
            return Reason::NoRule;
        };
        let event = asker.event(Kind::AgentForwarded).success().rule(&rule.name);
        if !self.announce(event) {
            return Reason::AuditFailed;
        }
        let mut sessions = self.sessions();
        let Some(session) = sessions.get_mut(id) else {
            return Reason::NoSession;
        };
        session.own_agent = true;
        // Kept in memory in any case; the file is for a restart.
        let _saved = sessions.save(id);
        Reason::RuleAllow
    }

    /// ssh of a session asks for its user's agent.
    pub(crate) fn use_agent(&self, id: &SessionId, process: i32, guard: i32) -> Reply {
        let allowed = self.guarded_by(id, guard).is_some()
            && self
                .sessions()
                .get(id)
                .is_some_and(|session| hop_that_may_log_in(session, process, true).is_some());
        if !allowed {
            complain(&format!(
                "ssh of session {id} asked for the user's own agent and has no hop that may log in with it"
            ));
        }
        let reason = if allowed {
            Reason::RuleAllow
        } else {
            Reason::WrongVia
        };
        Reply::Judged { allowed, reason }
    }
}
