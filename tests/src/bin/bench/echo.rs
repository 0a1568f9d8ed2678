//! How long a key takes to come back.

use crate::figures::{Bound, Report, quantile};
use crate::ways::Ways;
use anyhow::{Context, Result, ensure};
use jump_lab::admin::Admin;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

/// What the recording may add at the median, in microseconds.
const MEDIAN: f64 = 60.0;
/// And at the 99th percentile.
const P99: f64 = 1000.0;
/// Keystrokes before the other way has its turn.
const ROUND: usize = 50;
/// Keystrokes that are not counted.
const WARM_UP: usize = 100;
/// A person's pause; without one the processors would not even go idle.
const PAUSE: Duration = Duration::from_millis(2);

/// A hop whose far end sends back what comes.
struct Echo {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
}

impl Echo {
    fn start(ways: &Ways<'_>, admin: &Admin<'_>) -> Result<Self> {
        let mut child = ways.in_shell(admin, "ssh db1")?.piped()?;
        let keys = child.stdin.take().context("no input")?;
        let screen = child.stdout.take().context("no output")?;
        let mut echo = Self {
            child,
            keys,
            screen,
        };
        // The line itself is echoed, too, and must not look like its answer.
        echo.keys
            .write_all(b"stty raw -echo; printf 'rea''dy'; exec cat\n")?;
        let mut seen = Vec::new();
        while !seen.ends_with(b"ready") {
            let mut byte = [0];
            ensure!(echo.screen.read(&mut byte)? == 1, "the hop ended: {seen:?}");
            seen.extend(byte);
        }
        Ok(echo)
    }

    fn key(&mut self) -> Result<Duration> {
        std::thread::sleep(PAUSE);
        let mut byte = [0];
        let begin = Instant::now();
        self.keys.write_all(b"x")?;
        self.screen.read_exact(&mut byte)?;
        let took = begin.elapsed();
        ensure!(byte == *b"x", "another byte came back");
        Ok(took)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ended = (self.child.kill(), self.child.wait());
    }
}

pub(crate) fn measure(ways: &Ways<'_>, keystrokes: usize, report: &mut Report) -> Result<()> {
    let mut hops = [
        Echo::start(ways, &ways.plain)?,
        Echo::start(ways, &ways.recorded)?,
    ];
    let mut times = [Vec::new(), Vec::new()];
    for hop in &mut hops {
        for _ in 0..WARM_UP {
            hop.key()?;
        }
    }
    while times[1].len() < keystrokes {
        for (hop, times) in hops.iter_mut().zip(&mut times) {
            for _ in 0..ROUND {
                times.push(hop.key()?);
            }
        }
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    for (part, name, most) in [(0.5, "median", MEDIAN), (0.99, "99th percentile", P99)] {
        let [plain, recorded] = [0, 1].map(|way| micros(quantile(&mut times[way], part)));
        report.add(
            format!("echo through a hop, {name}"),
            plain,
            "us",
            Bound::None,
        );
        report.add(
            format!("echo through a recorded hop, {name}"),
            recorded,
            "us",
            Bound::None,
        );
        report.add(
            format!("what the recording adds, {name}"),
            recorded - plain,
            "us",
            Bound::AtMost(most),
        );
    }
    Ok(())
}
