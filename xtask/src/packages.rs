//! The packages, from the assets that `jumpctl/Cargo.toml` lists.

use crate::tools::{self, For};
use crate::{cargo, root, run, target};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Every crate whose binary or library is in the packages.
const CRATES: &[&str] = &[
    "pam_jump",
    "nss_jump",
    "jumpd",
    "jump-guard",
    "jump-shell",
    "jumpctl",
];

/// Crates of ours that are optimised for the lab: hosts wait for what is in them, or for what they make of
/// their libraries' generic code.
const BUSY: &[&str] = &[
    "jump-accounts",
    "jump-audit",
    "jump-guard",
    "jump-policy",
    "jump-proto",
    "jump-shell",
    "jump-sys",
    "jumpctl",
    "jumpd",
    "nss_jump",
    "pam_jump",
];

/// What a package's programs are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build<'a> {
    /// For hosts, with this profile of cargo's.
    Hosts(&'a str),
    /// For the lab: with the profile of the tests, so that libraries need not be compiled once more, but
    /// with our own crates optimised.
    Lab,
}

impl<'a> Build<'a> {
    /// The profile's name.
    fn profile(self) -> &'a str {
        match self {
            Self::Hosts(profile) => profile,
            Self::Lab => "dev",
        }
    }

    /// Where cargo puts what it builds so.
    fn directory(self) -> PathBuf {
        match self {
            Self::Hosts("dev") | Self::Lab => target().join("debug"),
            Self::Hosts(profile) => target().join(profile),
        }
    }

    /// `cargo build` so.
    fn command(self) -> Command {
        let mut command = cargo(&["build", "--locked", "--profile", self.profile()]);
        if self == Self::Lab {
            for name in BUSY {
                let setting = format!("profile.dev.package.{name}.opt-level=1");
                command.args(["--config", &setting]);
            }
        }
        command
    }
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn build(build: Build<'_>) -> Result<(), String> {
    tools::install(For::Build)?;
    let mut command = build.command();
    for name in CRATES {
        command.args(["--package", name]);
    }
    run(&mut command)
}

fn place(name: String, build: Build<'_>) -> Result<PathBuf, String> {
    // Only a release is a package for others; the lab's stands elsewhere, so that nobody ships it.
    let directory = target().join(match build {
        Build::Hosts("release") => "packages",
        Build::Hosts(_) => "packages-other",
        Build::Lab => "packages-lab",
    });
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    Ok(directory.join(name))
}

/// Builds the Debian package; where it is.
pub(crate) fn deb(how: Build<'_>) -> Result<PathBuf, String> {
    tools::cargo_tool("cargo-deb", "3.8.0")?;
    build(how)?;
    let path = place(format!("jump-server_{}_amd64.deb", version()), how)?;
    let mut command = cargo(&[
        "deb",
        "--quiet",
        "--locked",
        "--no-build",
        "--package",
        "jumpctl",
    ]);
    // Another run may be reading the package that is there.
    let part = path.with_extension("part");
    command
        .args(["--profile", how.profile(), "--output"])
        .arg(&part);
    if how == Build::Hosts("release") {
        run(command.stdout(Stdio::null()))?;
    } else {
        // Unpacked dozens of times, and shipped to nobody.
        run(command.arg("--fast").stdout(Stdio::null()))?;
        pack_anew(&part)?;
    }
    std::fs::rename(&part, &path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// Packs a package so that it is quickly unpacked: `cargo deb` has no quick way that is.
fn pack_anew(package: &Path) -> Result<(), String> {
    let directory = target().join("packed-anew");
    // It is there only if an earlier run was cut short.
    let _old = std::fs::remove_dir_all(&directory);
    run(Command::new("dpkg-deb")
        .arg("--raw-extract")
        .args([package, &directory]))?;
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
        .args([&directory, package])
        .stdout(Stdio::null()))?;
    std::fs::remove_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))
}

/// What the lab needs beside the package: the PAM module of which each layer
/// can be left out, and the program that tries every way to another host.
pub(crate) struct Weakened {
    pub(crate) module: PathBuf,
    pub(crate) probe: PathBuf,
}

/// Builds it beside what a package is made of, so that nothing is compiled twice, and carries it away. A
/// package built after it has the module as it should be: the lab and the look at the rpm make sure of it.
pub(crate) fn weakened() -> Result<Weakened, String> {
    let build = |words: &[&str]| run(Build::Lab.command().arg("--quiet").args(words));
    build(&["--package", "pam_jump", "--features", "weaken"])?;
    build(&[
        "--package",
        "jump-sys",
        "--features",
        "attacks",
        "--example",
        "probe",
    ])?;
    let directory = target().join("weakened");
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let carry = |inside: &str, name: &str| {
        let (from, to) = (Build::Lab.directory().join(inside), directory.join(name));
        // Not over the one that is there: a lab may have it mapped.
        let part = to.with_extension("part");
        std::fs::copy(&from, &part)
            .and_then(|_| std::fs::rename(&part, &to))
            .map_err(|e| format!("{}: {e}", from.display()))?;
        Ok::<_, String>(to)
    };
    Ok(Weakened {
        module: carry("libpam_jump.so", "libpam_jump.so")?,
        probe: carry("examples/probe", "probe")?,
    })
}

/// Builds the rpm package; where it is.
pub(crate) fn rpm(how: Build<'_>) -> Result<PathBuf, String> {
    tools::cargo_tool("cargo-generate-rpm", "0.21.1")?;
    build(how)?;
    let path = place(format!("jump-server-{}-1.x86_64.rpm", version()), how)?;
    let mut command = cargo(&["generate-rpm", "--package", "jumpctl"]);
    command.args(["--profile", how.profile()]);
    command
        .arg("--target-dir")
        .arg(target())
        .arg("--output")
        .arg(&path);
    run(&mut command)?;
    Ok(path)
}

/// Installs the rpm into a root of its own and compares what is there with the Debian package.
pub(crate) fn look_at_rpm() -> crate::Outcome {
    tools::install(For::Test)?;
    let package = rpm(Build::Lab)?;
    run(Command::new("bash")
        .arg(root().join("packaging/rpm/look"))
        .arg(&package)
        .arg(target().join("rpm-root")))
}
