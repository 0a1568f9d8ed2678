//! The account index reader: no bytes may make it panic, hang, or lose the
//! host group of an index that it calls sound.
//!
//! Each input is tried as it is (the checks of the header) and once more with
//! length and checksum made to fit (everything behind them).

use jump_accounts::format::{MAGIC, VERSION, reseal};
use jump_accounts::{Index, OwnedIndex};

/// The account index.
pub fn accounts(bytes: &[u8]) {
    search(bytes);
    let mut bytes = bytes.to_vec();
    let Ok(length) = u32::try_from(bytes.len()) else {
        return;
    };
    if let Some(header) = bytes.first_chunk_mut::<20>() {
        header[..7].copy_from_slice(&MAGIC);
        header[7] = VERSION;
        header[16..].copy_from_slice(&length.to_le_bytes());
        reseal(&mut bytes);
        search(&bytes);
    }
}

fn search(bytes: &[u8]) {
    let Ok(index) = Index::new(bytes) else {
        return;
    };
    for user in index.users() {
        let _ = index.by_name(user.name);
        let _ = index.by_uid(user.uid);
        let _ = index.users_from(user.uid).next();
        let _ = user
            .groups()
            .take(64)
            .filter(|gid| index.group_by_gid(*gid).is_some())
            .count();
    }
    for group in index.groups() {
        let _ = index.group_by_name(group.name);
        let _ = index.group_by_gid(group.gid);
        let _ = index.groups_from(group.gid).next();
        let _ = group.members().take(64).count();
    }
    let _ = index.by_name("");
    let _ = index.by_uid(0);
    let _ = index.by_uid(u32::MAX);
    let _ = index.scope().count();
    if let Ok(owned) = OwnedIndex::from_bytes(bytes.to_vec()) {
        let index = owned.index();
        assert_eq!(index.users().count(), index.user_count());
        assert_eq!(index.groups().count(), index.group_count());
        assert!(
            index
                .scope()
                .next()
                .is_some_and(|group| group.gid.is_some())
        );
        for user in index.users() {
            assert_eq!(index.by_name(user.name), Some(user));
            assert_eq!(index.by_uid(user.uid), Some(user));
        }
    }
}
