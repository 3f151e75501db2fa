//! Users and groups of this machine, as `/etc/passwd` and `/etc/group` have them.

use std::fs;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The number of the user with this name in `/etc/passwd`, or that is this number. Users that only a
/// directory service knows have to be named by number.
pub fn user_id(name: &str) -> Option<u32> {
    id(name, &fs::read_to_string(PASSWD).unwrap_or_default())
}

/// The number of the group with this name in `/etc/group`, or that is this number. Groups that only a
/// directory service knows have to be named by number.
pub fn group_id(name: &str) -> Option<u32> {
    id(name, &fs::read_to_string(GROUP).unwrap_or_default())
}

/// The name of the user with this number, or the number if `/etc/passwd` has no name for it.
pub fn user_name(id: u32) -> String {
    name_of_user(id).unwrap_or_else(|| id.to_string())
}

/// The same of a group.
pub(crate) fn group_name(id: u32) -> String {
    name(id, &fs::read_to_string(GROUP).unwrap_or_default()).unwrap_or_else(|| id.to_string())
}

/// The name that `/etc/passwd` has for a user.
pub(crate) fn name_of_user(id: u32) -> Option<String> {
    name(id, &fs::read_to_string(PASSWD).unwrap_or_default())
}

/// The group that `/etc/passwd` gives a user.
pub(crate) fn group_of_user(id: u32) -> Option<u32> {
    first_group(id, &fs::read_to_string(PASSWD).unwrap_or_default())
}

fn first_group(id: u32, database: &str) -> Option<u32> {
    let mut users = database.lines().map(|line| line.split(':').skip(2));
    users.find_map(|mut fields| {
        (fields.next()?.parse() == Ok(id)).then(|| fields.next()?.parse().ok()).flatten()
    })
}

fn name(id: u32, database: &str) -> Option<String> {
    let fields = database.lines().map(|line| line.split(':'));
    fields.filter_map(named).find(|(_, found)| *found == id).map(|(name, _)| name.to_owned())
}

fn id(name: &str, database: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let fields = database.lines().map(|line| line.split(':'));
    fields.filter_map(named).find(|(found, _)| *found == name).map(|(_, id)| id)
}

fn named<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<(&'a str, u32)> {
    let name = fields.next()?;
    Some((name, fields.nth(1)?.parse().ok()?))
}

/// Whether the group has members, and none but root and this user: so it is with the group of its own that
/// most systems give each user.
pub(crate) fn is_private(group: u32, user: u32) -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    private(group, user, &read(PASSWD), &read(GROUP))
}

fn private(group: u32, user: u32, passwd: &str, groups: &str) -> bool {
    let mut members = Vec::new();
    // Who has it as their first group.
    for line in passwd.lines() {
        let fields: Vec<_> = line.split(':').collect();
        if let [_, _, id, first, ..] = fields[..]
            && first.parse() == Ok(group)
        {
            members.push(id.parse().ok());
        }
    }
    for line in groups.lines() {
        let fields: Vec<_> = line.split(':').collect();
        if let [_, _, id, listed] = fields[..]
            && id.parse() == Ok(group)
        {
            let listed = listed.split(',').filter(|name| !name.is_empty());
            members.extend(listed.map(|name| id_by_name(name, passwd)));
        }
    }
    !members.is_empty() && members.into_iter().all(|id| id == Some(0) || id == Some(user))
}

fn id_by_name(name: &str, passwd: &str) -> Option<u32> {
    let fields = passwd.lines().map(|line| line.split(':'));
    fields.filter_map(named).find(|(found, _)| *found == name).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\n\
                         alice:x:1000:1000::/home/alice:/bin/sh\n\
                         bob:x:1001:100::/home/bob:/bin/sh\n\
                         broken\n";
    const GROUPS: &str = "root:x:0:\nalice:x:1000:\nteam:x:200:alice,bob\nmine:x:201:alice\n\
                          empty:x:50:\nghost:x:202:alice,nobody-known\n";

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(id("team", GROUPS), Some(200));
        assert_eq!(id("4711", GROUPS), Some(4711));
        assert_eq!(id("broken", USERS), None);
        assert_eq!(id("nobody", GROUPS), None);
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(name(1001, USERS).as_deref(), Some("bob"));
        assert_eq!(name(200, GROUPS).as_deref(), Some("team"));
        assert_eq!(name(7, USERS), None);
        assert_eq!((first_group(1001, USERS), first_group(7, USERS)), (Some(100), None));
        assert_eq!(user_name(0), "root");
    }

    #[test]
    fn a_group_is_private_if_all_its_members_are_root_or_the_user() {
        for (group, user, expected) in [
            (1000, 1000, true),
            (1000, 1001, false),
            (0, 1000, true),
            (201, 1000, true),
            (200, 1000, false),
            (100, 1000, false),
            // Nobody is in it that these files know: somebody else may.
            (50, 1000, false),
            (999, 1000, false),
            (202, 1000, false),
        ] {
            assert_eq!(private(group, user, USERS, GROUPS), expected, "group {group}, user {user}");
        }
    }
}
