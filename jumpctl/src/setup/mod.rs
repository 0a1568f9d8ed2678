//! `jumpctl setup`: wires sshd, PAM and nsswitch to the jump server, and takes that back.
//!
//! The order is the one in which a failure in the middle does least harm:
//! names first, then PAM (which concerns itself with nobody until the account
//! index names a group), then sshd's drop-in. Before anything is written it is
//! certain that the PAM module is there, because a PAM line without its module
//! locks everybody out, root included. Afterwards sshd itself is asked whether
//! it reads its configuration, whether root is served exactly as before, and
//! whether users of the policy are served as the drop-in says; if not,
//! everything written is taken back.

mod check;
pub mod drop_in;
mod files;
pub mod host;
pub mod nsswitch;
pub mod pam;
pub mod sshd_config;
mod undo;

pub use check::{USERS_ASKED, differences, pam_module, penalties_hint, way_to_drop_in};
pub use undo::undo;

use crate::client::Jumpd;
use crate::credential;
use crate::egress;
use crate::error::{Answer, Error, Outcome};
use crate::output::{Output, printable_lines, remark};
use crate::policy_file;
use drop_in::{Features, Member, Scope};
use files::Change;
use host::{Effective, Host};
use jump_proto::{Agents, Applied, Reply, Request, paths};
use serde::Serialize;
use std::fs::File;
use std::path::PathBuf;

/// Where every replaced file is kept.
pub const BACKUPS: &str = "/etc/jump/backup";
/// The name service switch.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// sshd's main file.
pub const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
/// What must run; the services behind the sockets start on demand.
pub const UNITS: [&str; 5] = [
    "jumpd.socket",
    "jumpd-shell.socket",
    "jumpd-agent.socket",
    "jump-guard.socket",
    "jump-policy.path",
];

/// What the operator asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Do not ask.
    pub yes: bool,
    /// Only show.
    pub dry_run: bool,
    /// Also make the packet filter that follows the policy.
    pub nftables: bool,
}

/// The answer under `--json`.
#[derive(Debug, Default, Serialize)]
struct Report {
    written: bool,
    files: Vec<FileReport>,
    policy: Option<Applied>,
    rejected: Option<String>,
    /// Whether this setup made the key that second factors are sealed with.
    sealing_key: bool,
    /// Whether this setup made the egress ruleset.
    egress: bool,
    hints: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    diff: String,
    backup: Option<String>,
}

/// Wires the host.
///
/// # Errors
/// What stands in the way, in a sentence that says what to do; nothing is changed then.
pub fn setup(host: &dyn Host, jumpd: &Jumpd, options: Options, out: &mut Output) -> Answer {
    check::preconditions(host)?;
    let root_before = host.sshd_effective("root").map_err(|said| {
        Error::failed(format!(
            "sshd does not accept its present configuration, repair that first: {said}"
        ))
    })?;
    check::uses_pam(&root_before)?;
    let (scope, agents) = scope(host, jumpd)?;
    let features = features(&root_before, agents);
    let plan = plan(host, &scope, features)?;
    let mut report = Report {
        hints: penalties_hint(&root_before),
        ..Report::default()
    };
    if options.nftables {
        show_egress(jumpd, out)?;
    }
    let go = show_and_ask(&plan.changes, options, out)?;
    report.files = plan
        .changes
        .iter()
        .map(|change| file_report(change, None))
        .collect();
    if !go {
        out.json(&report)?;
        return Ok(Outcome::from_bool(options.dry_run));
    }

    let _lock = lock(host)?;
    let backups = write_all(host, &plan.changes)?;
    for (file, backup) in report.files.iter_mut().zip(backups) {
        file.backup = backup.map(|path| path.display().to_string());
    }
    let mut written = plan.changes.clone();
    let before = Before {
        root: root_before,
        features,
    };
    if let Err(e) = wire(host, jumpd, &before, &mut report, &mut written) {
        take_back(&written);
        return Err(Error::failed(format!("{e}; nothing is changed")));
    }
    plan.remember(host)?;
    report.written = true;
    if options.nftables {
        egress::set_up(host, jumpd).map_err(|e| {
            Error::failed(format!(
                "sshd, PAM and nsswitch are wired, but there is no egress ruleset: {e}"
            ))
        })?;
        report.egress = true;
    }
    tell(&report, out)?;
    out.json(&report)?;
    Ok(Outcome::from_bool(report.rejected.is_none()))
}

/// sshd as it was found.
struct Before {
    root: Effective,
    features: Features,
}

/// Everything after the files: sshd's approval, the units, the first apply, sshd again.
fn wire(
    host: &dyn Host,
    jumpd: &Jumpd,
    before: &Before,
    report: &mut Report,
    written: &mut Vec<Change>,
) -> Result<(), Error> {
    test_sshd(host)?;
    check::same_for_root(host, &before.root)?;
    credential::set_aside_unreadable(host)?;
    start_units(host)?;
    match jumpd.ask(&Request::Apply)? {
        Reply::Applied(applied) => {
            let features = Features {
                agents: applied.agents,
                ..before.features
            };
            written.extend(renew(host, &applied, features)?);
            report.policy = Some(applied);
        }
        Reply::Rejected { report: why, .. } => report.rejected = Some(why),
        _ => return Err(Error::WrongAnswer),
    }
    test_sshd(host)?;
    check::policy_users(host, before.features)?;
    report.sealing_key = credential::ensure(host)?;
    reload_sshd(host)
}

/// Writes the drop-in anew if setup has been done and its text would differ.
/// Returns whether it was written.
///
/// # Errors
/// When sshd does not accept it (the old text is back then) or cannot be reloaded.
pub fn renew_drop_in(host: &dyn Host, applied: &Applied) -> Result<bool, Error> {
    let _lock = lock(host)?;
    let path = host.path(paths::SSHD_DROP_IN);
    if !files::read(&path)?.is_some_and(|text| drop_in::is_ours(&text)) {
        return Ok(false);
    }
    let root = host.sshd_effective("root").map_err(Error::Failed)?;
    let Some(change) = renew(host, applied, features(&root, applied.agents))? else {
        return Ok(false);
    };
    if let Err(e) = test_sshd(host).and_then(|()| check::same_for_root(host, &root)) {
        take_back(std::slice::from_ref(&change));
        return Err(e);
    }
    reload_sshd(host)?;
    Ok(true)
}

/// Puts the drop-in for this scope in place; the change, if there was one.
fn renew(host: &dyn Host, applied: &Applied, features: Features) -> Result<Option<Change>, Error> {
    let scope = Scope::new(&applied.scope, applied.automation.clone()).ok_or(Error::WrongAnswer)?;
    let change = drop_in_change(host, &scope, features)?;
    if !change.is_needed() {
        return Ok(None);
    }
    change.write()?;
    Ok(Some(change))
}

/// What setup would change.
struct Plan {
    changes: Vec<Change>,
    nsswitch: Option<undo::NsswitchRecord>,
}

impl Plan {
    /// Notes what undo cannot read from the files themselves.
    fn remember(&self, host: &dyn Host) -> Result<(), Error> {
        self.nsswitch
            .as_ref()
            .map_or(Ok(()), |record| record.save(host))
    }
}

fn plan(host: &dyn Host, scope: &Scope, features: Features) -> Result<Plan, Error> {
    let mut changes = Vec::new();
    let mut record = None;

    let path = host.path(NSSWITCH);
    let before = files::read(&path)?.unwrap_or_default();
    let edited = nsswitch::insert(&before);
    if edited.text != before {
        check::not_authselect(&path)?;
        record = Some(undo::NsswitchRecord::new(&before, &edited));
        changes.push(Change {
            path,
            before: Some(before),
            after: Some(edited.text),
        });
    }

    let path = host.path(paths::PAM_SERVICE);
    let before = files::read(&path)?.ok_or_else(|| {
        Error::failed(format!(
            "{} is not there; is the OpenSSH server installed?",
            path.display()
        ))
    })?;
    let after =
        pam::insert(&before).map_err(|e| Error::failed(format!("{}: {e}", path.display())))?;
    changes.push(Change {
        path,
        before: Some(before),
        after: Some(after),
    });

    changes.push(drop_in_change(host, scope, features)?);
    changes.retain(Change::is_needed);
    Ok(Plan {
        changes,
        nsswitch: record,
    })
}

fn drop_in_change(host: &dyn Host, scope: &Scope, features: Features) -> Result<Change, Error> {
    let path = host.path(paths::SSHD_DROP_IN);
    let before = files::read(&path)?;
    if before.as_ref().is_some_and(|text| !drop_in::is_ours(text)) {
        return Err(Error::failed(format!(
            "{} was not written by jumpctl; move it away and run `jumpctl setup` again",
            path.display()
        )));
    }
    let text = drop_in::render(scope, features).map_err(|e| Error::failed(e.to_string()))?;
    Ok(Change {
        path,
        before,
        after: Some(text.into_bytes()),
    })
}

/// Whom the policy on disk is for, and whose agents it has come along; if that is broken, the one in force.
fn scope(host: &dyn Host, jumpd: &Jumpd) -> Result<(Scope, Agents), Error> {
    match policy_file::load(&host.path(paths::POLICY)) {
        Ok(policy) => {
            let (groups, automation) = policy_file::scope(&policy);
            let scope = Scope::new(&groups, automation).ok_or(Error::WrongAnswer)?;
            Ok((scope, policy.agents()))
        }
        Err(e) => jumpd
            .status()
            .ok()
            .and_then(|status| Some((Scope::new(&status.scope, status.automation)?, status.agents)))
            .ok_or_else(|| Error::failed(e.to_string())),
    }
}

/// What this sshd was built with, and what its admin demands, as it serves a user whom no block of ours fits;
/// whose agents come along, the policy says.
#[must_use]
pub fn features(effective: &Effective, agents: Agents) -> Features {
    Features {
        agents,
        gssapi: effective.contains_key("gssapiauthentication"),
        kerberos: effective.contains_key("kerberosauthentication"),
        verify_required: effective
            .get("pubkeyauthoptions")
            .into_iter()
            .flatten()
            .flat_map(|options| options.split(' '))
            .any(|option| option == "verify-required"),
    }
}

/// As whom sshd serves a user of the policy.
#[must_use]
pub fn member(automation: bool) -> Member {
    if automation {
        Member::Automation
    } else {
        Member::Host
    }
}

/// Shows the ruleset of the policy in force; there may be none yet.
fn show_egress(jumpd: &Jumpd, out: &mut Output) -> Result<(), Error> {
    match jumpd.egress() {
        Ok(bound) => out.line(egress::ruleset::render(&bound)),
        Err(e) => out.line(format_args!(
            "The egress ruleset is made when a policy is in force ({e})."
        )),
    }
}

/// Shows every diff; true if the files are to be written.
fn show_and_ask(changes: &[Change], options: Options, out: &mut Output) -> Result<bool, Error> {
    for change in changes {
        out.line(printable_lines(&change.diff()))?;
    }
    if changes.is_empty() {
        out.line("Nothing to change: sshd, PAM and nsswitch are wired already.")?;
    }
    if options.dry_run {
        return Ok(false);
    }
    if options.yes || (changes.is_empty() && !options.nftables) {
        return Ok(true);
    }
    if out.is_json() || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(Error::Usage(
            "nobody is there to ask; add --yes, or --dry-run to look only".to_owned(),
        ));
    }
    let answer = out.ask("Write this? [y/N] ")?;
    Ok(matches!(answer.as_deref(), Some("y" | "Y" | "yes")))
}

/// Replaces a file of the host whole; the old one is kept under [`BACKUPS`].
///
/// # Errors
/// When either cannot be written; the old one is then still there.
pub(crate) fn replace_file(
    host: &dyn Host,
    path: &std::path::Path,
    bytes: &[u8],
) -> Result<(), Error> {
    if let Some(before) = files::read(path)? {
        files::back_up(&host.path(BACKUPS), path, &before, &host.stamp())?;
    }
    files::put(path, Some(bytes))
}

/// Backs up and writes everything; on failure what was written is taken back.
fn write_all(host: &dyn Host, changes: &[Change]) -> Result<Vec<Option<PathBuf>>, Error> {
    let (directory, stamp) = (host.path(BACKUPS), host.stamp());
    let backups = changes
        .iter()
        .map(|change| match &change.before {
            Some(bytes) => files::back_up(&directory, &change.path, bytes, &stamp).map(Some),
            None => Ok(None),
        })
        .collect::<Result<Vec<_>, _>>()?;
    for (index, change) in changes.iter().enumerate() {
        if let Err(e) = change.write() {
            take_back(&changes[..index]);
            return Err(Error::failed(format!("{e}; nothing is changed")));
        }
    }
    Ok(backups)
}

/// Reverts in the opposite order. What cannot be reverted is told with its backup's place.
fn take_back(changes: &[Change]) {
    for change in changes.iter().rev() {
        if let Err(e) = change.revert() {
            remark(format_args!("{e}; put it back by hand from {BACKUPS}"));
        }
    }
}

fn test_sshd(host: &dyn Host) -> Result<(), Error> {
    host.sshd_test().map_err(|said| {
        Error::failed(format!(
            "sshd does not accept its configuration with {}: {said}",
            paths::SSHD_DROP_IN
        ))
    })
}

fn start_units(host: &dyn Host) -> Result<(), Error> {
    if !host.has_systemd() {
        remark("systemd does not run here; start jumpd, jump-guard and a reload of sshd yourself");
        return Ok(());
    }
    let mut arguments = vec!["enable", "--now"];
    arguments.extend(UNITS);
    host.systemctl(&arguments).map_err(Error::Failed)
}

/// Makes a running sshd read its files again; one that starts per connection reads them anyway.
fn reload_sshd(host: &dyn Host) -> Result<(), Error> {
    if !host.has_systemd() {
        return Ok(());
    }
    let active = |unit| host.systemctl(&["is-active", "--quiet", unit]).is_ok();
    // An sshd that got its socket from systemd cannot open it again, as a reload
    // makes it; a restart gives it anew. Sessions are processes of their own
    // and live on (KillMode=process of both units).
    let verb = if active("ssh.socket") || active("sshd.socket") {
        "restart"
    } else {
        "reload"
    };
    for unit in ["ssh.service", "sshd.service"] {
        if active(unit) {
            return host.systemctl(&[verb, unit]).map_err(Error::Failed);
        }
    }
    Ok(())
}

/// One jumpctl at a time writes sshd's files. A lock on the directory needs nothing writable;
/// without the directory there is no sshd to write for.
///
/// Taken after the operator has answered: a question left open overnight must
/// not hold up `apply`. What changed meanwhile, [`Change::write`] notices.
fn lock(host: &dyn Host) -> Result<Option<nix::fcntl::Flock<File>>, Error> {
    let path = host.path("/etc/ssh");
    let Ok(directory) = File::open(&path) else {
        return Ok(None);
    };
    nix::fcntl::Flock::lock(directory, nix::fcntl::FlockArg::LockExclusive)
        .map(Some)
        .map_err(|(_, errno)| Error::file("lock", &path, errno.into()))
}

fn file_report(change: &Change, backup: Option<String>) -> FileReport {
    FileReport {
        path: change.path.display().to_string(),
        diff: change.diff(),
        backup,
    }
}

fn tell(report: &Report, out: &mut Output) -> Result<(), Error> {
    for file in &report.files {
        match &file.backup {
            Some(backup) => out.line(format_args!("Wrote {} (before: {backup})", file.path))?,
            None => out.line(format_args!("Wrote {}", file.path))?,
        }
    }
    if report.sealing_key {
        out.line(format_args!(
            "Made the key that second factors are sealed with: {}",
            paths::MFA_KEYS
        ))?;
    }
    if let Some(applied) = &report.policy {
        out.line(format_args!(
            "The policy {} is in force as generation {}.",
            applied.policy, applied.generation
        ))?;
    }
    if let Some(why) = &report.rejected {
        out.line(
            "This host is wired, but the policy is refused and nobody can log in through it:",
        )?;
        out.line(printable_lines(why))?;
    } else {
        out.line(
            "This host is a jump server. Root and users outside the policy log in as before.",
        )?;
    }
    if report.egress {
        out.line("A packet filter bounds its users to the targets of the policy, and follows it.")?;
    }
    for hint in &report.hints {
        out.line(format_args!("\n{hint}"))?;
    }
    Ok(())
}
