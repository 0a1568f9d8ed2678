//! How fast much output comes.

use crate::figures::{Bound, Report};
use crate::ways::Ways;
use anyhow::{Context, Result, ensure};
use jump_lab::process::Invocation;
use std::io::Read;
use std::time::Instant;

/// Of the speed of script(1).
const RECORDED: f64 = 0.9;
/// Of the speed of nc(1).
const CONNECT: f64 = 1.0;
/// What a recorder may take, in MiB.
const MEMORY: f64 = 32.0;
/// How many turns each way has; the whole is split among them.
const TURNS: u64 = 4;
/// A port of db1 that is a target's.
const PORT: u16 = 9001;

/// Output as programs print it: lines that are alike and not the same.
fn printing(bytes: u64) -> String {
    format!(
        "seq -f 'request %012.0f from 10.1.2.3 took 0.42 ms and ended with 200 OK' 1 999999999 | head -c {bytes}"
    )
}

/// Bytes per second until its end.
fn speed(invocation: Invocation, bytes: u64) -> Result<f64> {
    let told = format!("{invocation:?}");
    let mut child = invocation.piped()?;
    // Open until all is there: nc(1) takes the end of one direction for the end of both.
    let mut input = child.stdin.take();
    let mut screen = child.stdout.take().context("no output")?;
    let mut buffer = vec![0; 256 * 1024];
    let mut came = 0u64;
    let mut begin = Instant::now();
    let mut first = String::new();
    loop {
        let count = screen.read(&mut buffer)?;
        if came == 0 {
            // The connection is made and the first byte there.
            begin = Instant::now();
            first = String::from_utf8_lossy(buffer.get(..count.min(400)).unwrap_or_default())
                .into_owned();
        }
        if count == 0 {
            break;
        }
        came += count as u64;
        if came >= bytes {
            drop(input.take());
        }
    }
    let took = begin.elapsed().as_secs_f64();
    let status = child.wait()?;
    ensure!(
        status.success(),
        "{status} after {came} bytes, first {first:?}: {told}"
    );
    ensure!(came >= bytes, "{came} bytes of {bytes} came: {told}");
    #[expect(clippy::cast_precision_loss, reason = "a speed for people")]
    Ok(came as f64 / took)
}

/// Peak resident memory of the processes of a name, in MiB, since [`forget_peaks`].
fn peak(ways: &Ways<'_>, name: &str) -> Result<f64> {
    let line = format!(
        "for p in $(pgrep -x {name}); do sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$p/status; done | sort -n | tail -n 1"
    );
    let kib: f64 = ways.lab.shell(&line).run()?.success()?.text().parse()?;
    Ok(kib / 1024.0)
}

fn forget_peaks(ways: &Ways<'_>, name: &str) -> Result<()> {
    let line = format!("for p in $(pgrep -x {name}); do echo 5 >/proc/$p/clear_refs; done");
    ways.lab.shell(&line).run()?.success()?;
    Ok(())
}

pub(crate) fn recorded(ways: &Ways<'_>, bytes: u64, report: &mut Report) -> Result<()> {
    let part = bytes / TURNS;
    let there = printing(part);
    forget_peaks(ways, "jumpd")?;
    let before = peak(ways, "jumpd")?;
    let (mut hop, mut script) = (0.0, 0.0);
    for _ in 0..TURNS {
        let line = format!("ssh db1 {there}");
        hop += 1.0 / speed(ways.in_shell(&ways.recorded, &line)?, part)?;
        let line = format!(
            "script --quiet --flush --command 'ssh ops@db1 \"{}\"' /root/typescript",
            there.replace('\'', "'\\''")
        );
        script += 1.0 / speed(ways.as_root(&["-tt"], &line), part)?;
    }
    let after = peak(ways, "jumpd")?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let speeds = [hop, script].map(|inverse| TURNS as f64 / inverse);
    report.add(
        "output of a recorded hop",
        speeds[0] / 1e6,
        "MB/s",
        Bound::None,
    );
    report.add(
        "output of script --flush",
        speeds[1] / 1e6,
        "MB/s",
        Bound::None,
    );
    report.add(
        "a recorded hop's speed, of script --flush's",
        speeds[0] / speeds[1],
        "",
        Bound::AtLeast(RECORDED),
    );
    report.add(
        "jumpd's memory for it, at the peak",
        (after - before).max(0.0),
        "MiB",
        Bound::AtMost(MEMORY),
    );
    Ok(())
}

pub(crate) fn connect(ways: &Ways<'_>, bytes: u64, report: &mut Report) -> Result<()> {
    let part = bytes / TURNS;
    let (mut connect, mut nc) = (0.0, 0.0);
    let to = format!("db1 {PORT}");
    for _ in 0..TURNS {
        for (through, sum) in [(true, &mut connect), (false, &mut nc)] {
            let serve = format!("head -c {part} /dev/zero | nc -N -l -p {PORT}");
            let server = ways.lab.db1.shell(&serve).start()?;
            ways.lab
                .db1
                .shell(&format!(
                    "until ss -Htln sport = {PORT} | grep -q .; do sleep 0.05; done"
                ))
                .run()?
                .success()?;
            let invocation = if through {
                ways.piped(&ways.plain, &format!("connect {to}"))?
            } else {
                ways.as_root(&["-T"], &format!("nc -d {to}"))
            };
            *sum += 1.0 / speed(invocation, part)?;
            drop(server);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let speeds = [connect, nc].map(|inverse| TURNS as f64 / inverse);
    report.add("connect carries", speeds[0] / 1e6, "MB/s", Bound::None);
    report.add("nc carries", speeds[1] / 1e6, "MB/s", Bound::None);
    report.add(
        "connect's speed, of nc's",
        speeds[0] / speeds[1],
        "",
        Bound::AtLeast(CONNECT),
    );
    Ok(())
}
