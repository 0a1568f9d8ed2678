//! A clock of their own for services of one machine (libfaketime): the
//! machines of the lab share the host's.

use crate::machine::Machine;
use anyhow::Result;

/// Where the offset to the machine's clock stands, in the form `+30` or `-0.5s`.
pub const OFFSET: &str = "/run/clock-offset";

/// Puts it under the services, at the machine's time; they are restarted.
///
/// # Errors
/// When they do not come back.
pub fn put(machine: &Machine, services: &[&str]) -> Result<()> {
    let line = format!(
        "echo '+000000000000.000s' >{OFFSET}
         for unit in {units}; do
             mkdir -p /run/systemd/system/$unit.service.d
             cat >/run/systemd/system/$unit.service.d/clock.conf <<EOF
[Service]
Environment=LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1)
Environment=FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1
EOF
         done
         systemctl daemon-reload && systemctl restart {units}",
        units = services.join(" ")
    );
    machine.shell(&line).run()?.success()?;
    Ok(())
}

/// Takes it away again.
///
/// # Errors
/// When the services do not come back.
pub fn take_away(machine: &Machine, services: &[&str]) -> Result<()> {
    let units = services.join(" ");
    let line = format!(
        "for unit in {units}; do rm /run/systemd/system/$unit.service.d/clock.conf; done
         systemctl daemon-reload && systemctl restart {units}"
    );
    machine.shell(&line).run()?.success()?;
    Ok(())
}
