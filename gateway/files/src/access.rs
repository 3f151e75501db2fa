//! What others than its owner may do with a file: permission bits, or the access control list that takes
//! their place.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::io::Errno;

/// Somebody other than the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    User(u32),
    Group(u32),
    Others,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) class: Class,
    bits: u16,
}

/// What others may do with a file.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) grants: Vec<Grant>,
    /// Whether there is an access control list, so that `chmod` is not what mends it.
    pub(crate) by_list: bool,
}

const LIST: &str = "system.posix_acl_access";

/// The largest attribute that Linux knows, in bytes.
const LARGEST_LIST: usize = 65_536;

impl Grant {
    pub(crate) fn may_write(self) -> bool {
        self.bits & 0o2 != 0
    }

    /// Whether they may do anything at all.
    pub(crate) fn may_anything(self) -> bool {
        self.bits != 0
    }
}

impl Access {
    /// Of the file at `path`, which is no symbolic link and has this metadata.
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let (mode, group) = (metadata.mode(), metadata.gid());
        // With a list, these bits are the most that anybody in it may have.
        if mode & 0o070 != 0
            && let Some(list) = read_list(path)?
        {
            let grants = parse_list(&list, group).ok_or(io::ErrorKind::InvalidData)?;
            return Ok(Self { grants, by_list: true });
        }
        Ok(Self { grants: by_mode(mode, group), by_list: false })
    }
}

fn by_mode(mode: u32, group: u32) -> Vec<Grant> {
    let bits = |shift: u32| u16::try_from(mode >> shift & 0o7).unwrap_or(0o7);
    vec![
        Grant { class: Class::Group(group), bits: bits(3) },
        Grant { class: Class::Others, bits: bits(0) },
    ]
}

fn read_list(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut list = vec![0; LARGEST_LIST];
    match rustix::fs::lgetxattr(path, LIST, &mut list) {
        Ok(length) => {
            list.truncate(length);
            Ok(Some(list))
        }
        // There is none, or the file system has none; not all say so in the same way.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads a list as Linux hands it out (`linux/posix_acl_xattr.h`); none if it is not one.
fn parse_list(list: &[u8], group: u32) -> Option<Vec<Grant>> {
    const VERSION: [u8; 4] = 2_u32.to_le_bytes();
    const USER_OBJ: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP_OBJ: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;

    let (entries, rest) = list.strip_prefix(&VERSION)?.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    let entry = |[t0, t1, p0, p1, i0, i1, i2, i3]: [u8; 8]| {
        let (tag, bits) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        (tag, bits, u32::from_le_bytes([i0, i1, i2, i3]))
    };
    let entries = entries.iter().map(|bytes| entry(*bytes));
    let mask = entries.clone().find(|(tag, ..)| *tag == MASK).map_or(0o7, |(_, bits, _)| bits);
    let mut grants = Vec::new();
    for (tag, bits, id) in entries {
        let (class, bits) = match tag {
            USER_OBJ | MASK => continue,
            USER => (Class::User(id), bits & mask),
            GROUP_OBJ => (Class::Group(group), bits & mask),
            GROUP => (Class::Group(id), bits & mask),
            OTHER => (Class::Others, bits),
            _ => return None,
        };
        grants.push(Grant { class, bits });
    }
    Some(grants)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let entry = |(tag, bits, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &bits.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        [&2_u32.to_le_bytes()[..], &entries.concat()].concat()
    }

    const NOBODY: u32 = u32::MAX;

    #[test]
    fn bits_are_those_of_group_and_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o642)).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let access = Access::of(&path, &metadata).unwrap();
        let group = Grant { class: Class::Group(metadata.gid()), bits: 0o4 };
        let others = Grant { class: Class::Others, bits: 0o2 };
        assert_eq!((access.grants, access.by_list), (vec![group, others], false));
        assert!(group.may_anything() && !group.may_write() && others.may_write());
    }

    #[test]
    fn a_list_counts_through_its_mask() {
        let read = parse_list(
            &list(&[
                (0x01, 6, NOBODY),
                (0x02, 7, 1000),
                (0x04, 6, NOBODY),
                (0x08, 2, 50),
                (0x10, 4, NOBODY),
                (0x20, 2, NOBODY),
            ]),
            7,
        );
        let expected = [
            Grant { class: Class::User(1000), bits: 4 },
            Grant { class: Class::Group(7), bits: 4 },
            Grant { class: Class::Group(50), bits: 0 },
            Grant { class: Class::Others, bits: 2 },
        ];
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [&b""[..], &[3, 0, 0, 0], &[2, 0, 0, 0, 1], &list(&[(0x40, 7, 0)])] {
            assert_eq!(parse_list(wrong, 0), None, "{wrong:?}");
        }
    }
}
