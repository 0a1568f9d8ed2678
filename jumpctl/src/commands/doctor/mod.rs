//! `jumpctl doctor`: is everything on this host as it must be?
//!
//! Asks sshd, systemd, jumpd and the kernel rather than believing files where
//! that is possible. Red means that somebody is let in, or kept out, otherwise
//! than the policy says; a warning is for the admin to weigh.

mod hops;
mod second_factors;

use crate::client::Jumpd;
use crate::egress;
use crate::error::{Answer, Outcome};
use crate::output::{Output, printable_lines};
use crate::policy_file;
use crate::setup::host::{Effective, Host};
use crate::setup::{self, drop_in, nsswitch, pam};
use jump_policy::Policy;
use jump_proto::{Status, paths};
use serde::Serialize;
use std::fs;

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Red,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.push(check, Verdict::Ok, detail.into());
    }
    fn warn(&mut self, check: &'static str, detail: impl Into<String>) {
        self.push(check, Verdict::Warning, detail.into());
    }
    fn red(&mut self, check: &'static str, detail: impl Into<String>) {
        self.push(check, Verdict::Red, detail.into());
    }
    /// Ok or red, with a sentence for each.
    fn must(&mut self, check: &'static str, holds: bool, good: &str, bad: impl Into<String>) {
        if holds {
            self.ok(check, good);
        } else {
            self.red(check, bad);
        }
    }
    fn push(&mut self, check: &'static str, verdict: Verdict, detail: String) {
        self.0.push(Finding {
            check,
            verdict,
            detail,
        });
    }
}

pub(super) fn run(host: &dyn Host, jumpd: &Jumpd, out: &mut Output) -> Answer {
    let mut findings = Findings::default();
    let status = ask_jumpd(jumpd, &mut findings);
    let policy = policy_on_disk(host, status.as_ref(), &mut findings);
    wiring(host, status.as_ref(), &mut findings);
    sshd(host, policy.as_ref(), &mut findings);
    units(host, &mut findings);
    packet_filter(host, jumpd, &mut findings);
    kernel(host, &mut findings);
    second_factors::sealing(host, status.as_ref(), &mut findings);
    second_factors::look(jumpd, status.as_ref(), &mut findings);
    hops::look(host, jumpd, policy.as_ref(), &mut findings);
    report(&findings.0, out)
}

fn report(findings: &[Finding], out: &mut Output) -> Answer {
    for finding in findings {
        let word = match finding.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Red => "RED ",
        };
        let detail = printable_lines(&finding.detail).replace('\n', "\n               ");
        out.line(format_args!("{word}  {:<8} {detail}", finding.check))?;
    }
    let red = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Red);
    out.json(&serde_json::json!({ "ok": !red, "findings": findings }))?;
    Ok(Outcome::from_bool(!red))
}

fn ask_jumpd(jumpd: &Jumpd, findings: &mut Findings) -> Option<Status> {
    match jumpd.status() {
        Ok(status) => {
            let version = env!("CARGO_PKG_VERSION");
            if status.version == version {
                findings.ok("jumpd", format!("answers, version {version}"));
            } else {
                findings.warn(
                    "jumpd",
                    format!(
                        "runs version {}, jumpctl is {version}; `systemctl restart jumpd`",
                        status.version
                    ),
                );
            }
            Some(status)
        }
        Err(e) => {
            findings.red("jumpd", e.to_string());
            None
        }
    }
}

fn policy_on_disk(
    host: &dyn Host,
    status: Option<&Status>,
    findings: &mut Findings,
) -> Option<Policy> {
    const CHECK: &str = "policy";
    let policy = match policy_file::load(&host.path(paths::POLICY)) {
        Ok(policy) => policy,
        Err(e) => {
            findings.red(CHECK, format!("{e}\n`jumpctl check` says more"));
            return None;
        }
    };
    match status.map(|status| status.policy.as_deref()) {
        Some(Some(hash)) if hash == policy.hash() => {
            findings.ok(CHECK, format!("{hash} is in force"));
        }
        Some(Some(hash)) => findings.red(
            CHECK,
            format!(
                "{hash} is in force, on disk is {}; `jumpctl apply` says why",
                policy.hash()
            ),
        ),
        Some(None) => findings.red(CHECK, "none is in force; `jumpctl apply`"),
        None => {}
    }
    Some(policy)
}

fn wiring(host: &dyn Host, status: Option<&Status>, findings: &mut Findings) {
    match setup::pam_module(host) {
        Ok(path) => findings.ok("pam", format!("{} is there", path.display())),
        Err(e) => findings.red("pam", e.to_string()),
    }
    let read = |path: &str| fs::read(host.path(path)).unwrap_or_default();
    findings.must(
        "pam",
        pam::is_in_place(&read(paths::PAM_SERVICE)),
        "auth and account come first, session last",
        format!(
            "the lines of pam_jump are not where they belong in {}; `jumpctl setup`",
            paths::PAM_SERVICE
        ),
    );
    findings.must(
        "nss",
        nsswitch::is_in_place(&read(setup::NSSWITCH)),
        "nsswitch.conf asks jump after files",
        "nsswitch.conf does not ask `jump` after `files` for passwd and group; `jumpctl setup`",
    );
    let text = read(paths::SSHD_DROP_IN);
    if !drop_in::is_ours(&text) {
        findings.red(
            "sshd",
            format!("{} is missing; `jumpctl setup`", paths::SSHD_DROP_IN),
        );
        return;
    }
    let Some(status) = status else { return };
    let wanted = drop_in::Scope::new(&status.scope, status.automation.clone())
        .zip(host.sshd_effective("root").ok())
        .and_then(|(scope, root)| {
            drop_in::render(&scope, setup::features(&root, status.agents)).ok()
        });
    findings.must(
        "sshd",
        wanted.is_some_and(|wanted| wanted.as_bytes() == text),
        "the drop-in fits the policy in force",
        format!(
            "{} is not what the policy in force needs; `jumpctl setup`",
            paths::SSHD_DROP_IN
        ),
    );
}

fn sshd(host: &dyn Host, policy: Option<&Policy>, findings: &mut Findings) {
    if host.path(SSHRC).exists() {
        findings.warn(
            "sshrc",
            format!("{SSHRC} is there: sshd runs it in every session of policy users, within the session's limits; remove it if they do not need it"),
        );
    }
    const CHECK: &str = "sshd";
    if let Err(said) = host.sshd_test() {
        findings.red(CHECK, format!("does not accept its configuration: {said}"));
        return;
    }
    match setup::way_to_drop_in(host) {
        Ok(obstacles) => obstacles
            .iter()
            .for_each(|obstacle| findings.red(CHECK, obstacle.to_string())),
        Err(e) => findings.red(CHECK, e.to_string()),
    }
    let Ok(root) = host.sshd_effective("root") else {
        return;
    };
    let first = |keyword: &str| {
        root.get(keyword)
            .and_then(|v| v.first())
            .map(String::as_str)
    };
    findings.must(
        CHECK,
        first("usepam") == Some("yes"),
        "uses PAM",
        "does not use PAM; set `UsePAM yes`",
    );
    for hint in setup::penalties_hint(&root) {
        findings.warn(CHECK, hint);
    }
    let Some(policy) = policy else { return };
    let features = setup::features(&root, policy.agents());
    let mut served = 0;
    for user in policy.users().take(setup::USERS_ASKED) {
        match host.sshd_effective(&user.name) {
            Ok(effective) => {
                let wrong =
                    setup::differences(&effective, setup::member(user.is_automation()), features);
                if wrong.is_empty() {
                    served += 1;
                } else {
                    findings.red(
                        CHECK,
                        format!(
                            "{} is not served as a jump user: {}",
                            user.name,
                            wrong.join("; ")
                        ),
                    );
                }
                shut_out(&user.name, policy.host_group().0, &effective, findings);
            }
            Err(said) => findings.red(
                CHECK,
                format!("cannot tell how {} is served: {said}", user.name),
            ),
        }
    }
    if served > 0 {
        findings.ok(
            CHECK,
            format!("{served} users of the policy are served as the drop-in says"),
        );
    }
}

/// `AllowUsers` and `AllowGroups` are lists of the only ones let in; a jump user may be missing.
/// sshd runs it inside every session that asks for a shell or a command, and has no setting against it.
const SSHRC: &str = "/etc/ssh/sshrc";

fn shut_out(user: &str, group: &str, effective: &Effective, findings: &mut Findings) {
    for (keyword, name) in [("allowusers", user), ("allowgroups", group)] {
        let Some(patterns) = effective.get(keyword) else {
            continue;
        };
        let plain = |pattern: &str| pattern == name || pattern.contains(['*', '?', '@']);
        if !patterns
            .iter()
            .flat_map(|line| line.split_whitespace())
            .any(plain)
        {
            findings.red(
                "sshd",
                format!(
                    "{keyword} does not name {name}, so {user} is refused; add it in sshd_config"
                ),
            );
        }
    }
}

fn units(host: &dyn Host, findings: &mut Findings) {
    if !host.has_systemd() {
        findings.warn("systemd", "does not run here");
        return;
    }
    for unit in setup::UNITS {
        findings.must(
            "systemd",
            host.systemctl(&["is-active", "--quiet", unit]).is_ok(),
            &format!("{unit} is active"),
            format!("{unit} is not active; `systemctl enable --now {unit}`"),
        );
    }
}

/// Where `setup --nftables` was done.
fn packet_filter(host: &dyn Host, jumpd: &Jumpd, findings: &mut Findings) {
    const CHECK: &str = "egress";
    if !egress::is_set_up(host) {
        return;
    }
    match egress::compare(host, jumpd) {
        Ok(()) => findings.ok(CHECK, "the packet filter is what the policy in force says"),
        Err(why) => findings.red(CHECK, why),
    }
}

fn kernel(host: &dyn Host, findings: &mut Findings) {
    const CHECK: &str = "kernel";
    let read = |path: &str| fs::read_to_string(host.path(path)).unwrap_or_default();
    // 3 forbids attaching to anybody, with any capability: the guard could not
    // take a task's socket, and every connect would be refused.
    findings.must(
        CHECK,
        read("/proc/sys/kernel/yama/ptrace_scope").trim() != "3",
        "lets the guard reach its sessions",
        "kernel.yama.ptrace_scope is 3, so the guard can connect nothing; set it to 2 or less and reboot",
    );
    findings.must(
        CHECK,
        read("/proc/sys/kernel/seccomp/actions_avail").contains("user_notif"),
        "has seccomp user notification",
        "has no seccomp user notification (Linux 5.0); no session can be opened",
    );
    let lsm = read("/sys/kernel/security/lsm");
    if lsm.is_empty() || lsm.split(',').any(|name| name.trim() == "landlock") {
        findings.ok(CHECK, "Landlock is on, or cannot be asked about from here");
    } else {
        findings.warn(CHECK, "Landlock is off; sessions are confined by seccomp alone (add landlock to lsm= on the kernel command line)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::host::parse_effective;

    #[test]
    fn a_list_of_the_only_ones_let_in_must_name_the_user() {
        let mut findings = Findings::default();
        shut_out(
            "alice",
            "jump-users",
            &parse_effective("allowusers root admin\nallowgroups jump-users\n"),
            &mut findings,
        );
        assert_eq!(findings.0.len(), 1);
        assert!(
            findings.0[0]
                .detail
                .starts_with("allowusers does not name alice")
        );
        let mut findings = Findings::default();
        shut_out(
            "alice",
            "jump-users",
            &parse_effective("port 22\n"),
            &mut findings,
        );
        assert!(findings.0.is_empty());
    }

    #[test]
    fn one_red_finding_is_a_no() {
        let mut findings = Findings::default();
        findings.warn("x", "weigh this");
        let mut out = Output::to(true, Box::new(Vec::new()));
        assert_eq!(report(&findings.0, &mut out).unwrap(), Outcome::Yes);
        findings.red("x", "broken");
        assert_eq!(report(&findings.0, &mut out).unwrap(), Outcome::No);
    }
}
