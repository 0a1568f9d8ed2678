//! The packages, from the assets that `jumpctl/Cargo.toml` lists.

use crate::tools::{self, For};
use crate::{cargo, root, run, target};
use std::path::PathBuf;

/// Every crate whose binary or library is in the packages.
const CRATES: &[&str] = &[
    "pam_jump",
    "nss_jump",
    "jumpd",
    "jump-guard",
    "jump-shell",
    "jumpctl",
];

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn build(profile: &str) -> Result<(), String> {
    tools::install(For::Build)?;
    let mut command = cargo(&["build", "--locked", "--profile", profile]);
    for name in CRATES {
        command.args(["--package", name]);
    }
    run(&mut command)
}

fn place(name: String, profile: &str) -> Result<PathBuf, String> {
    // Only a release is a package for others; the lab's stands elsewhere, so that nobody ships it.
    let directory = target().join(if profile == "release" {
        "packages"
    } else {
        "packages-lab"
    });
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    Ok(directory.join(name))
}

/// Builds the Debian package; where it is.
pub(crate) fn deb(profile: &str) -> Result<PathBuf, String> {
    tools::cargo_tool("cargo-deb", "3.8.0")?;
    build(profile)?;
    let path = place(format!("jump-server_{}_amd64.deb", version()), profile)?;
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
    command.args(["--profile", profile, "--output"]).arg(&part);
    if profile != "release" {
        // Unpacked dozens of times, and shipped to nobody.
        command.args(["--fast", "--compress-type", "gz"]);
    }
    run(command.stdout(std::process::Stdio::null()))?;
    std::fs::rename(&part, &path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// What the lab needs beside the package: the PAM module of which each layer
/// can be left out, and the program that tries every way to another host.
pub(crate) struct Weakened {
    pub(crate) module: PathBuf,
    pub(crate) probe: PathBuf,
}

/// Builds it beside what a package is made of, so that nothing is compiled twice, and carries it away. A
/// package built after it has the module as it should be: the lab and the look at the rpm make sure of it.
pub(crate) fn weakened(profile: &str) -> Result<Weakened, String> {
    let build = |words: &[&str]| {
        run(cargo(&["build", "--quiet", "--locked", "--profile", profile]).args(words))
    };
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
        let (from, to) = (target().join(profile).join(inside), directory.join(name));
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
pub(crate) fn rpm(profile: &str) -> Result<PathBuf, String> {
    tools::cargo_tool("cargo-generate-rpm", "0.21.1")?;
    build(profile)?;
    let path = place(format!("jump-server-{}-1.x86_64.rpm", version()), profile)?;
    let mut command = cargo(&["generate-rpm", "--package", "jumpctl", "--profile", profile]);
    command
        .arg("--target-dir")
        .arg(target())
        .arg("--output")
        .arg(&path);
    run(&mut command)?;
    Ok(path)
}

/// Installs the rpm into a root of its own and compares what is there with the Debian package.
pub(crate) fn look_at_rpm(profile: &str) -> crate::Outcome {
    tools::install(For::Test)?;
    let package = rpm(profile)?;
    run(std::process::Command::new("bash")
        .arg(root().join("packaging/rpm/look"))
        .arg(&package)
        .arg(target().join("rpm-root")))
}
