//! Checks `[files]`: the users and groups that are trusted with files, and who may read secret ones.

use chancery_files::{SecretReaders, Trusted, group_id, user_id};

use super::document;
use super::validate::Check;

impl Check<'_> {
    /// Trusts from now on who is listed, besides root and the user of this process.
    pub(super) fn trust(&mut self, files: &document::Files) {
        let users = files.trusted_users.iter().filter_map(|name| {
            let unknown = format!("`{name}` is neither a user in /etc/passwd nor a number");
            user_id(name).or_else(|| self.refuse("files.trusted_users", unknown))
        });
        let users: Vec<_> = users.collect();
        let groups = files.trusted_groups.iter().filter_map(|name| {
            let unknown = format!("`{name}` is neither a group in /etc/group nor a number");
            group_id(name).or_else(|| self.refuse("files.trusted_groups", unknown))
        });
        let groups: Vec<_> = groups.collect();
        let readers = match files.secret_readers.as_str() {
            "owner" => Some(SecretReaders::Owner),
            "group" => Some(SecretReaders::Group),
            "everybody" => Some(SecretReaders::Everybody),
            other => self.refuse(
                "files.secret_readers",
                format!("`{other}` is neither `owner`, `group` nor `everybody`"),
            ),
        };
        self.trusted = Trusted::process()
            .with_users(users)
            .with_groups(groups)
            .with_secret_readers(readers.unwrap_or_default());
    }
}
