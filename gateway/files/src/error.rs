//! The errors of files that are not trusted, with the command that repairs owner or mode.

use std::path::{Path, PathBuf};

use crate::accounts;
use crate::process::{explained, explained_secret, how_as_user};

/// What is done with a file that holds a secret.
pub(crate) const READ_SECRET: &str = "read the secret";

/// Why a file is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// The file cannot be reached.
    #[error("cannot {action} {}: {}", path.display(), said(action, path, cause))]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Somebody may change it, or put another file in its place.
    #[error("{}", writable(path, asked, *mode, *directory, *by, *by_list))]
    Writable {
        /// The file, or the directory on the way to it.
        path: PathBuf,
        /// The file that was asked for.
        asked: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Whether it is a directory.
        directory: bool,
        /// Who may.
        by: WhoMay,
        /// Whether an access control list says so.
        by_list: bool,
    },
    /// Its owner may change it, and is somebody whom nobody vouches for.
    #[error("{}", owned(path, asked, *owner))]
    Owner {
        /// The file, or the directory or link on the way to it.
        path: PathBuf,
        /// The file that was asked for.
        asked: PathBuf,
        /// The number of the user.
        owner: u32,
    },
    /// It is the state of a gateway that runs as another user, and this process is root's.
    #[error(
        "{} belongs to the user {}, as whom the gateway runs, and could not be read by it any more if root \
         wrote there: run the command as that user: `{}` (if root is to run the gateway: `chown --recursive \
         root {}`)",
        path.display(),
        accounts::user_name(*owner),
        how_as_user(*owner),
        path.display()
    )]
    Foreign {
        /// The state directory.
        path: PathBuf,
        /// The number of the user.
        owner: u32,
    },
    /// It holds a secret, and somebody else may read it.
    #[error("{}", readable(path, *mode, *by, *by_list, *settable))]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Who may.
        by: WhoMay,
        /// Whether an access control list says so.
        by_list: bool,
        /// Whether there is a configuration that could allow it.
        settable: bool,
    },
    /// It should be a file and is something else.
    #[error("{} is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// It should be a directory and is something else.
    #[error("{} is no directory", .0.display())]
    NotADirectory(PathBuf),
    /// It should be text and is not.
    #[error("{} is not text in UTF-8", .0.display())]
    NotText(PathBuf),
    /// It is a symbolic link where there must be none.
    #[error(
        "{} is a symbolic link, and nothing is written through one: remove it, or name what it leads to",
        .0.display()
    )]
    Link(PathBuf),
    /// It has more than is read of such a file.
    #[error("{} has {length} bytes, more than {largest}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What it has, in bytes.
        length: u64,
        /// What it may have, in bytes.
        largest: u64,
    },
}

/// Somebody who may do something with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoMay {
    /// The user with this number, by an access control list.
    User(u32),
    /// The group with this number.
    Group(u32),
    /// Everybody.
    Everybody,
}

impl Untrusted {
    pub(crate) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::Io { action, path, cause }
    }

    /// What the system said, if this is about reaching the file.
    pub fn cause(&self) -> Option<&std::io::Error> {
        match self {
            Self::Io { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl std::fmt::Display for WhoMay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(id) => write!(f, "the user {id}"),
            Self::Group(id) => write!(f, "the group {id}"),
            Self::Everybody => f.write_str("everybody"),
        }
    }
}

fn writable(
    path: &Path,
    asked: &Path,
    mode: u32,
    directory: bool,
    by: WhoMay,
    by_list: bool,
) -> String {
    let what = if directory { "replace what is in it" } else { "change it" };
    let (shown, mend) = (path.display(), mend(path, "go-w", by_list));
    let list = match by {
        WhoMay::Group(id) => format!(", or list the group in `files.trusted_groups` ({id})"),
        WhoMay::User(id) => format!(", or list the user in `files.trusted_users` ({id})"),
        WhoMay::Everybody => String::new(),
    };
    format!(
        "{shown} has mode {mode:04o}, so {by} may {what}{}: run `{mend}`{list}",
        way(path, asked)
    )
}

fn owned(path: &Path, asked: &Path, owner: u32) -> String {
    let (shown, way, name) = (path.display(), way(path, asked), accounts::user_name(owner));
    // Root looks at the files of a gateway that has a user of its own: that user may not lose them.
    let first = if rustix::process::geteuid().is_root() {
        format!(
            "if the gateway runs as that user, run this as that user too (`{}`); else ",
            how_as_user(owner)
        )
    } else {
        String::new()
    };
    format!(
        "{shown} belongs to the user {name}, who is neither root nor the user of this process, and may \
         change it{way}: {first}run `chown --no-dereference root {shown}`, or list the user in \
         `files.trusted_users`"
    )
}

fn readable(path: &Path, mode: u32, by: WhoMay, by_list: bool, settable: bool) -> String {
    let (shown, mend) = (path.display(), mend(path, "go-rwx", by_list));
    let setting = match by {
        WhoMay::Everybody => "everybody",
        WhoMay::Group(_) | WhoMay::User(_) => "group",
    };
    let or = if settable {
        format!(", or set `files.secret_readers = \"{setting}\"` if that is meant")
    } else {
        String::new()
    };
    format!("{shown} has mode {mode:04o}, so {by} can reach the secret in it: run `{mend}`{or}")
}

fn mend(path: &Path, bits: &str, by_list: bool) -> String {
    let shown = path.display();
    if by_list { format!("setfacl --remove-all {shown}") } else { format!("chmod {bits} {shown}") }
}

fn said(action: &str, path: &Path, cause: &std::io::Error) -> String {
    if action == READ_SECRET { explained_secret(path, cause) } else { explained(path, cause) }
}

/// What a directory has to do with the file that was asked for.
fn way(path: &Path, asked: &Path) -> String {
    if path == asked {
        return String::new();
    }
    format!(" (it is on the way to {})", asked.display())
}
