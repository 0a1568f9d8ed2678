//! Targets whose names stand in no file of the bastion: only a DNS server knows them.

use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use jump_lab::lab::Lab;
use jump_lab::machine::Machine;
use jump_lab::network::{BASTION, DB1, DB2, METADATA, WORKBENCH};
use jump_lab::process::Running;
use jump_lab::story::wait_for;
use std::cell::RefCell;
use std::fs;

/// Given targets whose names only DNS knows, then sshd and jumpd ask it and the way is open; a name that DNS re-points
/// goes there only as far as the policy allows that address: never to the bastion itself, to loopback or to the
/// metadata service, and nowhere new where the rule names addresses.
pub(crate) fn a_name_that_only_dns_knows_goes_where_dns_says_and_not_to_the_bastion(
    lab: &Lab,
) -> Result<()> {
    let names = Names::new(lab.workbench()?);
    let resolver = lab.bastion.path("/etc/resolv.conf");
    let ordinary = fs::read(&resolver)?;
    fs::write(&resolver, format!("nameserver {}\n", WORKBENCH.address()))?;
    let outcome = tell(lab, &names);
    fs::write(&resolver, ordinary)?;
    outcome
}

fn tell(lab: &Lab, names: &Names<'_>) -> Result<()> {
    names.say(&[
        ("db.lab.example", DB1.address()),
        ("fixed.lab.example", DB1.address()),
    ])?;
    let uma = lab
        .admin("uma")
        .policy(format!(
            "[targets.by-name]\nhosts = [\"db.lab.example\"]\nports = [22]\n\
             [targets.by-address]\nhosts = [\"{}\"]\nports = [22]\n\
             [[rules]]\nname = \"uma\"\neffect = \"allow\"\nusers = [\"uma\"]\n\
             targets = [\"by-name\", \"by-address\"]\n",
            DB1.address()
        ))
        .arrive()?;

    // As a first login would be, with nothing prepared but the policy.
    let whole = uma.ssh(&[
        "-J",
        "bastion",
        "-o",
        "HostKeyAlias=db1",
        "ops@db.lab.example",
        "hostname",
    ])?;
    ensure!(whole.success()?.text() == "db1", "not on db1");
    let allowed = uma.event("forward.allowed")?;
    ensure!(
        allowed.get("JUMP_DST_NAME") == "db.lab.example"
            && allowed.get("JUMP_DST_IP") == DB1.address(),
        "{allowed}"
    );

    let _master = uma.open_master(&[])?;
    ensure!(
        greeting(&uma, "fixed.lab.example")?.starts_with("SSH-2.0-"),
        "fixed"
    );
    ensure!(greeting(&uma, "unknown.lab.example")?.is_empty(), "unknown");

    // The machine has moved: the name is the target.
    names.say(&[
        ("db.lab.example", DB2.address()),
        ("fixed.lab.example", DB2.address()),
    ])?;
    ensure!(
        greeting(&uma, "db.lab.example")?.starts_with("SSH-2.0-"),
        "moved"
    );
    let moved = uma.event_where("forward.allowed", |e| e.get("JUMP_DST_IP") == DB2.address())?;
    ensure!(moved.get("JUMP_DST_NAME") == "db.lab.example", "{moved}");
    // A name in nobody's policy opens nothing: db2 is only reached where it is db.lab.example.
    names.say(&[
        ("db.lab.example", DB1.address()),
        ("fixed.lab.example", "10.77.2.99"),
    ])?;
    ensure!(
        greeting(&uma, "fixed.lab.example")?.is_empty(),
        "re-pointed"
    );
    uma.event_where("forward.denied", |e| {
        e.get("JUMP_DST_IP") == "10.77.2.99" && e.get("JUMP_REASON") == "no_target"
    })?;

    // Whoever owns the name's zone points it at what the bastion itself reaches.
    for forbidden in ["127.0.0.1", BASTION.address(), "10.77.2.1", METADATA] {
        names.say(&[("db.lab.example", forbidden)])?;
        ensure!(
            greeting(&uma, "db.lab.example")?.is_empty(),
            "{forbidden} answered"
        );
        uma.event_where("forward.denied", |e| {
            e.get("JUMP_DST_IP") == forbidden && e.get("JUMP_REASON") == "own_address"
        })?;
    }
    Ok(())
}

/// What a name's port 22 says first, through the bastion; nothing when the way is refused.
fn greeting(admin: &Admin<'_>, name: &str) -> Result<String> {
    let output = admin
        .seat
        .command("ssh")
        .args(["-S", "master", "-W", &format!("{name}:22"), "bastion"])
        .input("nothing sshd understands\n")
        .run()?;
    Ok(output.text())
}

/// A DNS server on the workbench that says what it is told.
struct Names<'m> {
    machine: &'m Machine,
    dnsmasq: RefCell<Option<Running>>,
}

impl<'m> Names<'m> {
    fn new(machine: &'m Machine) -> Self {
        Self {
            machine,
            dnsmasq: RefCell::default(),
        }
    }

    /// From when it returns on, these are the answers, and there are no others.
    fn say(&self, answers: &[(&str, &str)]) -> Result<()> {
        // The one before must have gone, or its port is taken.
        self.dnsmasq.replace(None);
        let records = answers
            .iter()
            .map(|(name, address)| format!("--host-record={name},{address}"));
        let dnsmasq = self
            .machine
            .command("dnsmasq")
            .args(["--keep-in-foreground", "--no-resolv", "--no-hosts"])
            .args(["--user=root", "--bind-interfaces", "--local=/lab.example/"])
            .args(["--log-facility=-", "--pid-file="])
            .args([format!("--listen-address={}", WORKBENCH.address())])
            .args(records)
            .start()?;
        let (name, address) = answers.first().context("no answers")?;
        wait_for("the DNS server to say so", || {
            let ask = ["-c", ASK, WORKBENCH.address(), name];
            let asked = self.machine.command("python3").args(ask).run()?;
            Ok(asked.text() == *address)
        })
        .with_context(|| dnsmasq.complained())?;
        self.dnsmasq.replace(Some(dnsmasq));
        Ok(())
    }
}

/// One question for an A record, one answer (RFC 1035 section 4).
const ASK: &str = r#"
import socket, struct, sys
server, name = sys.argv[1:]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(2)
asked.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1), (server, 53))
answer = asked.recv(512)
print(socket.inet_ntoa(answer[-4:]) if struct.unpack(">H", answer[6:8])[0] else "")
"#;
