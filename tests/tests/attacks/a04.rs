//! A4: the second address of a name.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::dns::Answer;
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::network::ECHO;
use jump_lab::story::wait_for;

/// A listed port on which nobody listens at db1.
const CLOSED: u16 = 9007;

/// Given names whose listed address refuses, so that sshd goes on to the next, then the next is judged for itself.
pub(crate) fn a04_each_address_of_a_name_is_judged(lab: &Lab) -> Result<()> {
    let egon = lab
        .admin("egon")
        .policy(format!(
            "[targets.one]\nhosts = [\"10.77.2.11\", \"fd77:2::11\"]\nports = [{ECHO}, {CLOSED}]\n\
             [[rules]]\nname = \"egon-rule\"\neffect = \"allow\"\nusers = [\"egon\"]\ntargets = [\"one\"]\n"
        ))
        .arrive()?;
    lab.stock()?.account(&egon.seat)?;
    let say = |name: &str, addresses: &[&str]| -> Result<()> {
        lab.names.say(name, Answer::addresses(addresses)?);
        Ok(())
    };
    say("second.test", &["10.77.2.11", "10.77.2.12"])?;
    say("sixth.test", &["fd77:2::11", "10.77.2.12"])?;
    say("first.test", &["10.77.2.12", "10.77.2.11"])?;
    let _service = lab
        .db2
        .shell(&format!("while :; do echo hello | nc -N -l {CLOSED}; done"))
        .start()?;
    let _masters = (way::stock_master(&egon.seat)?, egon.open_master(&[])?);
    let astray = ["second.test", "sixth.test"].map(|name| format!("{name}:{CLOSED}"));
    way::lead_astray_on_stock_only(&egon, &astray)?;
    // The listed one was tried first.
    for address in ["10.77.2.11", "fd77:2::11"] {
        egon.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == address)?;
    }
    // The other way round the listed one is reached, after the refusal.
    let listed = way::to(&egon.seat, "bastion", &format!("first.test:{ECHO}"))?;
    ensure!(way::answered(&listed), "{listed}");
    wait_for("three refusals", || {
        let denied = egon.events("forward.denied").into_iter();
        let second =
            |e: &Entry| e.get("JUMP_DST_IP") == "10.77.2.12" && e.get("JUMP_REASON") == "no_target";
        Ok(denied.filter(second).count() == 3)
    })?;
    egon.event_where("forward.allowed", |e| {
        e.get("JUMP_DST_IP") == "10.77.2.11" && e.number("JUMP_DST_PORT") == Some(ECHO.into())
    })?;
    Ok(())
}
