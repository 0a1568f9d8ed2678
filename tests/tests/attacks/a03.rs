//! A3: a listed name is pointed elsewhere.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::dns::Answer;
use jump_lab::journal::Entry;
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, METADATA, SEARCH};
use jump_lab::seat::append;
use jump_lab::story::wait_for;

const LISTED: &str = "10.77.2.11";
const LOOPBACK: &str = "127.0.0.1";

/// Given listed names that lead to the host itself or to the metadata service, by every means a name has, then the stock host follows them and the bastion does not.
pub(crate) fn a03_a_listed_name_leads_to_no_forbidden_address(lab: &Lab) -> Result<()> {
    const NAMES: [&str; 7] = [
        "by-file.test",
        "many.test",
        "turning.test",
        "alias.test",
        "searched",
        "cloud.test",
        "mapped.test",
    ];
    let hosts = NAMES.map(|name| format!("\"{name}\"")).join(", ");
    let stock = lab.stock()?;
    for host in [&**stock, &*lab.bastion] {
        append(host, "/etc/hosts", &format!("{LOOPBACK} by-file.test"))?;
    }
    let say = |name: &str, answer| lab.names.say(name, answer);
    say("many.test", Answer::addresses(&[METADATA, LOOPBACK])?);
    let answers = [
        Answer::addresses(&[LISTED])?,
        Answer::addresses(&[LOOPBACK])?,
    ];
    lab.names.say_in_turn("turning.test", answers);
    let loopback = Answer::addresses(&[LOOPBACK])?;
    say("alias.test", loopback.clone().by_way_of("elsewhere.test"));
    say(&format!("searched.{SEARCH}"), loopback);
    say("cloud.test", Answer::addresses(&[METADATA])?);
    say("mapped.test", Answer::addresses(&["::ffff:127.0.0.1"])?);
    let dina = lab
        .admin("dina")
        .policy(format!(
            "[targets.named]\nhosts = [{hosts}]\nports = [22, {ECHO}]\n\
             [[rules]]\nname = \"dina-rule\"\neffect = \"allow\"\nusers = [\"dina\"]\ntargets = [\"named\"]\n"
        ))
        .arrive()?;
    // What stock sshd has against it judges the name (sshd_config(5), PermitOpen).
    let permitted = NAMES
        .map(|name| format!("permitopen=\"{name}:22\""))
        .join(",");
    stock.account_with(&dina.seat, &permitted)?;
    let _masters = (way::stock_master(&dina.seat)?, dina.open_master(&[])?);
    let unnamed = way::to(&dina.seat, "stock", "db1:22")?;
    way::refused("permitopen", &unnamed)?;
    let destinations = NAMES.map(|name| format!("{name}:22"));
    // The turning name leads where it is listed for, once.
    way::to(&dina.seat, "stock", "turning.test:22")?;
    way::lead_astray_on_stock_only(&dina, &destinations)?;
    // Of a name with two addresses the resolver library asks the kernel which it would prefer, by connecting
    // sockets for datagrams: those are refused as such.
    let judged = |e: &Entry| e.get("JUMP_REASON") != "bad_protocol";
    wait_for("the refusals", || {
        let denied = dina.events("forward.denied").into_iter();
        Ok(denied.filter(judged).count() >= NAMES.len())
    })?;
    for event in dina.events("forward.denied").iter().filter(|e| judged(e)) {
        ensure!(event.get("JUMP_REASON") == "own_address", "{event}");
    }
    ensure!(dina.events("forward.allowed").is_empty(), "one led astray");
    Ok(())
}

/// Given a listed name that sshd resolves to an unlisted host and jumpd to the listed one, then the address counts that is connected to.
pub(crate) fn a03_the_address_connected_to_is_judged_not_the_name(lab: &Lab) -> Result<()> {
    const NAME: &str = "two-faced.test";
    const UNLISTED_HOST: &str = "10.77.2.12";
    let honest = || Answer::addresses(&[LISTED]);
    lab.names.say(NAME, honest()?);
    let adaton = lab
        .admin("adaton")
        .policy(format!(
            "[targets.two-faced]\nhosts = [\"{NAME}\"]\nports = [{ECHO}]\n\
             [[rules]]\nname = \"adaton-rule\"\neffect = \"allow\"\nusers = [\"adaton\"]\ntargets = [\"two-faced\"]\n"
        ))
        .arrive()?;
    let stock = lab.stock()?;
    stock.account_with(&adaton.seat, &format!("permitopen=\"{NAME}:{ECHO}\""))?;
    let _masters = (way::stock_master(&adaton.seat)?, adaton.open_master(&[])?);
    let destination = format!("{NAME}:{ECHO}");
    for host in ["stock", "bastion"] {
        let listed = way::to(&adaton.seat, host, &destination)?;
        ensure!(way::answered(&listed), "{host}: {listed}");
    }
    let turn = || -> Result<()> {
        let elsewhere = Answer::addresses(&[UNLISTED_HOST])?;
        lab.names.say_in_turn(NAME, [elsewhere, honest()?]);
        Ok(())
    };
    turn()?;
    let astray = way::to(&adaton.seat, "stock", &destination)?;
    ensure!(way::answered(&astray), "{astray}");
    turn()?;
    way::refused("db2", &way::to(&adaton.seat, "bastion", &destination)?)?;
    let denied = adaton.event("forward.denied")?;
    ensure!(
        denied.get("JUMP_DST_IP") == UNLISTED_HOST && denied.get("JUMP_REASON") == "no_target",
        "{denied}"
    );
    Ok(())
}

/// Given a listed name that all the world resolves to a denied host, then the deny rule for the host's address holds.
pub(crate) fn a03_a_deny_rule_holds_whatever_a_name_stands_for(lab: &Lab) -> Result<()> {
    const NAME: &str = "moved.test";
    lab.names.say(NAME, Answer::addresses(&["10.77.2.12"])?);
    let dirk = lab
        .admin("dirk")
        .policy(format!(
            "[targets.moved]\nhosts = [\"{NAME}\"]\nports = [{ECHO}]\n\
             [targets.never]\nhosts = [\"10.77.2.12\", \"fd77:2::12\"]\nports = [\"1-65535\"]\n\
             [[rules]]\nname = \"dirk-rule\"\neffect = \"allow\"\nusers = [\"dirk\"]\ntargets = [\"moved\"]\n\
             [[rules]]\nname = \"dirk-never\"\neffect = \"deny\"\nusers = [\"dirk\"]\ntargets = [\"never\"]\n"
        ))
        .arrive()?;
    let destination = format!("{NAME}:{ECHO}");
    let stock = lab.stock()?;
    stock.account_with(&dirk.seat, &format!("permitopen=\"{destination}\""))?;
    let _masters = (way::stock_master(&dirk.seat)?, dirk.open_master(&[])?);
    way::lead_astray_on_stock_only(&dirk, &[destination])?;
    let denied = dirk.event("forward.denied")?;
    ensure!(denied.get("JUMP_RULE") == "dirk-never", "{denied}");
    Ok(())
}
