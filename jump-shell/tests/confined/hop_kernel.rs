//! The lists of a hop, rule by rule, in the kernel: with the rule the call is made as it would be without any
//! list, without it the process that makes it dies.
//!
//! The call's arguments are those that the rule wants, and else ones that the kernel refuses: no pointer of
//! theirs leads anywhere. What other arguments do is [`crate::hop_calls`]'s to show.

use crate::Tests;
use crate::hop_calls::wanted;
use crate::shell::myself;
use jump_shell::sandbox::filter::{self, Rule};
use jump_shell::sandbox::hop_calls::{HOP, PROBED, RUNNER};
use jump_sys::attacks::{Arg, Outcome, Probe, Targets};
use jump_sys::seccomp::Action;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{ExitCode, Stdio};

/// First argument of a child that has a rule's calls made; the rule's list, its name and what must become of them follow.
pub(crate) const ROLE: &str = "--hop-call";

const PASSES: &str = "passes";
const DIES: &str = "dies";
const IS_ABSENT: &str = "is absent";

/// Whoever has this rule, the lists in force, and what there is of them without it.
struct Case {
    rule: &'static Rule,
    with: Vec<Rule>,
    without: Vec<Rule>,
}

pub(crate) fn tests() -> Tests {
    let mut tests: Tests = Vec::new();
    let mut add = |list: &'static str, rules: &'static [Rule], endings: &[(&str, &'static str)]| {
        for rule in rules {
            for &(ending, wanted) in endings {
                tests.push((
                    format!("hop_kernel::{list}::{}_{ending}", rule.name),
                    Box::new(move || tried(list, rule.name, wanted)),
                ));
            }
        }
    };
    let both = [("passes", PASSES), ("dies_without_its_rule", DIES)];
    add("ssh", HOP, &both);
    add("runner", RUNNER, &both);
    add("probed", PROBED, &[("is_absent", IS_ABSENT)]);
    tests
}

fn tried(list: &str, name: &str, wanted: &str) {
    let output = myself()
        .args([ROLE, list, name, wanted])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

impl Case {
    fn of(list: &str, name: &str) -> Self {
        let own: &'static [Rule] = match list {
            "ssh" => HOP,
            "runner" => RUNNER,
            _ => PROBED,
        };
        let rule = own.iter().find(|rule| rule.name == name).unwrap();
        let others = own.iter().filter(|other| other.name != name).copied();
        let beside = match list {
            "ssh" => PROBED.to_vec(),
            "runner" => [HOP, PROBED].concat(),
            _ => HOP.to_vec(),
        };
        let without: Vec<Rule> = others.chain(beside).collect();
        let with = [without.as_slice(), std::slice::from_ref(rule)].concat();
        Self {
            rule,
            with,
            without,
        }
    }

    /// What becomes of each way to make the call that the rule knows.
    fn outcomes(&self, confine: impl Fn() -> io::Result<()>) -> Vec<Outcome> {
        let nobody = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);
        let targets = Targets {
            tcp: nobody,
            udp: nobody,
        };
        let made = |arguments: [u64; 6]| {
            let probe = Probe {
                call: self.rule.name,
                number: self.rule.number,
                with: "",
                args: arguments.map(Arg::Int),
                then: Action::Allow,
            };
            probe.run_after(targets, &confine).unwrap()
        };
        self.arguments().into_iter().map(made).collect()
    }

    fn arguments(&self) -> Vec<[u64; 6]> {
        let mut all = wanted(self.rule);
        if self.rule.name == "clone" {
            // The new process goes on with the stack of the old one.
            for arguments in &mut all {
                arguments[1..].fill(0);
            }
        }
        all
    }
}

/// The child's whole life: it has one thread, so it may fork.
pub(crate) fn child(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments
        .map(|argument| argument.into_string().unwrap())
        .collect();
    let [list, name, wanted] = arguments.as_slice() else {
        return ExitCode::FAILURE;
    };
    let case = Case::of(list, name);
    let absent = filter::compile_absent(PROBED).unwrap();
    let with = filter::compile(&case.with).unwrap();
    let without = filter::compile(&case.without).unwrap();
    let install = |program| filter::install(program).map_err(io::Error::other);
    match wanted.as_str() {
        PASSES => {
            let confined = case.outcomes(|| {
                install(&absent)?;
                install(&with)
            });
            // It returns to wherever the stack says, and that is no signal's frame.
            if name == "rt_sigreturn" {
                assert_eq!(confined, [Outcome::Ended(libc::SIGSEGV)]);
            } else {
                assert_eq!(confined, case.outcomes(|| Ok(())), "confined, and not");
                assert!(!confined.contains(&Outcome::NotMade), "{confined:?}");
            }
        }
        DIES => {
            for outcome in case.outcomes(|| install(&without)) {
                assert_eq!(outcome, Outcome::Ended(libc::SIGSYS));
            }
        }
        IS_ABSENT => {
            let outcomes = case.outcomes(|| {
                install(&absent)?;
                install(&with)
            });
            assert_eq!(outcomes, [Outcome::Failed(libc::ENOSYS)]);
        }
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}
