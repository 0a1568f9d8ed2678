//! A target: the system's own sshd on a port of this host, an agent that logs in there, and a jumpd that
//! lets hops lead there.

use crate::fake::{Answer, Fake, friendly};
use crate::recorder::Recorder;
use crate::shell::wait_until;
use jump_proto::{HopId, HopOpened, Reply, Request};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// sshd and ssh-agent, until the test ends.
pub(crate) struct Target {
    daemons: Vec<Child>,
    pub(crate) address: SocketAddr,
}

impl Drop for Target {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The login name of whoever runs the tests.
pub(crate) fn login() -> String {
    let name = Command::new("/usr/bin/id").arg("-un").output().unwrap();
    String::from_utf8(name.stdout).unwrap().trim().to_owned()
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

fn quiet(program: &str, arguments: &[&str]) -> Child {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Target {
    /// One whose host key, as `db1`, and whose agent are in `folder`.
    fn start(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        for key in ["host", "user"] {
            run(
                "/usr/bin/ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)],
            );
        }
        let host = std::fs::read_to_string(path("host.pub")).unwrap();
        std::fs::write(path("known_hosts"), format!("db1 {host}")).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nPrintMotd no\nPrintLastLog no\nMaxStartups 100\n",
            address.port(),
            path("host"),
            path("user.pub"),
        );
        std::fs::write(path("sshd_config"), config).unwrap();
        if rustix::process::geteuid().is_root() {
            // Where its package's unit would have made it.
            let _ = std::fs::create_dir("/run/sshd");
        }
        let agent = path("agent.sock");
        let daemons = vec![
            quiet("/usr/sbin/sshd", &["-D", "-f", &path("sshd_config")]),
            quiet("/usr/bin/ssh-agent", &["-D", "-a", &agent]),
        ];
        let target = Self { daemons, address };
        wait_until("sshd", || TcpStream::connect(address).is_ok());
        wait_until("ssh-agent", || Path::new(&agent).exists());
        let added = Command::new("/usr/bin/ssh-add")
            .args(["-q", &path("user")])
            .env("SSH_AUTH_SOCK", &agent)
            .stdin(Stdio::null())
            .status();
        assert!(added.unwrap().success());
        target
    }
}

/// A hop to this address.
fn opened(folder: &Path, address: SocketAddr, record: bool) -> HopOpened {
    HopOpened {
        hop: HopId::from_bytes([9; 16]),
        address,
        login: login(),
        host_key_alias: "db1".into(),
        known_hosts: folder.join("known_hosts").to_str().unwrap().to_owned(),
        record,
        forwarded_agent: false,
        rule: "dba-office".into(),
    }
}

/// A target, and a jumpd that lets hops lead there; `change` may change how, and `recorder` records.
pub(crate) fn reached(
    record: bool,
    recorder: Recorder,
    change: impl FnOnce(&mut HopOpened, &Path),
) -> (Target, Fake) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let target = Target::start(folder.path());
    let mut hop = opened(folder.path(), target.address, record);
    change(&mut hop, folder.path());
    answering(folder, target, hop, recorder, friendly)
}

/// The same; jumpd answers with `mind` whatever is not the beginning of a hop.
pub(crate) fn answered(
    record: bool,
    recorder: Recorder,
    mind: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Target, Fake) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let target = Target::start(folder.path());
    let hop = opened(folder.path(), target.address, record);
    answering(folder, target, hop, recorder, mind)
}

fn answering(
    folder: TempDir,
    target: Target,
    hop: HopOpened,
    recorder: Recorder,
    mind: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Target, Fake) {
    let jumpd = Fake::within(folder, recorder, move |question| match question {
        Request::HopOpen(_) => Answer::Say(Reply::Hop(hop.clone())),
        other => Answer::Say(mind(other)),
    });
    (target, jumpd)
}
