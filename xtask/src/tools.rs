//! What a fresh Debian machine with Rust misses.

use crate::{Outcome, run, target};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A Debian package, and a file that is there when it is installed.
struct Package {
    name: &'static str,
    file: &'static str,
}

const fn package(name: &'static str, file: &'static str) -> Package {
    Package { name, file }
}

/// To build: the linker's libpam.
const BUILD: &[Package] = &[
    package("gcc", "/usr/bin/gcc"),
    package("libpam0g-dev", "/usr/include/security/pam_modules.h"),
];

/// To test what does not need a host: sshd to check the drop-in with, the man-page formatter, rpm.
const TEST: &[Package] = &[
    package("openssh-server", "/usr/sbin/sshd"),
    package("openssh-client", "/usr/bin/ssh"),
    package("man-db", "/usr/bin/man"),
    package("binutils", "/usr/bin/readelf"),
    package("strace", "/usr/bin/strace"),
    package("rpm", "/usr/bin/rpm"),
    package("lintian", "/usr/bin/lintian"),
];

/// To fuzz: libFuzzer is C++.
const FUZZ: &[Package] = &[package("g++", "/usr/bin/g++")];

/// To boot hosts.
const LAB: &[Package] = &[
    package("mmdebstrap", "/usr/bin/mmdebstrap"),
    package("systemd-container", "/usr/bin/systemd-nspawn"),
    package("iproute2", "/usr/bin/ip"),
    package("util-linux", "/usr/bin/nsenter"),
];

/// What a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    Build,
    Test,
    Fuzz,
    Lab,
}

/// Installs with apt what is missing; needs root only when something is.
pub(crate) fn install(purpose: For) -> Outcome {
    let wanted: Vec<&Package> = match purpose {
        For::Build => BUILD.iter().collect(),
        For::Test => BUILD.iter().chain(TEST).collect(),
        For::Fuzz => BUILD.iter().chain(FUZZ).collect(),
        For::Lab => BUILD.iter().chain(LAB).collect(),
    };
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|p| !Path::new(p.file).exists())
        .map(|p| p.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("xtask: installing {}", missing.join(" "));
    let apt = |words: &[&str]| {
        run(Command::new("apt-get")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "Acquire::Retries=3"])
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // A package that starts its service here (openssh-server) must not: nothing of ours outlives the run.
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null()))
    };
    // A mirror of the host's that is down must not stop the others.
    if let Err(why) = apt(&["update"]) {
        eprintln!("xtask: {why}; going on with the package lists at hand");
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(missing);
    apt(&words).map_err(|why| format!("{why}\nrun as root, or install these packages yourself"))
}

/// Where cargo's own tools are put.
fn directory() -> PathBuf {
    target().join("tools")
}

/// `PATH` with them in front.
pub(crate) fn path() -> OsString {
    let mut path = directory().join("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

/// Builds a cargo subcommand where there is none. Versions are fixed: a new one is a change like any other.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Outcome {
    let there = std::env::split_paths(&path()).any(|directory| directory.join(name).is_file());
    if there {
        return Ok(());
    }
    eprintln!("xtask: building {name} {version} (once, some minutes)");
    let root = directory();
    // Made in half the time, and not slower in the second that each works for.
    let quick = [
        "opt-level=1",
        "lto=false",
        "codegen-units=16",
        "debug=false",
    ]
    .map(|setting| format!("profile.release.{setting}"));
    run(
        crate::cargo(&["install", "--quiet", "--locked", "--version", version, name])
            .args(quick.iter().flat_map(|setting| ["--config", setting]))
            .arg("--root")
            .arg(&root)
            // Away from the checkout's own build directory, which a parallel build may hold.
            .env("CARGO_TARGET_DIR", root.join("build")),
    )
}
