//! A36: what an allowed target does onward.

use anyhow::{Context, Result, ensure};
use jump_lab::lab::Lab;
use jump_lab::network::{DB2, ECHO};
use std::fs;
use std::path::Path;

/// Given a target that forwards, then whoever may log in there reaches what the target reaches, through a stock host and
/// through ours: a limit, which this shows and the threat model tells. The journal has the first hop, and nothing beyond.
pub(crate) fn a36_an_allowed_target_leads_onward_and_the_limit_is_told(lab: &Lab) -> Result<()> {
    let stock = lab.stock()?;
    let dagbert = lab.admin("dagbert").may_reach_databases().arrive()?;
    stock.account(&dagbert.seat)?;
    let beyond = format!("{}:{ECHO}", DB2.address());
    let onward = |jump: &str| -> Result<_> {
        let code = dagbert.authenticator()?.any_code()?;
        dagbert
            .seat
            .answering(&[code])?
            .ssh(["-J", jump, "-W", &beyond, "db1"])
            .input("hello\n")
            .run()
    };
    let through_stock = onward("stock")?;
    ensure!(through_stock.text() == "hello", "{through_stock}");
    let direct = dagbert.ssh(&["-W", &beyond, "bastion"])?;
    ensure!(direct.code() != 0 && direct.stdout.is_empty(), "{direct}");
    dagbert.event("forward.denied")?;

    let through_ours = onward("bastion")?;
    ensure!(
        through_ours.text() == "hello",
        "the limit is gone; say so in the threat model: {through_ours}"
    );
    let allowed = dagbert.wait_events("forward.allowed", 1);
    ensure!(
        allowed.len() == 1 && allowed.iter().all(|e| e.get("JUMP_DST_NAME") == "db1"),
        "{allowed:?}"
    );
    let told = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/threat-model.md");
    let told = fs::read_to_string(&told).with_context(|| told.display().to_string())?;
    ensure!(
        told.contains("What an allowed target does onward"),
        "the threat model does not tell of it"
    );
    Ok(())
}
