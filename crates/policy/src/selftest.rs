//! The `[[tests]]` of a policy: questions with the answer the author expects.
//!
//! They are asked of the policy alone, without a resolver: a host name matches
//! only the same name in `hosts`, so a test means the same on every machine.

use crate::decision::{Decision, Destination, NoNames, Subject};
use crate::judge::{Way, judge};
use crate::model::{Effect, Model, PolicyTest};
use jump_proto::Method;
use std::fmt;

/// A red entry of `[[tests]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// Line of the entry, from 1.
    pub line: usize,
    /// The question, e.g. `alice from 10.1.2.3 to db1.example.internal:5432`.
    pub question: String,
    /// What the test expects, e.g. `allow by rule dba-office`.
    pub expected: String,
    /// What the policy answers, e.g. `deny (outside_window, rule dba-office)`.
    pub answer: String,
    file: String,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "test failed: {}\n --> {}:{}\n  = expected {}\n  = the policy says {}",
            self.question, self.file, self.line, self.expected, self.answer
        )
    }
}

fn question(test: &PolicyTest) -> String {
    let to = match &test.target {
        Destination::Address(address, port) => {
            std::net::SocketAddr::new(*address, *port).to_string()
        }
        Destination::Name(name, port) => format!("{name}:{port}"),
    };
    let with = test
        .mfa
        .map_or_else(String::new, |method| format!(" with {method}"));
    let login = test.login.as_ref();
    let login = login.map_or_else(String::new, |login| format!(" as {login}"));
    format!(
        "{} from {} to {to} by {}{login} at {}{with}",
        test.user,
        test.from,
        test.via.as_str(),
        test.at
    )
}

fn expected(test: &PolicyTest) -> String {
    let effect = match test.expect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    match &test.rule {
        Some(rule) => format!("{effect} by rule {rule}"),
        None => effect.to_owned(),
    }
}

fn described(decision: &Decision) -> String {
    match decision {
        Decision::Allow { rule, .. } => format!("allow by rule {rule}"),
        Decision::Deny { reason, rule, .. } => match rule {
            Some(rule) => format!("deny ({reason}, rule {rule})"),
            None => format!("deny ({reason})"),
        },
    }
}

/// The answer to a test; where it names no second factor, the first yes that one of the user's brings.
fn best(model: &Model, test: &PolicyTest) -> Decision {
    let ask = |mfa: Option<Method>| {
        let who = Subject {
            user: test.user.clone(),
            groups: test.system_groups.clone(),
            mfa,
        };
        let (from, to) = (test.from, &test.target);
        let way = match &test.login {
            Some(login) => Way::Hop(Some(login)),
            None => Way::Plain(test.via),
        };
        judge(model, &who, from, to, way, None, test.at, &NoNames)
    };
    let factors = match test.mfa {
        Some(method) => vec![Some(method)],
        None => model.factors_of(model.users.get(&test.user)),
    };
    let mut answers = factors.into_iter().map(ask);
    let first = answers.next().unwrap_or_else(|| ask(None));
    if first.is_allow() {
        return first;
    }
    answers.find(Decision::is_allow).unwrap_or(first)
}

/// Runs one test; `line` is where it stands.
pub(crate) fn run(
    model: &Model,
    test: &PolicyTest,
    file: &str,
    line: usize,
) -> Option<TestFailure> {
    let decision = best(model, test);
    let effect_right = decision.is_allow() == (test.expect == Effect::Allow);
    let rule_right = test.rule.is_none() || decision.rule() == test.rule.as_deref();
    if effect_right && rule_right {
        return None;
    }
    Some(TestFailure {
        line,
        question: question(test),
        expected: expected(test),
        answer: described(&decision),
        file: file.to_owned(),
    })
}
