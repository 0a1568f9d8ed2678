//! Ansible, as it reaches machines behind a bastion: OpenSSH with `ProxyJump`.

use anyhow::{Result, ensure};
use jump_lab::base::Kind;
use jump_lab::lab::Lab;
use jump_lab::network::{APP, WORKBENCH};
use jump_lab::seat::{TARGET_ACCOUNT, add_account, append};

/// Given an automation user without a second factor, bound to a source, then `ansible -m ping` reaches the targets of
/// its rule through the bastion, and no others.
pub(crate) fn ansible_reaches_a_target_through_proxyjump(lab: &Lab) -> Result<()> {
    let app = lab.another_of(Kind::Workbench, &APP)?;
    add_account(&app, TARGET_ACCOUNT, 1000)?;
    let (source, target) = (WORKBENCH.address(), APP.address());
    let deploy = lab
        .admin("deploy")
        .sitting_at(lab.workbench()?)
        .user("mfa = \"none\"")
        .policy(format!(
            "[targets.apps]\nhosts = [\"{target}\"]\nports = [22]\n\
             [[rules]]\nname = \"deploy-apps\"\neffect = \"allow\"\nusers = [\"deploy\"]\n\
             from = [\"{source}\"]\ntargets = [\"apps\"]\nvia = [\"forward\"]\n"
        ))
        .unenrolled()
        .arrive()?;
    let home = format!("/home/{TARGET_ACCOUNT}");
    append(
        &app,
        &format!("{home}/.ssh/authorized_keys"),
        deploy.seat.key(),
    )?;
    app.shell(&format!("chown -R {TARGET_ACCOUNT}: {home}"))
        .run()?
        .success()?;
    let mut known = std::fs::read_to_string(deploy.seat.path(".ssh/known_hosts"))?;
    for key in app.host_keys()? {
        known.push_str(&format!("{target} {}\n", key.trim()));
    }
    deploy.seat.write(".ssh/known_hosts", known)?;
    deploy.seat.write(
        "inventory.ini",
        format!(
            "[apps]\n{target}\n[elsewhere]\n10.77.2.12\n[all:vars]\nansible_user={TARGET_ACCOUNT}\n\
             ansible_python_interpreter=/usr/bin/python3\n\
             ansible_ssh_common_args=-o ProxyJump=deploy@bastion\n"
        ),
    )?;
    let ping = |group: &str| {
        deploy
            .seat
            .command("ansible")
            .args(["-i", "inventory.ini", group, "-m", "ping"])
            .run()
    };
    let pong = ping("apps")?.success()?;
    ensure!(pong.text().contains("\"ping\": \"pong\""), "{pong}");
    let allowed = deploy.event("forward.allowed")?;
    ensure!(
        allowed.get("JUMP_DST_IP") == target
            && allowed.get("JUMP_RULE") == "deploy-apps"
            && allowed.get("JUMP_SRC_IP") == source,
        "{allowed}"
    );
    let refused = ping("elsewhere")?.failure()?;
    ensure!(refused.text().contains("UNREACHABLE"), "{refused}");
    let denied = deploy.event("forward.denied")?;
    ensure!(
        denied.get("JUMP_DST_IP") == "10.77.2.12" && denied.get("JUMP_REASON") == "no_target",
        "{denied}"
    );
    Ok(())
}
