//! What holds for every input.

use super::*;
use crate::envelope::Envelope;
use proptest::prelude::*;

/// Something that happens to alice's second factor.
#[derive(Debug, Clone)]
enum Happening {
    /// The code of the step this many steps from now is typed.
    Code(i64),
    /// A text is typed.
    Typed(String),
    /// The clock moves by so many seconds.
    Clock(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (-4i64..=4).prop_map(Happening::Code),
        1 => "[0-9]{6}|[0-9]{8}|.{0,24}".prop_map(Happening::Typed),
        3 => (-200i64..=200).prop_map(Happening::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn h2_accepted_steps_strictly_rise_and_no_code_is_accepted_twice(
        happenings in proptest::collection::vec(happening(), 1..60),
    ) {
        let store = as_recorded();
        let generous = Limits { attempts: u32::MAX, ..LIMITS };
        let mut now = NOW;
        let mut last = None;
        let mut used = std::collections::HashSet::new();
        for happening in happenings {
            let typed = match happening {
                Happening::Clock(seconds) => {
                    now += seconds;
                    continue;
                }
                Happening::Code(offset) => code(RECORD_KEY, now + 30 * offset),
                Happening::Typed(text) => text,
            };
            let verdict = verify(&store, &alice(), &typed, now, &generous).unwrap();
            let step = store.read(&alice()).unwrap().unwrap().last_step();
            if verdict == totp() {
                prop_assert!(step > last);
                prop_assert!(used.insert(step));
                let distance = step.unwrap().cast_signed() - now / 30;
                prop_assert!(distance.abs() <= 1);
            } else {
                prop_assert_eq!(step, last);
            }
            last = step;
        }
    }

    #[test]
    fn no_typed_text_panics_or_gets_in(typed in "\\PC{0,40}|[0-9a-z-]{0,24}|\\s*[0-9]{5,9}\\s*", at in 0..i64::MAX) {
        let store = as_recorded();
        let verdict = verify(&store, &alice(), &typed, at, &LIMITS).unwrap();
        // One guess in some hundred thousand is right.
        prop_assume!(verdict != totp());
        prop_assert_eq!(verdict, Verdict::Wrong { failures: 1, left: 4 });
    }

    #[test]
    fn no_bytes_panic_as_a_record(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let store = Shared::default();
        prop_assert!(store.with_envelope(|envelope| envelope.open(&bytes, 70001).is_err()));
    }

    #[test]
    fn a_damaged_byte_never_panics_nor_gets_a_wrong_code_in(at in 0..RECORD.len(), byte: u8, now in 0..i64::MAX) {
        let mut bytes = RECORD.as_bytes().to_vec();
        bytes[at] = byte;
        let store = Shared::holding(&bytes);
        let accepted = matches!(
            verify(&store, &alice(), "no code", now, &LIMITS),
            Ok(Verdict::Accepted { .. })
        );
        prop_assert!(!accepted);
    }
}

/// A record as the first release wrote it.
const RECORD: &str = include_str!("record-v1.json");

/// The same as this release writes it, sealed; a later one must read it.
const SEALED: &str = include_str!("record-v2.json");

/// The key in [`RECORD`].
const RECORD_KEY: &str = "O2L6OTEB2ODPTVKLCBKWJKMEZNC6NGWY";

fn as_recorded() -> Shared {
    Shared::holding(RECORD.as_bytes())
}

#[test]
fn a_record_of_the_first_release_becomes_one_of_this_when_it_changes() {
    let t = temporary();
    let [record, watermark] = files(&t);
    let write = |text: &str| {
        std::fs::write(&record, text).unwrap();
        std::fs::set_permissions(&record, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    };
    write(RECORD);
    assert!(status(&t.store, &alice(), NOW).unwrap().enrolled);
    assert_eq!(std::fs::read_to_string(&record).unwrap(), RECORD);
    assert!(!watermark.exists());
    assert_eq!(ask(&t.store, &code(RECORD_KEY, NOW), NOW), totp());
    let now = std::fs::read_to_string(&record).unwrap();
    assert!(
        now.contains("\"version\": 2") && now.contains("\"serial\": 1"),
        "{now}"
    );
    assert!(
        !now.contains("secret") && !now.contains(RECORD_KEY),
        "{now}"
    );
    assert!(watermark.exists());
    // The old one is an old copy now.
    write(RECORD);
    let error = verify(&t.store, &alice(), &code(RECORD_KEY, NOW), NOW, &LIMITS).unwrap_err();
    assert!(error.is_replay(), "{error}");
}

#[test]
fn the_format_of_this_release_stays_readable() {
    let host = "bead5ea1ed5e1f00bead5ea1ed5e1f00".parse().unwrap();
    let keys = keys();
    let envelope = Envelope {
        host,
        keys: &keys,
        only_sealed: true,
    };
    let opened = envelope.open(SEALED.as_bytes(), 70001).unwrap();
    assert_eq!(opened.serial, 7);
    assert!(opened.current);
    let body = opened.record.body_to_bytes().unwrap();
    let v1 = Shared::holding(RECORD.as_bytes());
    let old = v1.read(&alice()).unwrap().unwrap().body_to_bytes().unwrap();
    assert_eq!(*body, *old);
}
