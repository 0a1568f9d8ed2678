//! Searching an index that somebody else holds in memory.
//!
//! Nothing here allocates, and nothing here can panic: every read goes
//! through `get`, every entry is taken apart by pattern. An entry that points
//! outside its table reads as absent. [`Index::verify`] is for those who must
//! tell "absent" from "damaged": pam_jump would otherwise take a broken scope
//! list for an empty one and let everybody pass.

use crate::format::{Damaged, GROUP_WORDS, Layout, SCOPE_WORDS, USER_WORDS, Word};
use crate::rules::{is_field, is_name, is_reserved_id, is_scope_name};

type UserEntry = [Word; USER_WORDS];
type GroupEntry = [Word; GROUP_WORDS];
type ScopeEntry = [Word; SCOPE_WORDS];

/// A searchable view of an index. Cheap to make from bytes already checked
/// ([`Index::with_layout`]), and to copy.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    users: &'a [UserEntry],
    by_uid: &'a [Word],
    groups: &'a [GroupEntry],
    by_gid: &'a [Word],
    scope: &'a [ScopeEntry],
    memberships: &'a [Word],
    members: &'a [Word],
    text: &'a [u8],
}

/// A user of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountRef<'a> {
    /// Login name.
    pub name: &'a str,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Full name.
    pub gecos: &'a str,
    /// Home directory.
    pub home: &'a str,
    /// Login shell.
    pub shell: &'a str,
    groups: &'a [Word],
}

impl<'a> AccountRef<'a> {
    /// Ids of the groups that list this user, the primary one included.
    pub fn groups(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.groups.iter().map(|word| u32::from_le_bytes(*word))
    }
}

/// A group of the index.
#[derive(Clone, Copy, Debug)]
pub struct GroupRef<'a> {
    /// Group name.
    pub name: &'a str,
    /// Group id.
    pub gid: u32,
    members: &'a [Word],
    index: Index<'a>,
}

impl<'a> GroupRef<'a> {
    /// Names of the members.
    pub fn members(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let index = self.index;
        self.members_at().filter_map(move |at| index.name_at(at))
    }

    /// Positions of the members in the order of users.
    pub fn members_at(&self) -> impl Iterator<Item = usize> + Clone + use<'a> {
        self.members.iter().filter_map(|word| number(*word))
    }
}

/// A group that pam_jump concerns itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeRef<'a> {
    /// Group name, of the policy or of another NSS source.
    pub name: &'a str,
    /// Its id, where the index has that group; others must be asked of NSS.
    pub gid: Option<u32>,
}

impl<'a> Index<'a> {
    /// An index without users, groups and scope. No file is like that:
    /// [`Index::verify`] takes a missing scope for damage, and so must whoever
    /// asks for the scope.
    pub const EMPTY: Self = Self {
        users: &[],
        by_uid: &[],
        groups: &[],
        by_gid: &[],
        scope: &[],
        memberships: &[],
        members: &[],
        text: &[],
    };

    /// Checks `bytes` as [`Layout::of`] does and views them.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Damaged> {
        Self::with_layout(&Layout::of(bytes)?, bytes).ok_or(Damaged::Sections)
    }

    /// Views `bytes` by the layout that [`Layout::of`] found for these same
    /// bytes; `None` if they are shorter now.
    pub fn with_layout(layout: &Layout, bytes: &'a [u8]) -> Option<Self> {
        let words = |range: &std::ops::Range<usize>| -> Option<&'a [Word]> {
            Some(bytes.get(range.clone())?.as_chunks().0)
        };
        Some(Self {
            users: words(&layout.users)?.as_chunks().0,
            by_uid: words(&layout.by_uid)?,
            groups: words(&layout.groups)?.as_chunks().0,
            by_gid: words(&layout.by_gid)?,
            scope: words(&layout.scope)?.as_chunks().0,
            memberships: words(&layout.memberships)?,
            members: words(&layout.members)?,
            text: bytes.get(layout.text.clone())?,
        })
    }

    /// The user called `name`.
    pub fn by_name(&self, name: &str) -> Option<AccountRef<'a>> {
        self.user_at(self.find_user(name)?)
    }

    /// The user with id `uid`.
    pub fn by_uid(&self, uid: u32) -> Option<AccountRef<'a>> {
        self.user_at(self.find_uid(uid)?)
    }

    /// The group called `name`.
    pub fn group_by_name(&self, name: &str) -> Option<GroupRef<'a>> {
        self.group_at(self.find_group(name)?)
    }

    /// The group with id `gid`.
    pub fn group_by_gid(&self, gid: u32) -> Option<GroupRef<'a>> {
        self.group_at(self.find_gid(gid)?)
    }

    /// Position of the user called `name` in the order of names, which is
    /// that of their bytes.
    pub fn find_user(&self, name: &str) -> Option<usize> {
        self.users
            .binary_search_by(|entry| {
                let [_, _, start, length, ..] = *entry;
                run(self.text, start, length).cmp(&Some(name.as_bytes()))
            })
            .ok()
    }

    /// Position, in the order of names, of the user with id `uid`.
    pub fn find_uid(&self, uid: u32) -> Option<usize> {
        let at = self
            .by_uid
            .binary_search_by_key(&Some(uid), |word| self.uid_of(*word))
            .ok()?;
        number(*self.by_uid.get(at)?)
    }

    /// Position of the group called `name` in the order of names.
    pub fn find_group(&self, name: &str) -> Option<usize> {
        self.groups
            .binary_search_by(|entry| {
                let [_, start, length, ..] = *entry;
                run(self.text, start, length).cmp(&Some(name.as_bytes()))
            })
            .ok()
    }

    /// Position, in the order of names, of the group with id `gid`.
    pub fn find_gid(&self, gid: u32) -> Option<usize> {
        let at = self
            .by_gid
            .binary_search_by_key(&Some(gid), |word| self.gid_of(*word))
            .ok()?;
        number(*self.by_gid.get(at)?)
    }

    /// Positions of the users with id `uid` or greater, by id. Lets an
    /// enumeration go on after the last id it gave, whatever index is in
    /// force by then.
    pub fn users_from(&self, uid: u32) -> impl Iterator<Item = usize> + use<'a> {
        let start = self
            .by_uid
            .partition_point(|word| self.uid_of(*word) < Some(uid));
        self.by_uid
            .get(start..)
            .unwrap_or_default()
            .iter()
            .filter_map(|word| number(*word))
    }

    /// Positions of the groups with id `gid` or greater, by id.
    pub fn groups_from(&self, gid: u32) -> impl Iterator<Item = usize> + use<'a> {
        let start = self
            .by_gid
            .partition_point(|word| self.gid_of(*word) < Some(gid));
        self.by_gid
            .get(start..)
            .unwrap_or_default()
            .iter()
            .filter_map(|word| number(*word))
    }

    /// Ids of the groups that list the user `name`, the primary one
    /// included; nothing for an unknown user.
    pub fn groups_of(&self, name: &str) -> impl Iterator<Item = u32> + use<'a> {
        self.by_name(name)
            .into_iter()
            .flat_map(|account| account.groups())
    }

    /// All users, by name.
    pub fn users(&self) -> impl Iterator<Item = AccountRef<'a>> + use<'a> {
        let index = *self;
        (0..index.users.len()).filter_map(move |at| index.user_at(at))
    }

    /// All groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = GroupRef<'a>> + use<'a> {
        let index = *self;
        (0..index.groups.len()).filter_map(move |at| index.group_at(at))
    }

    /// The groups whose members pam_jump concerns itself with: the host
    /// group first, then the `system_groups` of the policy.
    pub fn scope(&self) -> impl Iterator<Item = ScopeRef<'a>> + use<'a> {
        let index = *self;
        index.scope.iter().filter_map(move |entry| {
            let [start, length, has_gid, gid] = *entry;
            Some(ScopeRef {
                name: index.text(start, length)?,
                gid: (u32::from_le_bytes(has_gid) != 0).then_some(u32::from_le_bytes(gid)),
            })
        })
    }

    /// How many users there are; [`Index::user_at`] takes less than that.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many groups there are; [`Index::group_at`] takes less than that.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The user at a position in the order of names.
    pub fn user_at(&self, at: usize) -> Option<AccountRef<'a>> {
        let [
            uid,
            gid,
            name,
            name_len,
            gecos,
            gecos_len,
            home,
            home_len,
            shell,
            shell_len,
            groups,
            group_count,
        ] = *self.users.get(at)?;
        Some(AccountRef {
            name: self.text(name, name_len)?,
            uid: u32::from_le_bytes(uid),
            gid: u32::from_le_bytes(gid),
            gecos: self.text(gecos, gecos_len)?,
            home: self.text(home, home_len)?,
            shell: self.text(shell, shell_len)?,
            groups: run(self.memberships, groups, group_count)?,
        })
    }

    /// The name of the user at a position in the order of names.
    pub fn name_at(&self, at: usize) -> Option<&'a str> {
        self.user_name(self.users.get(at)?)
    }

    /// The group at a position in the order of names.
    pub fn group_at(&self, at: usize) -> Option<GroupRef<'a>> {
        let [gid, name, name_len, members, count] = *self.groups.get(at)?;
        Some(GroupRef {
            name: self.text(name, name_len)?,
            gid: u32::from_le_bytes(gid),
            members: run(self.members, members, count)?,
            index: *self,
        })
    }

    /// Reads every entry once: that it points into its tables, that the
    /// tables are in order (or a search would miss entries), that runs do not
    /// overlap (or a small file would be long to read), and that names and ids
    /// are ones an index may have. After this no entry reads as
    /// absent that was written.
    pub fn verify(&self) -> Result<(), Damaged> {
        let sound =
            self.runs_sound() && self.users_sound() && self.groups_sound() && self.scope_sound();
        if sound { Ok(()) } else { Err(Damaged::Entry) }
    }

    /// Each word of the two tables of runs belongs to one run.
    fn runs_sound(&self) -> bool {
        let users = (0..self.users.len()).filter_map(|at| self.user_at(at));
        let memberships = users.fold(0usize, |sum, user| sum.saturating_add(user.groups.len()));
        let groups = (0..self.groups.len()).filter_map(|at| self.group_at(at));
        let members = groups.fold(0usize, |sum, group| sum.saturating_add(group.members.len()));
        memberships == self.memberships.len() && members == self.members.len()
    }

    fn users_sound(&self) -> bool {
        let each = (0..self.users.len()).all(|at| {
            self.user_at(at).is_some_and(|user| {
                is_name(user.name)
                    && !is_reserved_id(user.uid)
                    && !is_reserved_id(user.gid)
                    && is_field(user.gecos)
                    && is_field(user.home)
                    && is_field(user.shell)
            })
        });
        let names = self.users.iter().map(|entry| self.user_name(entry));
        let uids = self.by_uid.iter().map(|word| self.uid_of(*word));
        each && ascending(names) && ascending(uids)
    }

    fn groups_sound(&self) -> bool {
        let each = (0..self.groups.len()).all(|at| {
            self.group_at(at).is_some_and(|group| {
                is_name(group.name)
                    && !is_reserved_id(group.gid)
                    && group.members().count() == group.members.len()
            })
        });
        let names = self.groups.iter().map(|entry| self.group_name(entry));
        let gids = self.by_gid.iter().map(|word| self.gid_of(*word));
        let memberships = self
            .memberships
            .iter()
            .all(|word| self.group_by_gid(u32::from_le_bytes(*word)).is_some());
        each && ascending(names) && ascending(gids) && memberships
    }

    /// A scope list without the host group would mean that pam_jump is
    /// concerned with nobody: no index is written so.
    fn scope_sound(&self) -> bool {
        let host_group = self.scope().next().is_some_and(|first| first.gid.is_some());
        host_group
            && self.scope().count() == self.scope.len()
            && self.scope().all(|entry| {
                is_scope_name(entry.name) && entry.gid.is_none_or(|gid| !is_reserved_id(gid))
            })
    }

    /// The uid of the user that an entry of the table by uid means.
    fn uid_of(&self, user: Word) -> Option<u32> {
        let [uid, ..] = self.users.get(number(user)?)?;
        Some(u32::from_le_bytes(*uid))
    }

    /// The gid of the group that an entry of the table by gid means.
    fn gid_of(&self, group: Word) -> Option<u32> {
        let [gid, ..] = self.groups.get(number(group)?)?;
        Some(u32::from_le_bytes(*gid))
    }

    fn user_name(&self, entry: &UserEntry) -> Option<&'a str> {
        let [_, _, start, length, ..] = *entry;
        self.text(start, length)
    }

    fn group_name(&self, entry: &GroupEntry) -> Option<&'a str> {
        let [_, start, length, ..] = *entry;
        self.text(start, length)
    }

    fn text(&self, start: Word, length: Word) -> Option<&'a str> {
        std::str::from_utf8(run(self.text, start, length)?).ok()
    }
}

/// `count` items of `table` from `start`.
fn run<T>(table: &[T], start: Word, count: Word) -> Option<&[T]> {
    let start = number(start)?;
    table.get(start..start.checked_add(number(count)?)?)
}

fn number(word: Word) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(word)).ok()
}

/// Whether all keys are there and each is greater than the one before.
fn ascending<K: PartialOrd>(keys: impl Iterator<Item = Option<K>>) -> bool {
    let mut last = None;
    for key in keys {
        let rising = match (&last, &key) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(last), Some(key)) => last < key,
        };
        if !rising {
            return false;
        }
        last = key;
    }
    true
}
