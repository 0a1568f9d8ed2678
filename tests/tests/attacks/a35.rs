//! A35: a policy that means something other than it seems to.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::stock::Stock;

/// Lines of pam_access that an admin may well write to keep everybody out, and one that does.
const ACCESS: [(&str, &str); 3] = [
    ("a missing colon", "-ALL:ALL\n"),
    ("another word", "deny:ALL:ALL\n"),
    ("no line end", "-:ALL:ALL"),
];

/// What an edit of the policy replaces by what, and what the report must name.
const TRICKS: &[(&str, &str, &str, &str)] = &[
    (
        "a key twice",
        "effect = \"allow\"",
        "effect = \"allow\"\neffect = \"deny\"",
        "effect",
    ),
    (
        "a misspelt key",
        "effect = \"allow\"",
        "efect = \"allow\"",
        "efect",
    ),
    ("a misspelt table", "[[rules]]", "[[rule]]", "rule"),
    (
        "a misspelt effect",
        "effect = \"allow\"",
        "effect = \"alow\"",
        "alow",
    ),
    (
        "upper case",
        "effect = \"allow\"",
        "effect = \"Allow\"",
        "Allow",
    ),
    (
        "nobody means everybody",
        "users = [\"tilda\"]",
        "users = []",
        "users",
    ),
    (
        "nothing means everything",
        "targets = [\"trick\"]",
        "targets = []",
        "targets",
    ),
    (
        "no source means any",
        "via = [\"forward\"]",
        "from = []",
        "from",
    ),
    (
        "no window means always",
        "via = [\"forward\"]",
        "windows = []",
        "windows",
    ),
    (
        "no way means both",
        "via = [\"forward\"]",
        "via = []",
        "via",
    ),
    (
        "a user who is not there",
        "users = [\"tilda\"]",
        "users = [\"tidla\"]",
        "tidla",
    ),
    (
        "a target that is not there",
        "targets = [\"trick\"]",
        "targets = [\"tricks\"]",
        "tricks",
    ),
    (
        "a star for a user",
        "users = [\"tilda\"]",
        "users = [\"*\"]",
        "*",
    ),
    (
        "a star at the edge of a label",
        "hosts = [\"db1\"]",
        "hosts = [\"db*.example.org\"]",
        "db*",
    ),
    ("a star alone", "hosts = [\"db1\"]", "hosts = [\"*\"]", "*"),
    (
        "host bits in a network",
        "hosts = [\"db1\"]",
        "hosts = [\"10.77.2.11/24\"]",
        "10.77.2.11/24",
    ),
    (
        "an IPv4 network in IPv6",
        "hosts = [\"db1\"]",
        "hosts = [\"::ffff:10.77.2.0/96\"]",
        "::ffff:10.77.2.0/96",
    ),
    (
        "everything",
        "hosts = [\"db1\"]",
        "hosts = [\"10.77.2.0/33\"]",
        "10.77.2.0/33",
    ),
    (
        "a number that C reads otherwise",
        "hosts = [\"db1\"]",
        "hosts = [\"010.077.002.011\"]",
        "010.077.002.011",
    ),
    (
        "a short address",
        "hosts = [\"db1\"]",
        "hosts = [\"127.1\"]",
        "127.1",
    ),
    ("port 0", "ports = [5432]", "ports = [0]", "0"),
    (
        "a port too many",
        "ports = [5432]",
        "ports = [65536]",
        "65536",
    ),
    (
        "a range backwards",
        "ports = [5432]",
        "ports = [\"6000-5000\"]",
        "6000-5000",
    ),
    ("no ports", "ports = [5432]", "ports = []", "ports"),
    (
        "a name of a rule twice",
        "name = \"tilda-rule\"",
        "name = \"other-rule\"",
        "other-rule",
    ),
];

fn stock_lets_in(stock: &Stock, lines: &str, login: &dyn Fn() -> Result<bool>) -> Result<bool> {
    stock.write("/etc/security/a35.conf", lines)?;
    login()
}

/// Given pam_access, then lines with a slip let in whom they were to keep out; given ours, then every trick is refused with its line and column, and nothing changes.
pub(crate) fn a35_a_policy_says_what_it_means_or_is_refused(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let tables = "[targets.trick]\nhosts = [\"db1\"]\nports = [5432]\n\
                  [[rules]]\nname = \"tilda-rule\"\neffect = \"allow\"\nusers = [\"tilda\"]\ntargets = [\"trick\"]\nvia = [\"forward\"]\n\
                  [[rules]]\nname = \"other-rule\"\neffect = \"deny\"\nusers = [\"tilda\"]\ntargets = [\"trick\"]\nvia = [\"shell\"]\n";
    let tilda = lab.admin("tilda").policy(tables).arrive()?;
    stock.account(&tilda.seat)?;
    stock.pam(
        "tilda",
        "account",
        &["required pam_access.so accessfile=/etc/security/a35.conf nodefgroup"],
    )?;
    let login = || -> Result<bool> {
        Ok(tilda
            .seat
            .command("ssh")
            .args(["stock", "true"])
            .run()?
            .code()
            == 0)
    };
    ensure!(
        !stock_lets_in(stock, "-:ALL:ALL\n", &login)?,
        "pam_access keeps nobody out"
    );
    let mut slips = Vec::new();
    for (name, lines) in ACCESS {
        if stock_lets_in(stock, lines, &login)? {
            slips.push(name);
        }
    }
    ensure!(!slips.is_empty(), "pam_access let nobody past a slip");

    let policy = lab.policy_text();
    let start = policy
        .find("[users.tilda]")
        .context("tilda is not in the policy")?;
    let (before, mine) = policy.split_at(start);
    let lines_before = before.lines().count();
    for (name, old, new, named) in TRICKS {
        let edited = mine.replacen(old, new, 1);
        ensure!(edited != mine, "{name}: nothing to replace");
        let text = format!("{before}{edited}");
        lab.bastion.write("/root/a35.toml", &text)?;
        let checked = lab.jumpctl("check /root/a35.toml")?;
        let said = format!("{}{}", checked.text(), checked.stderr);
        ensure!(checked.code() == 1, "{name}: not refused: {checked}");
        let place = said.split("/root/a35.toml:").nth(1).unwrap_or_default();
        let mut numbers = place.split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next().and_then(|n| n.parse::<usize>().ok());
        let (line, column) = (number(), number());
        ensure!(
            line.is_some_and(|line| line > lines_before) && column.is_some(),
            "{name}: no line and column: {said}"
        );
        ensure!(said.contains(named), "{name}: {named} is not named: {said}");
    }
    // Saved all the same, it is refused by itself and the old one stays.
    let mark = lab.journal.mark();
    let explain = || lab.jumpctl("explain tilda db1:5432 --via forward");
    let before = explain()?.code();
    lab.with_policy_held(|text| {
        lab.bastion.write(
            "/etc/jump/policy.toml",
            text.replacen("targets = [\"trick\"]", "targets = []", 1),
        )?;
        let rejected = lab.journal.wait(mark, 1, jump_lab::story::PATIENCE, |e| {
            e.is("policy.rejected")
        });
        ensure!(!rejected.is_empty(), "no policy.rejected");
        ensure!(
            explain()?.code() == before && before == 0,
            "the answer changed"
        );
        Ok(())
    })?;
    lab.edit_policy(|policy| {
        policy.replace("tilda", "[targets.trick]", "# as before\n[targets.trick]");
    })?;
    Ok(())
}
