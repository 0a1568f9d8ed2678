//! A2: other spellings of an address.

use super::way;
use anyhow::{Context, Result, ensure};
use jump_lab::dns::Answer;
use jump_lab::lab::Lab;
use jump_lab::network::{ECHO, METADATA};

/// Spellings of the jump host itself.
const OWN: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "0",
    "0.0.0.0",
    "0x7f.1",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:0.0.0.0]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ip6-localhost",
];
/// Spellings of db2, which no rule names.
const OTHER: &[&str] = &[
    "db2",
    "DB2",
    "db2.",
    "0x0a4d020c",
    "172818956",
    "10.77.524",
    "[::ffff:10.77.2.12]",
    "[::ffff:a4d:20c]",
    "[fd77:2::12]",
    "[FD77:2:0::0012]",
    METADATA,
];
/// The same through gateways that translate: NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
const TRANSLATED: &[&str] = &["64:ff9b::a4d:20c", "64:ff9b:1::a4d:20c", "2002:a4d:20c::1"];
/// What no resolver takes for an address or a name.
const NOWHERE: &[&str] = &[
    "１２７.0.0.1",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "127.0.0.1%lo",
    "0x7f,1",
    "256.0.0.1",
];

/// Given every spelling that leads to the host itself or to an unlisted host where nothing defends it, then none does on the bastion.
pub(crate) fn a02_a_spelling_changes_nothing(lab: &Lab) -> Result<()> {
    let adalin = lab.admin("adalin").may_reach_databases().arrive()?;
    let stock = lab.stock()?;
    stock.account(&adalin.seat)?;
    // As many resolvers say it; and the name servers of the office know db2 as the file of hosts does.
    lab.names
        .say("localhost", Answer::addresses(&["127.0.0.1"])?);
    lab.names.say("db2", Answer::addresses(&["10.77.2.12"])?);
    // db2 is what the gateway would translate to: it has the translated addresses itself.
    let link_local = lab
        .db2
        .shell("ip -6 -o address show dev host0 scope link | sed 's/.*inet6 \\([^/]*\\).*/\\1/'")
        .run()?
        .success()?
        .text();
    for address in TRANSLATED {
        lab.db2
            .shell(&format!("ip address add {address}/128 dev host0 nodad"))
            .run()?
            .success()?;
        for host in [&**stock, &*lab.bastion] {
            host.shell(&format!("ip route add {address} via fd77:2::12"))
                .run()?
                .success()?;
        }
    }
    let _masters = (way::stock_master(&adalin.seat)?, adalin.open_master(&[])?);
    let own = OWN.iter().map(|host| format!("{host}:22"));
    let other = OTHER.iter().map(|host| format!("{host}:{ECHO}"));
    let translated = TRANSLATED.iter().map(|host| format!("[{host}]:{ECHO}"));
    let near = format!("[{link_local}%servers0]:{ECHO}");
    let all: Vec<_> = own.chain(other).chain(translated).chain([near]).collect();
    way::lead_astray_on_stock_only(&adalin, &all)?;
    for host in NOWHERE {
        let nowhere = way::to(&adalin.seat, "bastion", &format!("{host}:22"))?;
        way::refused(host, &nowhere)?;
    }
    // Some are judged twice, so their number does not say that the last is there.
    let heard = |address: &str, reason: &str| {
        adalin.event_where("forward.denied", |e| {
            e.get("JUMP_DST_IP") == address && e.get("JUMP_REASON") == reason
        })
    };
    for (address, reason) in [
        ("127.0.0.1", "own_address"),
        ("0.0.0.0", "own_address"),
        ("::1", "own_address"),
        ("::", "own_address"),
        (METADATA, "own_address"),
        (link_local.as_str(), "own_address"),
        ("10.77.2.12", "no_target"),
        ("fd77:2::12", "no_target"),
        (TRANSLATED[0], "bad_address"),
        (TRANSLATED[1], "bad_address"),
        (TRANSLATED[2], "bad_address"),
    ] {
        heard(address, reason).with_context(|| format!("{address} {reason}"))?;
    }
    let denied = adalin.events("forward.denied").len();
    ensure!(denied >= all.len(), "{denied} of {}", all.len());
    ensure!(
        adalin.events("forward.allowed").is_empty(),
        "one led somewhere"
    );
    Ok(())
}

/// Given ports that are none, asked for by a client that does not mind, then nobody is reached by them.
pub(crate) fn a02_port_0_and_ports_beyond_65535_are_no_way_round(lab: &Lab) -> Result<()> {
    let cyra = lab.admin("cyra").may_reach_databases().arrive()?;
    let code = cyra.authenticator()?.any_code()?;
    // The port of db1's sshd, were the number cut to sixteen bits.
    let beyond = 0x1_0000 + 22;
    let said = cyra
        .seat
        .raw_client(
            "bastion",
            [
                "key".to_owned(),
                format!("code:{code}"),
                format!("tcp:db1:{ECHO}"),
                "tcp:db1:0".to_owned(),
                format!("tcp:db1:{beyond}"),
                format!("tcp:db1:{}", 0xffff_0000_u32 + 22),
            ],
        )
        .run()?
        .success()?;
    let lines: Vec<_> = said
        .stdout
        .split(|b| *b == b'\n')
        .map(String::from_utf8_lossy)
        .collect();
    let count = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    ensure!(
        count("open, b'hello") == 1 && count("refused") == 3,
        "{said}"
    );
    cyra.event_where("forward.denied", |e| e.number("JUMP_DST_PORT") == Some(0))?;
    ensure!(
        cyra.events("forward.allowed").len() == 1,
        "more was allowed"
    );
    Ok(())
}
