//! Every seed goes through its target, and every target is a fuzzer with seeds.

use jump_fuzz_targets::TARGETS;
use jump_proto::handshake::{GuardAnswer, GuardHello};
use jump_proto::{Push, Reply, Request};
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn every_seed_goes_through_its_target() {
    for target in TARGETS {
        let directory = fuzz().join("seeds").join(target.name);
        let mut seeds = 0;
        for seed in fs::read_dir(&directory).unwrap() {
            let path = seed.unwrap().path();
            println!("{}", path.display());
            (target.run)(&fs::read(path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{} has no seed", target.name);
        (target.run)(b"");
    }
}

#[test]
fn every_target_has_its_fuzzer() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert_eq!(
            source,
            format!(
                "#![no_main]\nlibfuzzer_sys::fuzz_target!(|bytes: &[u8]| jump_fuzz_targets::{name}(bytes));\n"
            )
        );
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
    let fuzzers = fs::read_dir(fuzz().join("fuzz_targets")).unwrap().count();
    assert_eq!(fuzzers, TARGETS.len());
}

/// A seed whose message has got another shape since would test nothing.
#[test]
fn the_seeds_of_messages_are_messages() {
    fn check<T: DeserializeOwned>(json: &[u8]) -> Result<(), serde_json::Error> {
        serde_json::from_slice::<T>(json).map(drop)
    }
    for seed in fs::read_dir(fuzz().join("seeds/messages")).unwrap() {
        let path = seed.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let (which, json) = bytes.split_first().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let understood = match name.split('-').next() {
            Some("request") => (0, check::<Request>(json)),
            Some("reply") => (1, check::<Reply>(json)),
            Some("push") => (2, check::<Push>(json)),
            Some("guard") if name == "guard-hello" => (3, check::<GuardHello>(json)),
            Some("guard") => (4, check::<GuardAnswer>(json)),
            _ => continue,
        };
        assert_eq!(which % 5, understood.0, "{name}");
        understood.1.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
