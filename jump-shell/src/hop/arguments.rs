//! With which arguments ssh is started.
//!
//! Every option is named here; no configuration file is read. What varies comes
//! from jumpd and is looked at once more: ssh reads an option's value as it reads a
//! line of its configuration, so a blank or a quote in one would begin another
//! (ssh_config(5)). The command stands last, behind `--`, as one argument.

use super::runner::Start;
use super::wish::is_login;
use crate::words::is_host;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// The same for every hop.
const ALWAYS: &[&str] = &[
    // Nobody is asked, and nothing is believed that was not known before.
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UserKnownHostsFile=none",
    "KnownHostsCommand=none",
    "VerifyHostKeyDNS=no",
    "CheckHostIP=no",
    "UpdateHostKeys=no",
    // One way to log in.
    "PreferredAuthentications=publickey",
    "PubkeyAuthentication=yes",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "HostbasedAuthentication=no",
    "GSSAPIAuthentication=no",
    "NumberOfPasswordPrompts=0",
    "IdentityFile=none",
    "CertificateFile=none",
    "PKCS11Provider=none",
    "AddKeysToAgent=no",
    // One channel, which leads nowhere else.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "GatewayPorts=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    // No other program.
    "ProxyCommand=none",
    "ProxyJump=none",
    "PermitLocalCommand=no",
    "LocalCommand=none",
    "CanonicalizeHostname=no",
    // A target that is gone is noticed; what is said is only what went wrong.
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "LogLevel=ERROR",
    "EscapeChar=none",
];

/// What jumpd gave cannot be an argument of ssh. Displayed as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} that the jump server gave cannot be used")]
pub(crate) struct Unusable(&'static str);

/// The arguments for `start`, after the program's name; `agent` is the socket that authenticates.
pub(super) fn of(start: &Start, agent: &Path, terminal: bool) -> Result<Vec<OsString>, Unusable> {
    let check = |good: bool, what| if good { Ok(()) } else { Err(Unusable(what)) };
    check(is_login(&start.login), "login name")?;
    check(is_host(&start.host_key_alias), "name for host keys")?;
    check(is_plain_path(Path::new(&start.known_hosts)), "host keys")?;
    check(is_plain_path(agent), "agent")?;
    let mut arguments: Vec<OsString> = ["-F", "none"].map(OsString::from).into();
    let mut option =
        |text: &OsStr| arguments.extend([OsStr::new("-o").to_owned(), text.to_owned()]);
    for always in ALWAYS {
        option(OsStr::new(always));
    }
    option(OsStr::new(&format!(
        "HostKeyAlias={}",
        start.host_key_alias
    )));
    option(OsStr::new(&format!(
        "GlobalKnownHostsFile={}",
        start.known_hosts
    )));
    let mut identity = OsString::from("IdentityAgent=");
    identity.push(agent);
    option(&identity);
    // Without a command there is an interactive shell, if there is a terminal for it.
    let wants_terminal = terminal && start.command.is_none();
    let tty = if wants_terminal {
        "RequestTTY=force"
    } else {
        "RequestTTY=no"
    };
    option(OsStr::new(tty));
    arguments.extend(["-p".into(), start.address.port().to_string().into()]);
    arguments.extend(["-l".into(), start.login.clone().into()]);
    arguments.extend(["--".into(), start.address.ip().to_string().into()]);
    arguments.extend(
        start
            .command
            .as_deref()
            .map(|c| OsStr::from_bytes(c).to_owned()),
    );
    Ok(arguments)
}

/// An absolute path of plain letters that leads nowhere but down.
fn is_plain_path(path: &Path) -> bool {
    path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && path
            .as_os_str()
            .as_bytes()
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn start() -> Start {
        Start {
            address: "[2001:db8::1]:2222".parse().unwrap(),
            login: "root".into(),
            host_key_alias: "db1.example.internal".into(),
            known_hosts: "/etc/jump/known_hosts".into(),
            forwarded_agent: false,
            command: Some(b"ls | wc; \"x\" \xff".to_vec()),
        }
    }

    fn arguments(start: &Start) -> Result<Vec<OsString>, Unusable> {
        of(start, Path::new("/run/jump/agent.sock"), true)
    }

    #[test]
    fn the_command_is_the_last_argument_as_it_came() {
        let arguments = arguments(&start()).unwrap();
        let last: Vec<&[u8]> = arguments
            .iter()
            .rev()
            .take(3)
            .map(|a| a.as_bytes())
            .collect();
        assert_eq!(last, [&b"ls | wc; \"x\" \xff"[..], b"2001:db8::1", b"--"]);
    }

    #[test]
    fn what_could_be_another_option_is_refused() {
        let changed: [fn(&mut Start); 8] = [
            |s| s.login = "-oProxyCommand=sh".into(),
            |s| s.login = "a b".into(),
            |s| s.login = String::new(),
            |s| s.host_key_alias = "a b".into(),
            |s| s.host_key_alias = "a\"".into(),
            |s| s.known_hosts = "/etc/jump/known_hosts /tmp/x".into(),
            |s| s.known_hosts = "/etc/jump/../../tmp/x".into(),
            |s| s.known_hosts = "known_hosts".into(),
        ];
        for change in changed {
            let mut start = start();
            change(&mut start);
            assert!(arguments(&start).is_err(), "{start:?}");
        }
        let agent = Path::new("/tmp/ssh-x/agent.1 \"");
        assert!(of(&start(), agent, true).is_err());
    }

    /// ssh itself reads them: an option it does not know, or would read otherwise, fails here.
    #[test]
    fn ssh_understands_every_option() {
        let arguments = arguments(&start()).unwrap();
        let output = Command::new(jump_proto::paths::SSH)
            .env_clear()
            .arg("-G")
            .args(&arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let read = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
        for line in [
            "batchmode yes",
            "hostname 2001:db8::1",
            "hostkeyalias db1.example.internal",
            "globalknownhostsfile /etc/jump/known_hosts",
            "userknownhostsfile none",
            "identityagent /run/jump/agent.sock",
            "user root",
            "port 2222",
            "stricthostkeychecking true",
            "requesttty false",
            "escapechar none",
            "forwardagent no",
            "permitlocalcommand no",
            "clearallforwardings yes",
            "controlmaster false",
        ] {
            assert!(read.lines().any(|l| l == line), "{line} in {read}");
        }
        assert!(!read.contains("proxycommand") && !read.contains("proxyjump"));
    }

    #[test]
    fn only_an_interactive_shell_gets_a_terminal_there() {
        let tty = |command: Option<&str>, terminal| {
            let start = Start {
                command: command.map(|c| c.as_bytes().to_vec()),
                ..start()
            };
            let arguments = of(&start, Path::new("/a"), terminal).unwrap();
            arguments.iter().any(|a| a == "RequestTTY=force")
        };
        assert!(tty(None, true));
        assert!(!tty(Some("uptime"), true) && !tty(None, false));
    }
}
