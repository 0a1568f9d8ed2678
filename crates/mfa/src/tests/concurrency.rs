//! H1, invariant 3: whatever tries a code at once, one is let in.

use super::*;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Barrier;

const MANY: usize = 64;

/// One code tried by `MANY` threads at the same instant.
fn race(store: &dyn Store, typed: &str, at: i64) -> Vec<Result<Verdict, StoreError>> {
    let barrier = Barrier::new(MANY);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..MANY)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    verify(store, &alice(), typed, at, &LIMITS)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn accepted(answers: &[Result<Verdict, StoreError>]) -> usize {
    let yes = |a: &&Result<Verdict, _>| matches!(a, Ok(Verdict::Accepted { .. }));
    answers.iter().filter(yes).count()
}

/// Everyone else is told of a replay, or could not have the lock in time.
fn rest_is_refused(answers: &[Result<Verdict, StoreError>]) {
    for answer in answers {
        assert!(
            matches!(
                answer,
                Ok(Verdict::Accepted { .. } | Verdict::Replayed) | Err(StoreError::Busy { .. })
            ),
            "{answer:?}"
        );
    }
}

#[test]
fn h1_of_64_threads_with_one_code_one_is_accepted() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let mut last = None;
    for round in 0..50 {
        let at = NOW + 30 * round;
        let answers = race(&t.store, &code(&key, at), at);
        assert_eq!(accepted(&answers), 1, "round {round}");
        rest_is_refused(&answers);
        let step = t.store.read(&alice()).unwrap().unwrap().last_step();
        assert!(step > last, "round {round}");
        last = step;
    }
}

#[test]
fn h1_of_64_threads_with_one_recovery_code_one_is_accepted() {
    let t = temporary();
    let (_, codes) = enrol(&t.store);
    for (round, typed) in codes.iter().take(3).enumerate() {
        let answers = race(&t.store, typed, NOW);
        assert_eq!(accepted(&answers), 1, "round {round}");
        rest_is_refused(&answers);
    }
    assert_eq!(
        status(&t.store, &alice(), NOW).unwrap().recovery_codes_left,
        7
    );
}

#[test]
fn h11_no_failure_is_lost_among_64_threads_and_no_more_than_the_limit_are_looked_at() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let answers = race(&t.store, &wrong_code(&key, NOW), NOW);
    let wrong = |a: &&Result<Verdict, _>| matches!(a, Ok(Verdict::Wrong { .. }));
    assert_eq!(answers.iter().filter(wrong).count(), 5);
    assert_eq!(status(&t.store, &alice(), NOW).unwrap().failures, 5);
}

/// The part of [`h1_of_64_processes_with_one_code_one_is_accepted`] that each process plays.
#[test]
fn one_of_many_processes() {
    let (Ok(path), Ok(typed), Ok(at)) = (
        std::env::var("JUMP_MFA_TEST_STORE"),
        std::env::var("JUMP_MFA_TEST_CODE"),
        std::env::var("JUMP_MFA_TEST_TIME"),
    ) else {
        return;
    };
    let store = open(path);
    println!("ready");
    // The parent closes all inputs at once.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    match verify(&store, &alice(), &typed, at.parse().unwrap(), &LIMITS) {
        Ok(Verdict::Accepted { .. }) => println!("accepted"),
        Ok(Verdict::Replayed) | Err(StoreError::Busy { .. }) => println!("refused"),
        other => println!("{other:?}"),
    }
}

fn race_of_processes(t: &Temporary, typed: &str, at: i64) -> Vec<String> {
    let mut children: Vec<_> = (0..MANY)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "tests::concurrency::one_of_many_processes",
                    "--nocapture",
                ])
                .env("JUMP_MFA_TEST_STORE", t.dir.path())
                .env("JUMP_MFA_TEST_CODE", typed)
                .env("JUMP_MFA_TEST_TIME", at.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut outputs: Vec<_> = children
        .iter_mut()
        .map(|c| BufReader::new(c.stdout.take().unwrap()))
        .collect();
    for output in &mut outputs {
        let mut line = String::new();
        while line.trim_end() != "ready" {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "ended early");
        }
    }
    for child in &mut children {
        drop(child.stdin.take());
    }
    let answers = outputs
        .into_iter()
        .map(|mut output| {
            // To the end, so that the test harness can finish its report.
            let mut text = String::new();
            output.read_to_string(&mut text).unwrap();
            text.lines().next().unwrap().to_owned()
        })
        .collect();
    for mut child in children {
        child.wait().unwrap();
    }
    answers
}

#[test]
fn h1_of_64_processes_with_one_code_one_is_accepted() {
    let t = temporary();
    let (key, codes) = enrol(&t.store);
    for round in 0..4 {
        let at = NOW + 30 * round;
        let typed = if round < 3 {
            code(&key, at)
        } else {
            codes[0].clone()
        };
        let answers = race_of_processes(&t, &typed, at);
        assert_eq!(
            answers.iter().filter(|a| *a == "accepted").count(),
            1,
            "{answers:?}"
        );
        assert_eq!(
            answers.iter().filter(|a| *a == "refused").count(),
            MANY - 1,
            "{answers:?}"
        );
    }
}

#[test]
fn h25_a_stopped_holder_of_the_lock_costs_a_bounded_wait() {
    let t = temporary();
    let (key, _) = enrol(&t.store);
    let lock = std::fs::File::open(t.store.path().join("70001.lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let began = std::time::Instant::now();
    let answer = verify(&t.store, &alice(), &code(&key, NOW), NOW, &LIMITS);
    assert!(matches!(answer, Err(StoreError::Busy { .. })));
    assert!(began.elapsed() < LOCK_WAIT + Duration::from_millis(500));
    drop(lock);
    assert_eq!(ask(&t.store, &code(&key, NOW), NOW), totp());
}
