//! What of the index may be answered.
//!
//! The writer refuses reserved ids and odd names, and jumpd refuses a policy
//! that collides with local files. Here both are enforced once more, at each
//! lookup, because here it counts: a local user made after the policy was
//! applied, or an index that somebody else wrote, must not give root, a
//! system account or a local user to anyone.

use jump_accounts::{AccountRef, GroupRef, Index, is_field, is_name, is_reserved_id};

use crate::sys::{Region, Stamp};
use crate::{Failure, GROUP, PASSWD, local};

/// A local user has its name or uid.
const HIDDEN_USER: u8 = 1;
/// A local group has its name or gid.
const HIDDEN_GROUP: u8 = 2;
/// A local group of another name has its gid. A user with this primary group
/// would get at that group's files, so is hidden too.
const FOREIGN_GID: u8 = 4;

/// An index, and which of its entries a local file takes precedence over.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    index: Index<'a>,
    /// One byte per position: user and group at that position share it.
    marks: &'a [u8],
}

/// The comparison of an index with the local files.
pub(crate) struct Compared {
    pub(crate) marks: Region,
    /// The state of `/etc/passwd` compared with; `None` if it is not there.
    pub(crate) passwd: Option<Stamp>,
    /// The same for `/etc/group`.
    pub(crate) group: Option<Stamp>,
}

impl Compared {
    /// Reads the local files and marks what they have.
    pub(crate) fn new(index: &Index<'_>) -> Result<Self, Failure> {
        let mut passwd = None;
        let mut group = None;
        let length = index.user_count().max(index.group_count()).max(1);
        let marks = Region::filled(length, |marks| {
            let mut mark = |at: Option<usize>, bits: u8| {
                if let Some(byte) = at.and_then(|at| marks.get_mut(at)) {
                    *byte |= bits;
                }
            };
            passwd = local::entries(PASSWD, |name, uid| {
                mark(index.find_user(name), HIDDEN_USER);
                mark(uid.and_then(|uid| index.find_uid(uid)), HIDDEN_USER);
            })?;
            group = local::entries(GROUP, |name, gid| {
                let same_name = index.find_group(name);
                let same_gid = gid.and_then(|gid| index.find_gid(gid));
                mark(same_name, HIDDEN_GROUP);
                mark(same_gid, HIDDEN_GROUP);
                if same_gid != same_name {
                    mark(same_gid, FOREIGN_GID);
                }
            })?;
            Ok::<(), Failure>(())
        })?;
        Ok(Self {
            marks,
            passwd,
            group,
        })
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(index: Index<'a>, marks: &'a [u8]) -> Self {
        Self { index, marks }
    }

    pub(crate) fn user(&self, name: &str) -> Result<AccountRef<'a>, Failure> {
        self.visible_user(self.index.find_user(name))
    }

    pub(crate) fn uid(&self, uid: u32) -> Result<AccountRef<'a>, Failure> {
        self.visible_user(self.index.find_uid(uid))
    }

    pub(crate) fn group(&self, name: &str) -> Result<GroupRef<'a>, Failure> {
        self.visible_group(self.index.find_group(name))
    }

    pub(crate) fn gid(&self, gid: u32) -> Result<GroupRef<'a>, Failure> {
        self.visible_group(self.index.find_gid(gid))
    }

    /// Names of the members that this index may name.
    pub(crate) fn members(
        &self,
        group: &GroupRef<'a>,
    ) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        let view = *self;
        group
            .members_at()
            .filter(move |at| !view.is_marked(Some(*at), HIDDEN_USER))
            .filter_map(move |at| {
                let name = view.index.name_at(at)?;
                view.is_user_at(name, at).then_some(name)
            })
    }

    /// The visible user with the lowest uid from `uid` on. After the last one
    /// there may be some that are hidden.
    pub(crate) fn next_user(&self, uid: u32) -> Result<AccountRef<'a>, Failure> {
        self.index
            .users_from(uid)
            .find_map(|at| self.visible_user(Some(at)).ok())
            .ok_or(Failure::Hidden)
    }

    /// The visible group with the lowest gid from `gid` on; see above.
    pub(crate) fn next_group(&self, gid: u32) -> Result<GroupRef<'a>, Failure> {
        self.index
            .groups_from(gid)
            .find_map(|at| self.visible_group(Some(at)).ok())
            .ok_or(Failure::Hidden)
    }

    fn visible_user(&self, at: Option<usize>) -> Result<AccountRef<'a>, Failure> {
        let at = at.ok_or(Failure::NotFound)?;
        let user = self.index.user_at(at).ok_or(Failure::NotFound)?;
        let sound = self.is_user_at(user.name, at)
            && self.index.find_uid(user.uid) == Some(at)
            && !is_reserved_id(user.uid)
            && !is_reserved_id(user.gid)
            && is_field(user.gecos)
            && is_field(user.home)
            && is_field(user.shell);
        let primary = self.index.find_gid(user.gid);
        let own = !self.is_marked(Some(at), HIDDEN_USER) && !self.is_marked(primary, FOREIGN_GID);
        (sound && own).then_some(user).ok_or(Failure::Hidden)
    }

    fn visible_group(&self, at: Option<usize>) -> Result<GroupRef<'a>, Failure> {
        let at = at.ok_or(Failure::NotFound)?;
        let group = self.index.group_at(at).ok_or(Failure::NotFound)?;
        let sound = is_name(group.name)
            && self.index.find_group(group.name) == Some(at)
            && self.index.find_gid(group.gid) == Some(at)
            && !is_reserved_id(group.gid);
        let own = !self.is_marked(Some(at), HIDDEN_GROUP);
        (sound && own).then_some(group).ok_or(Failure::Hidden)
    }

    /// Whether `name` may be answered for the user at a position. A search
    /// for it must end there: otherwise the index is out of order, and the
    /// search for the local user of that name has marked another entry.
    fn is_user_at(&self, name: &str, at: usize) -> bool {
        is_name(name) && self.index.find_user(name) == Some(at)
    }

    /// Whether an entry has the mark; one that does not exist counts as
    /// marked, so that a gid without a group of ours is never given away.
    fn is_marked(&self, at: Option<usize>, bit: u8) -> bool {
        at.and_then(|at| self.marks.get(at))
            .is_none_or(|byte| byte & bit != 0)
    }
}
