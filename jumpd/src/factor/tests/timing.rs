//! H15: what a no tells by its time.

use super::*;

/// How far two samples are from coming from one distribution: the z of the Mann-Whitney test, ties
/// in the middle. Beyond 4 it is less likely than one in ten thousand.
fn mann_whitney(a: &[Duration], b: &[Duration]) -> f64 {
    let mut above = 0.0;
    for x in a {
        for y in b {
            above += match x.cmp(y) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let count = |of: &[Duration]| f64::from(u32::try_from(of.len()).unwrap());
    let (n, m) = (count(a), count(b));
    let spread = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (above - n * m / 2.0) / spread
}

/// H15: neither the prompt, nor the sentence, nor the time tells who is enrolled, unenrolled, unknown or locked out.
#[test]
fn h15_enrolled_unenrolled_unknown_and_locked_users_look_alike() {
    let host = Host::with(&policy());
    let (alice, bob, carol) = (who("alice", 70001), who("bob", 70002), who("carol", 70003));
    host.enrol(&alice);
    host.enrol(&carol);
    let applicant = applicant(&login(&carol)).unwrap();
    let one = jump_mfa::Limits {
        attempts: 1,
        lockout: Duration::from_secs(900),
    };
    let now = host.jumpd.now().as_second();
    let place = applicant.place();
    jump_mfa::verify(&host.jumpd.second_factors, &carol, &place, "x", now, &one).unwrap();
    // Of a system group, so that the policy has no table of hers.
    let dora = who("dora", 70004);
    let people = [&alice, &bob, &carol, &dora];
    let (_, _, prompts) = host.converse(&login(&alice), &["000000"]);
    assert_eq!(prompts, [PROMPT]);
    assert_eq!(host.told(), "mfa.failed wrong_code");
    host.converse(&login(&bob), &["000000"]);
    assert_eq!(host.told(), "mfa.failed not_enrolled");
    host.converse(&login(&carol), &["000000"]);
    assert_eq!(host.told(), "mfa.failed locked_out");
    for typed in ["no code", "aaaa-aaaa-aaaa-aaaa"] {
        let mut seen = Vec::new();
        // What differs does so each time; a machine that is too busy for writes to end in time does not.
        let alike = (0..3).any(|_| {
            jump_mfa::unlock(&host.jumpd.second_factors, &alice).unwrap();
            let [alice, bob, carol, dora] = &refusals(&host, people, typed);
            let z = [(alice, bob), (bob, carol), (alice, carol), (alice, dora)]
                .map(|(a, b)| mann_whitney(a, b));
            seen.push(z);
            z.iter().all(|z| z.abs() < 4.0)
        });
        assert!(alike, "{typed:?}: {seen:?}");
    }
}

/// How long each of four people waits for a no to `typed`, often.
fn refusals(host: &Host, people: [&Who; 4], typed: &str) -> [Vec<Duration>; 4] {
    const WORKERS: usize = 4;
    const ROUNDS: usize = 12;
    let mut times = [const { Vec::new() }; 4];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn(move || {
                    let mut times = [const { Vec::new() }; 4];
                    for round in 0..4 * ROUNDS {
                        // In turns, so that whatever else the machine does hits all alike.
                        let at = (worker + round) % 4;
                        let (step, took, prompts) = host.converse(&login(people[at]), &[typed]);
                        assert_eq!(prompts, [PROMPT]);
                        let AuthStep::Denied { message } = step else {
                            panic!("{step:?}");
                        };
                        assert_eq!(message.as_deref(), Some(NOT_ACCEPTED));
                        times[at].push(took);
                    }
                    times
                })
            })
            .collect();
        for worker in workers {
            for (all, some) in times.iter_mut().zip(worker.join().unwrap()) {
                all.extend(some);
            }
        }
    });
    times
}

/// What the test above would see without the wait: a write to disk, or none.
#[test]
fn h15_the_work_behind_a_no_does_differ() {
    let host = Host::with(&policy());
    let (alice, bob) = (who("alice", 70001), who("bob", 70002));
    host.enrol(&alice);
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..60 {
        for (person, times) in [&alice, &bob].into_iter().zip(&mut times) {
            let applicant = applicant(&login(person)).unwrap();
            let began = Instant::now();
            mfa::verify(
                &host.jumpd,
                &host.jumpd.policy().unwrap(),
                person,
                &applicant.place(),
                "no code",
            );
            times.push(began.elapsed());
        }
    }
    let z = mann_whitney(&times[0], &times[1]);
    assert!(z > 4.0, "z = {z}");
}
