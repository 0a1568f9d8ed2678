//! Writing an index. All rules are enforced here, once per apply, so that
//! a file jumpd publishes never holds an entry its readers would refuse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::format::{MAGIC, MAX_LEN, VERSION, reseal};
use crate::rules::{is_field, is_name, is_reserved_id, is_scope_name};
use crate::{Account, Group};

/// Collects users, groups and scope, and writes them as an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexBuilder {
    /// Users, in any order.
    pub users: Vec<Account>,
    /// Groups, in any order.
    pub groups: Vec<Group>,
    /// Names of the groups pam_jump concerns itself with: first the host
    /// group, which is one of `groups`; those not among `groups` belong to other NSS sources.
    pub scope: Vec<String>,
}

/// Why users and groups cannot be written as an index.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// Not a name that tools would read as one.
    Name(String),
    /// An id that belongs to the system.
    ReservedId {
        /// User or group that asks for it.
        name: String,
        /// The id.
        id: u32,
    },
    /// Full name, home or shell of this user has a colon or control character.
    Field(String),
    /// Two users of this name.
    DuplicateUser(String),
    /// Two groups of this name.
    DuplicateGroup(String),
    /// Two users with this uid.
    DuplicateUid(u32),
    /// Two groups with this gid.
    DuplicateGid(u32),
    /// A group lists somebody who is not a user of the index.
    UnknownMember {
        /// The group.
        group: String,
        /// Who it lists.
        member: String,
    },
    /// A user's primary group is not a group of the index.
    UnknownPrimaryGroup {
        /// The user.
        user: String,
        /// The gid.
        gid: u32,
    },
    /// The first name of the scope is not a group of the index.
    NoHostGroup,
    /// More than [`MAX_LEN`] bytes.
    TooLarge,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} cannot be a user or group name: use letters, digits, \"_\", \"-\", \".\", at most 32"
            ),
            Self::ReservedId { name, id } => write!(
                f,
                "{name:?} has id {id}, which is reserved for the system: choose one from 1000 to 60000 or from 65536 on"
            ),
            Self::Field(user) => write!(
                f,
                "full name, home or shell of {user:?} has a colon or a control character: remove it"
            ),
            Self::DuplicateUser(name) => write!(f, "user {name:?} is there twice: remove one"),
            Self::DuplicateGroup(name) => write!(f, "group {name:?} is there twice: remove one"),
            Self::DuplicateUid(uid) => write!(f, "two users have uid {uid}: change one"),
            Self::DuplicateGid(gid) => write!(f, "two groups have gid {gid}: change one"),
            Self::UnknownMember { group, member } => write!(
                f,
                "group {group:?} lists {member:?}, who is not a user of the policy: add the user or remove it from the group"
            ),
            Self::UnknownPrimaryGroup { user, gid } => write!(
                f,
                "primary group {gid} of {user:?} is not a group of the policy: add it"
            ),
            Self::NoHostGroup => f.write_str(
                "the scope does not begin with a group of the policy: put the host group first",
            ),
            Self::TooLarge => write!(
                f,
                "the account index would be larger than {} MiB: use fewer users",
                MAX_LEN >> 20
            ),
        }
    }
}

impl std::error::Error for BuildError {}

impl IndexBuilder {
    /// Writes the index. Equal input gives equal bytes, in whatever order
    /// users and groups come.
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        let users = self.sorted_users()?;
        let groups = self.sorted_groups()?;
        let members = memberships(&users, &groups)?;

        let mut text = Text::default();
        let mut user_table = Words::default();
        let mut membership_table = Words::default();
        for (user, own) in users
            .iter()
            .zip(gids_of_each(users.len(), &groups, &members))
        {
            user_table.push(user.uid);
            user_table.push(user.gid);
            for field in [&user.name, &user.gecos, &user.home, &user.shell] {
                user_table.pair(text.add(field)?);
            }
            user_table.pair((membership_table.count()?, word(own.len())?));
            own.into_iter().for_each(|gid| membership_table.push(gid));
        }

        let mut group_table = Words::default();
        let mut member_table = Words::default();
        for (group, members) in groups.iter().zip(&members) {
            group_table.push(group.gid);
            group_table.pair(text.add(&group.name)?);
            group_table.pair((member_table.count()?, word(members.len())?));
            for member in members {
                member_table.push(word(*member)?);
            }
        }

        let mut scope_table = Words::default();
        for name in &self.scope {
            if !is_scope_name(name) {
                return Err(BuildError::Name(name.clone()));
            }
            let gid = groups.iter().find(|g| g.name == *name).map(|g| g.gid);
            if gid.is_none() && scope_table.0.is_empty() {
                return Err(BuildError::NoHostGroup);
            }
            scope_table.pair(text.add(name)?);
            scope_table.pair((u32::from(gid.is_some()), gid.unwrap_or(0)));
        }

        if self.scope.is_empty() {
            return Err(BuildError::NoHostGroup);
        }

        let counts = [
            word(users.len())?,
            word(groups.len())?,
            word(self.scope.len())?,
            membership_table.count()?,
            member_table.count()?,
            word(text.bytes.len())?,
        ];
        let by_uid = order(users.iter().map(|user| user.uid))?;
        let by_gid = order(groups.iter().map(|group| group.gid))?;
        assemble(
            counts,
            &[
                &user_table.0,
                &by_uid.0,
                &group_table.0,
                &by_gid.0,
                &scope_table.0,
                &membership_table.0,
                &member_table.0,
                &text.bytes,
            ],
        )
    }

    fn sorted_users(&self) -> Result<Vec<&Account>, BuildError> {
        let mut by_name = BTreeMap::new();
        let mut uids = BTreeSet::new();
        for user in &self.users {
            name_and_id(&user.name, user.uid)?;
            name_and_id(&user.name, user.gid)?;
            if ![&user.gecos, &user.home, &user.shell]
                .iter()
                .all(|field| is_field(field))
            {
                return Err(BuildError::Field(user.name.clone()));
            }
            if by_name.insert(user.name.as_str(), user).is_some() {
                return Err(BuildError::DuplicateUser(user.name.clone()));
            }
            if !uids.insert(user.uid) {
                return Err(BuildError::DuplicateUid(user.uid));
            }
        }
        Ok(by_name.into_values().collect())
    }

    fn sorted_groups(&self) -> Result<Vec<&Group>, BuildError> {
        let mut by_name = BTreeMap::new();
        let mut gids = BTreeSet::new();
        for group in &self.groups {
            name_and_id(&group.name, group.gid)?;
            if by_name.insert(group.name.as_str(), group).is_some() {
                return Err(BuildError::DuplicateGroup(group.name.clone()));
            }
            if !gids.insert(group.gid) {
                return Err(BuildError::DuplicateGid(group.gid));
            }
        }
        Ok(by_name.into_values().collect())
    }
}

/// Per group, which users it lists: those it names, and those whose
/// primary group it is. (`getgrnam` of the host group must list them all:
/// sshd's `Match Group` and `id` would not miss them, auditors would.)
fn memberships(users: &[&Account], groups: &[&Group]) -> Result<Vec<BTreeSet<usize>>, BuildError> {
    let position: HashMap<&str, usize> = users
        .iter()
        .enumerate()
        .map(|(at, user)| (user.name.as_str(), at))
        .collect();
    let mut members = Vec::with_capacity(groups.len());
    for group in groups {
        let mut listed = BTreeSet::new();
        for member in &group.members {
            let at = position
                .get(member.as_str())
                .ok_or_else(|| BuildError::UnknownMember {
                    group: group.name.clone(),
                    member: member.clone(),
                })?;
            listed.insert(*at);
        }
        members.push(listed);
    }
    let primary: HashMap<u32, usize> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| (group.gid, at))
        .collect();
    for (at, user) in users.iter().enumerate() {
        primary
            .get(&user.gid)
            .and_then(|group| members.get_mut(*group))
            .ok_or_else(|| BuildError::UnknownPrimaryGroup {
                user: user.name.clone(),
                gid: user.gid,
            })?
            .insert(at);
    }
    Ok(members)
}

/// The same relation from the users' side.
fn gids_of_each(users: usize, groups: &[&Group], members: &[BTreeSet<usize>]) -> Vec<Vec<u32>> {
    let mut gids = vec![Vec::new(); users];
    for (group, members) in groups.iter().zip(members) {
        for member in members {
            if let Some(own) = gids.get_mut(*member) {
                own.push(group.gid);
            }
        }
    }
    gids
}

fn name_and_id(name: &str, id: u32) -> Result<(), BuildError> {
    if !is_name(name) {
        return Err(BuildError::Name(name.to_owned()));
    }
    if is_reserved_id(id) {
        return Err(BuildError::ReservedId {
            name: name.to_owned(),
            id,
        });
    }
    Ok(())
}

fn assemble(counts: [u32; 6], sections: &[&[u8]; 8]) -> Result<Vec<u8>, BuildError> {
    let body: usize = sections.iter().map(|section| section.len()).sum();
    let length = crate::format::HEADER.saturating_add(body);
    if length as u64 > MAX_LEN {
        return Err(BuildError::TooLarge);
    }
    let mut bytes = Words(Vec::with_capacity(length));
    bytes.0.extend_from_slice(&MAGIC);
    bytes.0.push(VERSION);
    bytes.pair((0, 0));
    bytes.push(word(length)?);
    counts.into_iter().for_each(|count| bytes.push(count));
    for section in sections {
        bytes.0.extend_from_slice(section);
    }
    reseal(&mut bytes.0);
    Ok(bytes.0)
}

/// Positions of the keys, in the order of the keys.
fn order(keys: impl Iterator<Item = u32>) -> Result<Words, BuildError> {
    let mut pairs: Vec<(u32, usize)> = keys.enumerate().map(|(at, key)| (key, at)).collect();
    pairs.sort_unstable();
    let mut words = Words::default();
    for (_, at) in pairs {
        words.push(word(at)?);
    }
    Ok(words)
}

fn word(number: usize) -> Result<u32, BuildError> {
    u32::try_from(number).map_err(|_| BuildError::TooLarge)
}

/// A table of little-endian words.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn push(&mut self, word: u32) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn pair(&mut self, (a, b): (u32, u32)) {
        self.push(a);
        self.push(b);
    }

    fn count(&self) -> Result<u32, BuildError> {
        word(self.0.len() / 4)
    }
}

/// The text section; equal strings (home, shell) are stored once.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    known: HashMap<String, (u32, u32)>,
}

impl Text {
    fn add(&mut self, text: &str) -> Result<(u32, u32), BuildError> {
        if let Some(place) = self.known.get(text) {
            return Ok(*place);
        }
        let place = (word(self.bytes.len())?, word(text.len())?);
        self.bytes.extend_from_slice(text.as_bytes());
        self.known.insert(text.to_owned(), place);
        Ok(place)
    }
}
