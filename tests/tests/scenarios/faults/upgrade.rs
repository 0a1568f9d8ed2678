//! A restart of every unit, the package installed again, and a newer one:
//! sessions that are open notice nothing.

use super::{Visit, gets_through, no_guard_is_left};
use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::QUARTER;
use jump_lab::story::{PATIENCE, until};
use std::time::Duration;

const UNITS: [&str; 8] = [
    "jumpd.service",
    "jump-guard.service",
    "jumpd-shell.socket",
    "jumpd-agent.socket",
    "jumpd.socket",
    "jump-guard.socket",
    "jump-policy.path",
    "ssh.service",
];

/// Takes away what a package without hops had not: the agent's socket, and what jumpd's unit says of it.
const WITHOUT_AGENT: &str = "set -e; cd /usr/lib/systemd/system; rm jumpd-agent.socket; sed -i 's/ jumpd-agent.socket//; /jumpd-agent/d' jumpd.service
     rm -f /etc/systemd/system/*.wants/jumpd-agent.socket; find /var/lib/systemd/deb-systemd-helper-enabled -name '*jumpd-agent.socket*' -delete
     systemctl daemon-reload; systemctl stop jumpd-agent.socket; rm -f /run/jump/agent.sock; systemctl restart jumpd.service; ! ss -xlH | grep /run/jump/agent.sock";
/// The agent's socket is there, enabled, and jumpd listens to it.
const WITH_AGENT: &str = "set -e; systemctl is-active jumpd.service; systemctl is-active jumpd-agent.socket; systemctl is-enabled jumpd-agent.socket
     pid=$(systemctl show --property=MainPID --value jumpd.service); ss -xlHp | grep \"/run/jump/agent.sock .*pid=$pid,\"";

/// Installs the lab's package once more, then one that differs in its version only.
const INSTALLATIONS: [&str; 2] = [
    "apt-get install --yes --reinstall /root/jump-server.deb",
    "cd /root && rm -rf newer newer.deb && dpkg-deb -R jump-server.deb newer
     sed -i 's/^Version: .*/&+newer/' newer/DEBIAN/control && dpkg-deb -Zgzip -z1 -b newer newer.deb
     apt-get install --yes /root/newer.deb && dpkg-query --show jump-server | grep -q +newer",
];

/// Given a session that carries a stream of bytes, when every unit is restarted, the package is installed again and then, over one without hops, a newer one, then not a byte is lost, the session is guarded and judged as before,
/// can still be ended, and hops have their agent.
pub(crate) fn fault_restarts_and_upgrades_leave_sessions_alone(lab: &Lab) -> Result<()> {
    const SENT: u64 = 4_000_000;
    lab.on_fragile_bastion(|bastion| {
        let mut visit = Visit::begin(lab, bastion, "vito")?;
        let guard = visit.guard()?;
        // As long as all that follows takes on an idle machine, and some.
        let stream = format!(
            "for i in $(seq 200); do head -c {} /dev/zero; sleep 0.1; done | ssh -S master -W 10.77.2.11:{QUARTER} {}",
            SENT / 200,
            bastion.place().name
        );
        let stream = visit.admin.seat.command("sh").args(["-c", &stream]).start()?;
        let restarts = UNITS.map(|unit| format!("systemctl restart {unit}"));
        let [again, newer] = INSTALLATIONS.map(str::to_owned);
        let installations = [again, WITHOUT_AGENT.to_owned(), newer];
        for line in restarts.iter().chain(&installations) {
            bastion
                .shell(line)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .patience(Duration::from_secs(180))
                .run()?
                .success()?;
            visit.flow_goes_on()?;
            // The guard takes its post again within a second or two; until then connections are refused.
            until(PATIENCE, || Ok(visit.forwards_as_before().ok()))?
                .with_context(|| format!("no forward after: {line}"))?;
            let at_its_post = until(PATIENCE, || Ok(visit.guard().ok()))?;
            ensure!(at_its_post == Some(guard), "not the guard any more after: {line}");
        }
        let agent = bastion.shell(WITH_AGENT).run()?;
        ensure!(agent.code() == 0, "the agent's socket after the upgrade: {agent}");
        gets_through(bastion, &visit.admin)?;
        let back = stream.wait(PATIENCE)?.success()?;
        ensure!(
            back.stdout.len() as u64 == SENT / 4,
            "{} bytes came back",
            back.stdout.len()
        );
        let closed = visit
            .admin
            .event_where("forward.closed", |e| e.number("JUMP_BYTES_SENT") == Some(SENT))?;
        ensure!(closed.number("JUMP_BYTES_RECEIVED") == Some(SENT / 4), "{closed}");
        let session = visit.session()?;
        visit.is_gone_within_a_second_of(&format!("jumpctl sessions kill {session}"))?;
        visit.admin.event("session.closed")?;
        no_guard_is_left(bastion)
    })
}
