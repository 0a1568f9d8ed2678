//! What the built library is, before anybody calls it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test program, helpers included"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

fn library() -> PathBuf {
    support::library(Path::new(env!("CARGO_TARGET_TMPDIR"))).join("libnss_jump.so")
}

/// What a binutils program says about the library.
fn inspect(program: &str, option: &str) -> String {
    let output = Command::new(program)
        .arg(option)
        .arg("--wide")
        .arg(library())
        .env("LC_ALL", "C")
        .output()
        .expect("binutils is installed, as rustc links with it");
    assert!(output.status.success(), "{program} {option}");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the dynamic symbols, of those defined or of those needed.
fn symbols(defined: bool) -> Vec<String> {
    inspect("readelf", "--dyn-syms")
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(6);
            let section = words.next()?;
            let name = words.next()?;
            (section != "Ndx" && (section != "UND") == defined).then(|| name.to_owned())
        })
        .collect()
}

#[test]
fn glibc_finds_it_by_its_soname() {
    assert!(inspect("readelf", "--dynamic").contains("soname: [libnss_jump.so.2]"));
}

#[test]
fn it_exports_the_eleven_entry_points_and_nothing_else() {
    let mut exported = symbols(true);
    exported.sort();
    assert_eq!(
        exported,
        [
            "_nss_jump_endgrent",
            "_nss_jump_endpwent",
            "_nss_jump_getgrent_r",
            "_nss_jump_getgrgid_r",
            "_nss_jump_getgrnam_r",
            "_nss_jump_getpwent_r",
            "_nss_jump_getpwnam_r",
            "_nss_jump_getpwuid_r",
            "_nss_jump_initgroups_dyn",
            "_nss_jump_setgrent",
            "_nss_jump_setpwent",
        ]
    );
}

#[test]
fn it_cannot_raise_a_panic() {
    let raising: Vec<_> = symbols(false)
        .into_iter()
        .filter(|name| name.starts_with("_Unwind") || name.contains("abort"))
        .collect();
    assert!(raising.is_empty(), "a panic is reachable: {raising:?}");
}

#[test]
fn it_has_no_thread_local_storage() {
    assert!(!inspect("readelf", "--segments").contains("TLS"));
}

#[test]
fn it_can_neither_write_nor_connect_nor_start_anything() {
    for name in symbols(false) {
        let name = name.split('@').next().unwrap_or_default().to_owned();
        assert!(
            [
                "",
                "__cxa_finalize",
                "__errno_location",
                "__gmon_start__",
                "_ITM_deregisterTMCloneTable",
                "_ITM_registerTMCloneTable",
                "bcmp",
                "fstat",
                "fstatat",
                "memcmp",
                "memcpy",
                "memmove",
                "memset",
                "mmap",
                "mprotect",
                "munmap",
                "realloc",
                "strnlen",
                "syscall",
            ]
            .contains(&name.as_str()),
            "it needs {name}"
        );
    }
}

#[test]
fn its_relocations_are_read_only_and_it_stays_loaded() {
    let dynamic = inspect("readelf", "--dynamic");
    assert!(dynamic.contains("BIND_NOW") && dynamic.contains("NODELETE"));
    let segments = inspect("readelf", "--segments");
    assert!(segments.contains("GNU_RELRO"));
    let stack = segments.lines().find(|line| line.contains("GNU_STACK"));
    assert!(stack.is_some_and(|line| !line.contains("RWE")));
}

#[test]
fn it_runs_on_the_oldest_supported_glibc() {
    let newest = inspect("readelf", "--version-info")
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .filter_map(|word| word.strip_prefix("GLIBC_2."))
        .filter_map(|minor| minor.split('.').next()?.parse::<u32>().ok())
        .max();
    // RHEL 9 and Ubuntu 22.04: 2.34 and 2.35.
    assert!(newest.is_some_and(|minor| minor <= 34), "2.{newest:?}");
}
