//! Parses the paths of secrets and folders.

use std::sync::Arc;

use chancery_identity::is_plain;

/// The longest path of a secret or a folder, in bytes. It leaves room for the rest of a store key.
pub const MAX_PATH_BYTES: usize = 768;

/// Where a secret is within its mount: one or more segments joined by `/`, none of them empty, `.` or
/// `..`, without control characters, case-sensitive, kept exactly as given. One secret has one
/// spelling, so a policy that looks at the text of a path sees what the store sees. A new secret's path has
/// no character that [hides what it is](chancery_identity::is_plain); earlier versions allowed some, and what
/// they stored can be read, changed and removed.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretPath(Arc<str>);

/// What a listing is made of: the top of a mount, or everything below a path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Folder(Arc<str>);

/// Why a text is not a path. The text itself is not repeated: it may carry what breaks a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// There is nothing.
    #[error("the path of a secret is missing")]
    Missing,
    /// Over [`MAX_PATH_BYTES`].
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// `//`, or a slash in front.
    #[error("the path has an empty segment ('//'): write each slash once")]
    EmptySegment,
    /// `.` or `..` as a segment.
    #[error("the path is relative: '.' and '..' cannot be segments")]
    Relative,
    /// A slash behind, which only a listing may have.
    #[error("the path ends in '/': only a listing may")]
    TrailingSlash,
    /// A control character, or an invisible one that reorders or hides text.
    #[error("the path has a control or invisible character")]
    ControlCharacter,
    /// In the path of a new secret: an invisible character, or one that reorders or hides text.
    #[error(
        "the path has an invisible character (U+{:04X}): it could not be told from another one",
        u32::from(*.0)
    )]
    HiddenCharacter(char),
    /// `%2e` or `%2f` in the text: something encoded a dot or a slash once more.
    #[error("the path has an encoded slash or dot: neither may be hidden from the rules")]
    EncodedSeparator,
}

impl SecretPath {
    /// The path with this text, percent-decoding already done.
    ///
    /// # Errors
    /// See [`InvalidPath`].
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        if text.is_empty() {
            return Err(InvalidPath::Missing);
        }
        if text.len() > 1 && text.ends_with('/') && !text.ends_with("//") {
            return Err(InvalidPath::TrailingSlash);
        }
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a secret may be made there.
    pub(crate) fn check_new(&self) -> Result<(), InvalidPath> {
        let hidden = self.0.chars().find(|character| !is_plain(*character));
        hidden.map_or(Ok(()), |character| Err(InvalidPath::HiddenCharacter(character)))
    }
}

impl Folder {
    /// The folder with this text, percent-decoding already done; the slash behind is optional, and no
    /// text is the top of the mount.
    ///
    /// # Errors
    /// See [`InvalidPath`].
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self("".into()));
        }
        check(path)?;
        Ok(Self(format!("{path}/").into()))
    }

    /// The text that all paths in the folder begin with: empty, or ending in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(path: &str) -> Result<(), InvalidPath> {
    if path.len() > MAX_PATH_BYTES {
        return Err(InvalidPath::TooLong);
    }
    if path.chars().any(was_never_stored) {
        return Err(InvalidPath::ControlCharacter);
    }
    for segment in path.split('/') {
        match segment {
            "" => return Err(InvalidPath::EmptySegment),
            "." | ".." => return Err(InvalidPath::Relative),
            _ => {}
        }
    }
    if hides_separator(path) { Err(InvalidPath::EncodedSeparator) } else { Ok(()) }
}

/// Control characters, and those that no version has taken: nothing is looked for under such a path. What else is not
/// plain, earlier versions have taken.
fn was_never_stored(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn hides_separator(path: &str) -> bool {
    let encodes = |b: &[u8]| matches!(b, [b'%', b'2', b'e' | b'E' | b'f' | b'F']);
    path.as_bytes().windows(3).any(encodes)
}

impl std::fmt::Display for SecretPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for SecretPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_ordinary_paths_as_they_are() {
        for good in ["db", "app/db", "app/..db", "app/...", "App/DB", "a b/c", "naïve/ключ", "a%b"]
        {
            assert_eq!(SecretPath::parse(good).unwrap().as_str(), good);
        }
        assert_ne!(SecretPath::parse("app/DB"), SecretPath::parse("app/db"), "case matters");
    }

    #[test]
    fn dot_dot_or_a_trailing_slash_cannot_slip_past_a_rule() {
        let cases = [
            ("", InvalidPath::Missing),
            ("..", InvalidPath::Relative),
            ("app/../admin", InvalidPath::Relative),
            ("./app", InvalidPath::Relative),
            ("app/.", InvalidPath::Relative),
            ("app//db", InvalidPath::EmptySegment),
            ("/app", InvalidPath::EmptySegment),
            ("/", InvalidPath::EmptySegment),
            ("app//", InvalidPath::EmptySegment),
            ("app/", InvalidPath::TrailingSlash),
            ("app/db\0", InvalidPath::ControlCharacter),
            ("app\n/db", InvalidPath::ControlCharacter),
            ("app/\u{9b}db", InvalidPath::ControlCharacter),
            ("app/\u{202e}bd", InvalidPath::ControlCharacter),
            ("app/\u{200b}db", InvalidPath::ControlCharacter),
            ("app%2fdb", InvalidPath::EncodedSeparator),
            ("app/%2E%2e/db", InvalidPath::EncodedSeparator),
        ];
        for (bad, why) in cases {
            assert_eq!(SecretPath::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(SecretPath::parse(&"a".repeat(769)), Err(InvalidPath::TooLong));
        assert!(SecretPath::parse(&"a".repeat(768)).is_ok());
    }

    #[test]
    fn a_new_secret_has_no_name_that_looks_like_another() {
        for good in ["app/db", "naïve/ключ", "a b/ن\u{e9}", "🔑"] {
            assert_eq!(SecretPath::parse(good).unwrap().check_new(), Ok(()));
        }
        let hidden = "\u{ad}\u{61c}\u{180e}\u{3164}\u{fe0f}\u{e0061}\u{ffff}";
        for character in hidden.chars() {
            let path = SecretPath::parse(&format!("app/{character}db")).unwrap();
            assert_eq!(path.check_new(), Err(InvalidPath::HiddenCharacter(character)));
        }
        for never in (char::MIN..=char::MAX).filter(|character| was_never_stored(*character)) {
            assert!(!is_plain(never), "{}", never.escape_unicode());
        }
        let told = InvalidPath::HiddenCharacter('\u{ad}').to_string();
        assert!(told.contains("(U+00AD)"), "{told}");
    }

    #[test]
    fn a_folder_is_the_same_with_and_without_its_slash() {
        assert_eq!(Folder::parse("").unwrap().as_str(), "");
        assert_eq!(Folder::parse("app").unwrap().as_str(), "app/");
        assert_eq!(Folder::parse("app/x/").unwrap().as_str(), "app/x/");
        for bad in ["/", "//", "app//", "..", "../", "app/../", "a%2f"] {
            assert!(Folder::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_has_one_spelling(text in "[a./%2fFeE\\u{0}-\\u{1f}]{0,12}") {
            if let Ok(path) = SecretPath::parse(&text) {
                prop_assert_eq!(path.as_str(), text.as_str());
                let plain = |s: &str| !s.is_empty() && s != "." && s != "..";
                prop_assert!(text.split('/').all(plain));
                let folded = text.to_lowercase();
                prop_assert!(!folded.contains("%2e") && !folded.contains("%2f"), "{}", text);
            }
        }
    }
}
