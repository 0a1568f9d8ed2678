//! Writes the seed corpus of the `accounts` fuzz target:
//! `cargo run -p jump-accounts --example seeds fuzz/seeds/accounts`.

use std::path::PathBuf;

use jump_accounts::{Account, Group, IndexBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("name a directory")?);
    for (name, users) in [("no-users", 0), ("one-user", 1), ("forty-users", 40)] {
        std::fs::write(dir.join(name), policy(users).build()?)?;
    }
    let whole = policy(3).build()?;
    let half = whole.get(..whole.len() / 2).unwrap_or_default();
    std::fs::write(dir.join("truncated"), half)?;
    std::fs::write(
        dir.join("not-an-index"),
        "root:x:0:0:root:/root:/bin/bash\n",
    )?;
    Ok(())
}

fn policy(users: u32) -> IndexBuilder {
    let users: Vec<_> = (0..users)
        .map(|n| Account {
            name: format!("user{n}"),
            uid: 70_000 + n,
            gid: 66_000,
            gecos: format!("Üser {n}"),
            home: "/usr/lib/jump/home".into(),
            shell: "/usr/bin/jump-shell".into(),
        })
        .collect();
    let group = |name: &str, gid, members: Vec<String>| Group {
        name: name.into(),
        gid,
        members,
    };
    let some = users
        .iter()
        .step_by(3)
        .map(|user| user.name.clone())
        .collect();
    IndexBuilder {
        groups: vec![
            group("jump-users", 66_000, vec![]),
            group("dba", 70_100, some),
        ],
        users,
        scope: vec!["jump-users".into(), "ad-admins".into()],
    }
}
