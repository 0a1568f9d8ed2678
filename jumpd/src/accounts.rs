//! The account index: names, ids and memberships of the policy, for the name
//! service library. It is written with each generation.

use jump_accounts::{Account, Group, IndexBuilder};
use jump_policy::Policy;
use jump_proto::paths;

/// Names of the groups that pam_jump concerns itself with: the host's group first.
pub(crate) fn scope(policy: &Policy) -> Vec<String> {
    let mut scope = vec![policy.host_group().0.to_owned()];
    scope.extend(policy.system_groups().into_iter().map(str::to_owned));
    scope
}

/// The account index of a policy.
///
/// # Errors
/// When the policy has more than an index can hold.
pub fn compile(policy: &Policy) -> Result<Vec<u8>, jump_accounts::BuildError> {
    let (host_group, gid) = policy.host_group();
    let users = policy
        .users()
        .map(|u| Account {
            name: u.name.clone(),
            uid: u.uid,
            gid,
            gecos: u.full_name.clone().unwrap_or_default(),
            home: paths::HOME.to_owned(),
            shell: paths::SHELL.to_owned(),
        })
        .collect();
    let mut groups = vec![Group {
        name: host_group.to_owned(),
        gid,
        members: policy.users().map(|u| u.name.clone()).collect(),
    }];
    groups.extend(policy.groups().map(|g| {
        Group {
            name: g.name.clone(),
            gid: g.gid,
            members: policy
                .users()
                .filter(|u| u.groups.contains(&g.name))
                .map(|u| u.name.clone())
                .collect(),
        }
    }));
    IndexBuilder {
        users,
        groups,
        scope: scope(policy),
    }
    .build()
}
