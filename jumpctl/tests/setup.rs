//! The whole of setup, on a directory that looks like a Debian host, with a jumpd that answers.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

use jump_proto::{Agents, Applied, Channel, Egress, Reason, Reply, Request, Secret, Status};
use jumpctl::egress;
use jumpctl::setup::host::{Effective, Host, parse_effective};
use jumpctl::setup::{Options, renew_drop_in, setup, undo};
use jumpctl::{Jumpd, Outcome, Output};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, accept, bind, listen, socket};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const YES: Options = Options {
    yes: true,
    dry_run: false,
    nftables: false,
};

/// What makes this host's sshd unhappy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sshd {
    Content,
    RefusesTheDropIn,
    ServesRootDifferently,
}

struct Room {
    root: tempfile::TempDir,
    sshd: Sshd,
    calls: RefCell<Vec<String>>,
    /// Whether systemd listens for sshd.
    socket: Cell<bool>,
    /// Whether the units of the packet filter are enabled.
    filtered: Cell<bool>,
    /// The last script that nft was given.
    script: RefCell<String>,
    /// Whether nft takes it.
    nft: Cell<bool>,
    /// Whether jumpd runs.
    jumpd: Cell<bool>,
}

impl Host for Room {
    fn path(&self, absolute: &str) -> PathBuf {
        self.root.path().join(absolute.trim_start_matches('/'))
    }
    fn sshd_test(&self) -> Result<(), String> {
        if self.sshd == Sshd::RefusesTheDropIn && self.drop_in().exists() {
            return Err("10-jump.conf line 9: bad".to_owned());
        }
        Ok(())
    }
    fn sshd_effective(&self, user: &str) -> Result<Effective, String> {
        assert_eq!(user, "root", "the policy of these tests has no users");
        let odd = self.sshd == Sshd::ServesRootDifferently && self.drop_in().exists();
        Ok(parse_effective(&format!(
            "usepam yes\ngssapiauthentication no\nforcecommand {}\n",
            if odd { "/usr/bin/jump-shell" } else { "none" }
        )))
    }
    fn systemctl(&self, arguments: &[&str]) -> Result<(), String> {
        if let ["is-enabled", .., "jump-egress.service"] = arguments {
            return self.filtered.get().then_some(()).ok_or_else(String::new);
        }
        self.calls.borrow_mut().push(arguments.join(" "));
        match arguments {
            ["enable", .., "jump-egress.timer"] => {
                self.filtered.set(true);
                Ok(())
            }
            ["disable", .., "jump-egress.timer"] => {
                self.filtered.set(false);
                Ok(())
            }
            ["is-active", .., "ssh.socket" | "sshd.socket"] if !self.socket.get() => {
                Err("inactive".to_owned())
            }
            ["is-active", .., "jumpd.service"] if !self.jumpd.get() => Err("failed".to_owned()),
            _ => Ok(()),
        }
    }
    fn nft(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        if !self.nft.get() {
            return Err("no nft here".to_owned());
        }
        if arguments == ["-f", "-"] {
            *self.script.borrow_mut() = input.to_owned();
        }
        Ok(self.script.borrow().clone())
    }
    fn seal(&self, name: &str, text: &Secret, file: &Path) -> Result<(), String> {
        fs::write(file, format!("{name}\n{}", text.expose())).map_err(|e| e.to_string())
    }
    fn unseal(&self, name: &str, file: &Path) -> Result<Secret, String> {
        let text = fs::read_to_string(file).map_err(|e| e.to_string())?;
        let inside = text.strip_prefix(&format!("{name}\n"));
        inside
            .map(|text| Secret::new(text.to_owned()))
            .ok_or_else(|| "not of this name".to_owned())
    }
    fn has_systemd(&self) -> bool {
        true
    }
    fn stamp(&self) -> String {
        "20261122T040000Z".to_owned()
    }
}

impl Room {
    fn new(sshd: Sshd) -> Self {
        let room = Self {
            root: tempfile::tempdir().unwrap(),
            sshd,
            calls: RefCell::default(),
            socket: Cell::new(false),
            filtered: Cell::new(false),
            script: RefCell::default(),
            nft: Cell::new(true),
            jumpd: Cell::new(false),
        };
        for (path, text) in [
            (
                "/etc/ssh/sshd_config",
                "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
            ),
            (
                "/etc/ssh/sshd_config.d/50-cloud-init.conf",
                "PasswordAuthentication yes\n",
            ),
            (
                "/etc/pam.d/sshd",
                "# \u{e9}\n@include common-auth\n@include common-session",
            ),
            (
                "/etc/nsswitch.conf",
                "passwd: files systemd\ngroup: files systemd\nhosts: files dns\n",
            ),
            ("/etc/jump/policy.toml", "version = 1\n"),
            ("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", "\x7fELF"),
            ("/usr/lib/x86_64-linux-gnu/security/pam_jump.so", "\x7fELF"),
            (
                "/etc/passwd",
                "root:x:0:0::/root:/bin/sh\njump-keys:!*:990:990::/:/usr/sbin/nologin\n",
            ),
            ("/usr/lib/jump/jump-keys", ""),
            ("/usr/bin/jump-shell", ""),
        ] {
            room.write(path, text);
        }
        room
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn drop_in(&self) -> PathBuf {
        self.path("/etc/ssh/sshd_config.d/10-jump.conf")
    }

    /// Everything that logins depend on; not our own backups.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut rooms = vec![self.path("/etc")];
        while let Some(directory) = rooms.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                let path = entry.path();
                if path.ends_with("jump/backup") {
                } else if path.is_dir() {
                    rooms.push(path);
                } else {
                    all.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        all
    }
}

fn applied(groups: &[&str], automation: &[&str]) -> Applied {
    Applied {
        generation: 1,
        policy: "0123456789abcdef".to_owned(),
        changed: true,
        scope: groups.iter().map(|s| (*s).to_owned()).collect(),
        automation: automation.iter().map(|s| (*s).to_owned()).collect(),
        agents: Agents::default(),
        warnings: Vec::new(),
    }
}

/// A jumpd that takes any policy into force, or none.
fn jumpd(directory: &Path, accepts: bool) -> Jumpd {
    let path = directory.join("jumpd.sock");
    let fd = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&fd, 8).unwrap();
    std::thread::spawn(move || {
        while let Ok(connection) = accept(&fd) {
            let channel = Channel::from(connection);
            let Ok(Some(request)) = channel.recv::<Request>() else {
                continue;
            };
            let reply = match request {
                Request::Apply if accepts => Reply::Applied(applied(&["jump-users"], &[])),
                Request::Apply => Reply::Rejected {
                    reason: Reason::PolicyInvalid,
                    report: "policy.toml:1:1: no".to_owned(),
                },
                Request::Egress => Reply::Egress {
                    egress: Egress {
                        gid: 66000,
                        uids: vec![70001],
                        ..Egress::default()
                    },
                    more: false,
                },
                Request::EgressLoaded { .. } => Reply::Done,
                _ => Reply::Status(Status {
                    version: "0".to_owned(),
                    generation: None,
                    policy: None,
                    scope: vec!["jump-users".to_owned()],
                    automation: Vec::new(),
                    agents: Agents::default(),
                    sessions: 0,
                    sealing: None,
                }),
            };
            let _ = channel.send(&reply);
        }
    });
    Jumpd::at(path)
}

fn silent() -> Output {
    Output::to(true, Box::new(Vec::new()))
}

#[test]
fn setup_wires_and_undo_leaves_no_trace() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    let before = room.files();

    assert_eq!(
        setup(&room, &jumpd, YES, &mut silent()).unwrap(),
        Outcome::Yes
    );
    assert!(room.read("/etc/pam.d/sshd").contains("pam_jump.so"));
    assert!(
        room.read("/etc/nsswitch.conf")
            .starts_with("passwd: files jump systemd\ngroup: files jump systemd\n")
    );
    assert!(
        fs::read_to_string(room.drop_in())
            .unwrap()
            .contains("Match Group jump-users\n")
    );
    let calls = room.calls.borrow().clone();
    assert!(calls[0].starts_with("enable --now"), "{calls:?}");
    assert_eq!(calls.last().map(String::as_str), Some("reload ssh.service"));
    assert_eq!(
        fs::read(room.path("/etc/jump/backup/sshd.20261122T040000Z")).unwrap(),
        before[&room.path("/etc/pam.d/sshd")]
    );

    assert_eq!(undo(&room, YES, &mut silent()).unwrap(), Outcome::Yes);
    let mut after = room.files();
    // But for the key of the second factors, which would be void without it.
    let key = after.remove(&room.path("/etc/credstore.encrypted/jump-mfa"));
    assert!(key.is_some());
    assert_eq!(after, before);
}

#[test]
fn an_sshd_that_got_its_socket_from_systemd_is_restarted_not_reloaded() {
    let room = Room::new(Sshd::Content);
    room.socket.set(true);
    let jumpd = jumpd(room.root.path(), true);
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    let calls = room.calls.borrow().clone();
    assert_eq!(
        calls.last().map(String::as_str),
        Some("restart ssh.service")
    );
}

#[test]
fn a_second_setup_changes_nothing() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    let once = room.files();
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    assert_eq!(room.files(), once);
    undo(&room, YES, &mut silent()).unwrap();
    assert!(
        !room.read("/etc/nsswitch.conf").contains("jump"),
        "the first setup's record stays"
    );
}

const KEYS: &str = "/etc/credstore.encrypted/jump-mfa";

#[test]
fn a_key_that_does_not_open_gives_way_to_a_new_one_while_jumpd_is_down() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    room.write(KEYS, "garbage");
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    let aside = room.read("/etc/credstore.encrypted/.jump-mfa.20261122T040000Z");
    assert_eq!(aside, "garbage");
    assert!(room.read(KEYS).starts_with("jump-mfa\n"));
    let restart = "restart jumpd.service".to_owned();
    assert!(room.calls.borrow().contains(&restart));
}

#[test]
fn a_key_that_does_not_open_stays_while_jumpd_runs_and_may_have_it() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    room.jumpd.set(true);
    room.write(KEYS, "garbage");
    let said = setup(&room, &jumpd, YES, &mut silent())
        .unwrap_err()
        .to_string();
    assert!(said.contains("jumpctl backup"), "{said}");
    assert_eq!(room.read(KEYS), "garbage");
}

#[test]
fn a_dry_run_writes_nothing() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    let before = room.files();
    let dry = Options {
        nftables: false,
        yes: false,
        dry_run: true,
    };
    assert_eq!(
        setup(&room, &jumpd, dry, &mut silent()).unwrap(),
        Outcome::Yes
    );
    assert_eq!(room.files(), before);
    assert!(room.calls.borrow().is_empty());
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    let wired = room.files();
    undo(&room, dry, &mut silent()).unwrap();
    assert_eq!(room.files(), wired);
}

#[test]
fn an_sshd_that_refuses_gets_everything_back() {
    for sshd in [Sshd::RefusesTheDropIn, Sshd::ServesRootDifferently] {
        let room = Room::new(sshd);
        let jumpd = jumpd(room.root.path(), true);
        let before = room.files();
        let e = setup(&room, &jumpd, YES, &mut silent()).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        assert!(e.to_string().ends_with("nothing is changed"), "{e}");
        assert_eq!(room.files(), before);
        assert!(
            !room
                .calls
                .borrow()
                .iter()
                .any(|call| call.starts_with("reload"))
        );
    }
}

#[test]
fn a_jumpd_that_does_not_answer_gets_everything_back() {
    let room = Room::new(Sshd::Content);
    let before = room.files();
    let nobody = Jumpd::at(room.root.path().join("nobody.sock"));
    // Without a policy that parses there is nothing to wire for; with one there is nobody to apply it.
    assert!(setup(&room, &nobody, YES, &mut silent()).is_err());
    assert_eq!(room.files(), before);
}

#[test]
fn a_policy_that_is_refused_leaves_the_host_wired_and_the_answer_no() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), false);
    assert_eq!(
        setup(&room, &jumpd, YES, &mut silent()).unwrap(),
        Outcome::No
    );
    assert!(room.drop_in().exists());
}

#[test]
fn without_the_module_no_pam_line_is_written() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    fs::remove_file(room.path("/usr/lib/x86_64-linux-gnu/security/pam_jump.so")).unwrap();
    let before = room.files();
    let e = setup(&room, &jumpd, YES, &mut silent()).unwrap_err();
    assert!(e.to_string().contains("pam_jump.so is not there"), "{e}");
    assert_eq!(room.files(), before);
}

#[test]
fn a_drop_in_of_somebody_else_is_left_alone() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    room.write("/etc/ssh/sshd_config.d/10-jump.conf", "# mine\n");
    let before = room.files();
    assert!(setup(&room, &jumpd, YES, &mut silent()).is_err());
    undo(&room, YES, &mut silent()).unwrap();
    assert_eq!(room.files(), before);
}

#[test]
fn an_earlier_match_block_is_told_and_nothing_is_written() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    room.write(
        "/etc/ssh/sshd_config.d/05-site.conf",
        "Match User *\n  PasswordAuthentication yes\n",
    );
    let e = setup(&room, &jumpd, YES, &mut silent()).unwrap_err();
    assert!(e.to_string().contains("05-site.conf:2"), "{e}");
    assert!(!room.drop_in().exists());
}

#[test]
fn undo_works_with_jumpd_dead_and_the_policy_broken_and_keeps_later_edits() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    room.write("/etc/jump/policy.toml", "nonsense");
    let edited = room.read("/etc/pam.d/sshd") + "session optional pam_lastlog.so\n";
    room.write("/etc/pam.d/sshd", &edited);
    let edited = room
        .read("/etc/nsswitch.conf")
        .replace("dns", "mdns4_minimal dns");
    room.write("/etc/nsswitch.conf", &edited);

    undo(&room, YES, &mut silent()).unwrap();
    assert_eq!(
        room.read("/etc/pam.d/sshd"),
        "# \u{e9}\n@include common-auth\n@include common-session\nsession optional pam_lastlog.so\n"
    );
    assert_eq!(
        room.read("/etc/nsswitch.conf"),
        "passwd: files systemd\ngroup: files systemd\nhosts: files mdns4_minimal dns\n"
    );
}

#[test]
fn a_word_that_the_package_put_into_nsswitch_is_left_to_the_package() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    room.write(
        "/etc/nsswitch.conf",
        "passwd: files jump\ngroup: files jump\n",
    );
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    undo(&room, YES, &mut silent()).unwrap();
    assert_eq!(
        room.read("/etc/nsswitch.conf"),
        "passwd: files jump\ngroup: files jump\n"
    );
}

#[test]
fn apply_renews_the_drop_in_only_where_setup_was_done_and_only_when_it_differs() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    let grown = applied(&["jump-users", "ad-admins"], &["robot"]);
    assert!(
        !renew_drop_in(&room, &grown).unwrap(),
        "no setup, no drop-in"
    );
    assert!(!room.drop_in().exists());

    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    room.calls.borrow_mut().clear();
    assert!(!renew_drop_in(&room, &applied(&["jump-users"], &[])).unwrap());
    assert!(room.calls.borrow().is_empty());

    assert!(renew_drop_in(&room, &grown).unwrap());
    let text = fs::read_to_string(room.drop_in()).unwrap();
    assert!(text.contains("Match User robot\n") && text.contains("Match Group ad-admins\n"));
    assert_eq!(
        room.calls.borrow().last().map(String::as_str),
        Some("reload ssh.service")
    );
}

#[test]
fn a_renewal_that_sshd_refuses_leaves_the_old_drop_in() {
    let mut room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    setup(&room, &jumpd, YES, &mut silent()).unwrap();
    let old = fs::read(room.drop_in()).unwrap();
    room.sshd = Sshd::RefusesTheDropIn;
    assert!(renew_drop_in(&room, &applied(&["jump-users"], &["robot"])).is_err());
    assert_eq!(fs::read(room.drop_in()).unwrap(), old);
}

#[test]
fn the_packet_filter_comes_where_it_is_asked_for_and_goes_with_the_rest() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    fs::create_dir(room.path("/run")).unwrap();
    assert_eq!(
        setup(&room, &jumpd, YES, &mut silent()).unwrap(),
        Outcome::Yes
    );
    assert!(room.script.borrow().is_empty(), "nobody asked for it");
    assert!(!egress::follow(&room).unwrap());

    let with = Options {
        nftables: true,
        ..YES
    };
    assert_eq!(
        setup(&room, &jumpd, with, &mut silent()).unwrap(),
        Outcome::Yes
    );
    let script = room.script.borrow().clone();
    assert!(script.starts_with("add table inet jump_server\ndelete table inet jump_server\n"));
    assert!(script.contains("elements = { 70001 }"), "{script}");
    egress::compare(&room, &jumpd).unwrap();
    assert!(egress::follow(&room).unwrap());
    assert_eq!(
        room.calls.borrow().last().map(String::as_str),
        Some("restart jump-egress.service")
    );

    // Somebody else's hand in the table is seen, and taken back by the next run.
    room.script.borrow_mut().push_str("accept all\n");
    assert!(egress::compare(&room, &jumpd).is_err());
    egress::run(&room, &jumpd, false, &mut silent()).unwrap();
    assert_eq!(*room.script.borrow(), script);
    egress::compare(&room, &jumpd).unwrap();

    assert_eq!(undo(&room, YES, &mut silent()).unwrap(), Outcome::Yes);
    assert_eq!(*room.script.borrow(), egress::ruleset::remove());
    assert!(!room.filtered.get());
    assert!(!room.path("/run/jump-egress").exists());
    let again = undo(&room, YES, &mut silent()).unwrap();
    assert_eq!(again, Outcome::Yes, "nothing is left to undo");
}

#[test]
fn without_nft_setup_says_so_and_the_rest_stays_wired() {
    let room = Room::new(Sshd::Content);
    let jumpd = jumpd(room.root.path(), true);
    fs::create_dir(room.path("/run")).unwrap();
    room.nft.set(false);
    let with = Options {
        nftables: true,
        ..YES
    };
    let said = setup(&room, &jumpd, with, &mut silent()).unwrap_err();
    assert!(said.to_string().contains("no nft here"), "{said}");
    assert!(room.drop_in().exists());
    assert!(!room.filtered.get(), "no unit tries for ever");
}
