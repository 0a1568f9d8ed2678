//! A39: `Match` blocks, includes and lists of allowed users that come before ours.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::peculiar::OwnSshd;
use serde_json::Value;

/// What sshd must do for every user of the policy, as `sshd -T` says it.
const GOLDEN: &str = "\
allowagentforwarding no
allowstreamlocalforwarding no
allowtcpforwarding local
authenticationmethods publickey,keyboard-interactive:pam
authorizedkeyscommand /usr/lib/jump/jump-keys %u
authorizedkeyscommanduser jump-keys
authorizedkeysfile none
authorizedprincipalscommand none
authorizedprincipalsfile none
chrootdirectory none
disableforwarding no
exposeauthinfo no
forcecommand /usr/bin/jump-shell
gatewayports no
gssapiauthentication no
hostbasedauthentication no
kbdinteractiveauthentication yes
kerberosauthentication no
passwordauthentication no
permitemptypasswords no
permitlisten none
permitopen any
permittty yes
permittunnel no
permituserrc no
pubkeyauthentication yes
trustedusercakeys none
usepam yes
x11forwarding no
";

/// The same lines of what sshd says about a user; without those that it does not print for being unset.
fn effective(lab: &Lab, user: &str, address: &str) -> Result<String> {
    let said = lab
        .bastion
        .command("sshd")
        .args([
            "-T",
            "-C",
            &format!("user={user},host=anywhere,addr={address},laddr=10.77.1.1,lport=22"),
        ])
        .run()?
        .success()?;
    let keyword = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let wanted: Vec<_> = GOLDEN.lines().map(keyword).collect();
    let mut lines: Vec<_> = said
        .text()
        .lines()
        .filter(|line| wanted.contains(&keyword(line)))
        .map(str::to_owned)
        .collect();
    lines.sort();
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn doctor(lab: &Lab) -> Result<(i32, String)> {
    let output = lab.jumpctl("doctor")?;
    Ok((output.code(), output.text()))
}

/// Given the policy in force, then sshd serves every one of its users, from everywhere, as written here.
pub(crate) fn a39_sshd_serves_every_policy_user_alike(lab: &Lab) -> Result<()> {
    lab.admin("svea").may_reach_databases().arrive()?;
    let listed = lab.jumpctl("mfa status --json")?.success()?;
    let listed: Value = serde_json::from_str(&listed.text())?;
    let users = listed
        .as_array()
        .or_else(|| listed.get("users").and_then(Value::as_array))
        .context("no users")?;
    let robots = |user: &Value| user.get("automation").and_then(Value::as_bool) == Some(true);
    let policy = lab.policy_text();
    let mut seen = 0;
    for user in users {
        let name = user
            .get("user")
            .and_then(Value::as_str)
            .context("no name")?;
        // Scenarios beside this one come and go.
        if !policy.contains(&format!("[users.{name}]")) {
            continue;
        }
        let mut golden = GOLDEN.to_owned();
        if robots(user) {
            golden = golden.replace("publickey,keyboard-interactive:pam", "publickey");
        }
        for address in ["10.77.1.20", "203.0.113.9", "fd77:1::20"] {
            let served = effective(lab, name, address)?;
            let lacking: Vec<_> = golden
                .lines()
                .filter(|line| !served.contains(line))
                .collect();
            ensure!(
                served == golden,
                "{name} from {address}: not as it must be: {lacking:?}\n{served}"
            );
        }
        seen += 1;
    }
    ensure!(seen > 0, "nobody was looked at");
    Ok(())
}

/// Given blocks that come first, then a stock host obeys them; the bastion's users get in no easier, and doctor names the file.
pub(crate) fn a39_what_comes_before_ours_is_found(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let tove = lab.admin("tove").may_reach_databases().arrive()?;
    // An admin forbade forwards on the stock host, below a Match that somebody had put above.
    stock.account(&tove.seat)?;
    let before = "AllowTcpForwarding no";
    let sshd = OwnSshd::start(stock, 3901, before)?;
    let options = sshd.options();
    let jump = |options: &[String]| {
        tove.seat
            .command("ssh")
            .args(options.to_vec())
            .args(["-W", "db1:5432", "stock"])
            .input("hello\n")
            .run()
    };
    ensure!(
        jump(&options)?.code() != 0,
        "the stock host forwards where it must not"
    );
    drop(sshd);
    stock.write(
        "/etc/ssh/a39-first.conf",
        "Match User tove\n    AllowTcpForwarding yes\nMatch all\n",
    )?;
    let sshd = OwnSshd::start(
        stock,
        3902,
        &format!("Include /etc/ssh/a39-first.conf\n{before}"),
    )?;
    let through = jump(&sshd.options())?;
    ensure!(
        through.text() == "hello",
        "the block that comes first is not obeyed: {through}"
    );

    let files: [(&str, &str, &str); 4] = [
        (
            "00-first.conf",
            "Match User tove\n    PermitTunnel yes\n    AllowAgentForwarding yes\n    AllowStreamLocalForwarding yes\n",
            "/etc/ssh/sshd_config.d/00-first.conf:2",
        ),
        (
            "05-group.conf",
            "Match Group jump-users\n    AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys-%u\n",
            "authorizedkeysfile",
        ),
        (
            "09-address.conf",
            "Match Address 10.77.1.0/24\n    ForceCommand /bin/sh\n",
            "/etc/ssh/sshd_config.d/09-address.conf:2",
        ),
        (
            "20-allow.conf",
            "AllowUsers root ops\n",
            // Of many users it names some.
            "allowusers does not name ",
        ),
    ];
    for (file, text, named) in files {
        lab.with_sshd_config(file, text, || {
            let (code, said) = doctor(lab)?;
            ensure!(
                code == 1 && said.to_lowercase().contains(&named.to_lowercase()),
                "{file}: doctor does not name {named}: {said}"
            );
            // Whatever sshd was told, what leaves a session is judged, and the code is asked for.
            let unasked = tove
                .seat
                .answering(&["000000"])?
                .ssh(["bastion", "id"])
                .run()?;
            ensure!(
                unasked.code() != 0 && unasked.stdout.is_empty(),
                "{file}: {unasked}"
            );
            let tunnelled = tove.ssh(&["-W", "127.0.0.1:22", "bastion"])?;
            ensure!(
                tunnelled.code() != 0 && tunnelled.stdout.is_empty(),
                "{file}: {tunnelled}"
            );
            Ok(())
        })
        .with_context(|| file.to_owned())?;
        lab.jumpctl("mfa unlock tove")?.success()?;
    }
    // Files that sort after ours, and settings outside any block, change nothing for users of the policy.
    let later = "AllowTcpForwarding yes\nPermitTunnel yes\nX11Forwarding yes\nAuthorizedKeysFile .ssh/keys\n\
                 Match User tove\n    ForceCommand /bin/sh\n    PermitTunnel yes\n";
    lab.with_sshd_config("99-later.conf", later, || {
        let served = effective(lab, "tove", "10.77.1.20")?;
        ensure!(served == GOLDEN, "{served}");
        let (code, said) = doctor(lab)?;
        ensure!(code == 0, "{said}");
        Ok(())
    })?;
    let (code, said) = doctor(lab)?;
    ensure!(code == 0, "{said}");
    Ok(())
}
