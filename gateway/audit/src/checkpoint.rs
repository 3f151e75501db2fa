//! Checkpoints: signed statements about the log, for others.
//!
//! A MAC proves nothing to somebody without the key. A checkpoint is a statement that anybody can check.
//! It states how many lines the log had, and the root of the Merkle tree over them (`tree.rs`). It is a
//! [tlog-checkpoint] in a [signed note], the form that transparency logs use, signed with Ed25519:
//!
//! ```text
//! chancery.example.com/audit
//! 4711
//! Wc9xGJxqzL8jHTEUjLpGyBwGRg8uhXwH3kKJDbLb/GM=
//!
//! — chancery.example.com/audit gZ4gbQ5i…
//! ```
//!
//! The gateway writes one into the log at intervals, at the end of each file and at a stop, as the line
//! `audit.checkpoint`; the newest is beside the log as `LOG.checkpoint`. A person who keeps a checkpoint
//! can show later that the log was changed before it.
//!
//! [tlog-checkpoint]: https://c2sp.org/tlog-checkpoint
//! [signed note]: https://c2sp.org/signed-note

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::AuditKey;
use crate::tree::{Hash, Tree};

/// The longest name of a log, and the longest text of a checkpoint that is read.
const MAX_NAME: usize = 256;
const MAX_TEXT: usize = 16 << 10;
/// Ed25519, in the registry of the signed note.
const ED25519_TYPE: u8 = 1;

/// What a log is called in its checkpoints, such as `chancery.example.com/audit`: 1 to 256 characters,
/// no control characters, no white space and no `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogName(String);

/// The name does not fit into a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a log: 1 to 256 characters without white space and `+`")]
pub struct InvalidLogName(String);

impl FromStr for LogName {
    type Err = InvalidLogName;

    fn from_str(name: &str) -> Result<Self, InvalidLogName> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
            return Err(InvalidLogName(name.chars().take(MAX_NAME).collect()));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public half of the key that signs checkpoints, with the name of the log: what others need to
/// check them. Written in the form of the signed note: `NAME+ID+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: LogName,
    key: Vec<u8>,
}

/// The text is not a public key for checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no public key for checkpoints: that has the form NAME+ID+KEY, as `chancery audit \
     public-key` prints it"
)]
pub struct InvalidPublicKey;

impl PublicKey {
    /// The key for the log with this name and this audit key.
    pub fn of(name: LogName, key: &AuditKey) -> Self {
        Self { name, key: key.checkpoint().public_key().as_ref().to_vec() }
    }

    /// The first four bytes of a hash of name and key, which a signature names.
    fn id(&self) -> [u8; 4] {
        let name = format!("{}\n", self.name);
        let text = [name.as_bytes(), &[ED25519_TYPE], &self.key].concat();
        let mut id = [0; 4];
        id.iter_mut().zip(digest(&SHA256, &text).as_ref()).for_each(|(to, from)| *to = *from);
        id
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([&[ED25519_TYPE][..], &self.key].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.id()))
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        // Base64 may contain `+`, a name may not.
        let mut parts = text.trim().splitn(3, '+');
        let mut next = || parts.next().ok_or(InvalidPublicKey);
        let (name, id, key) = (next()?, next()?, next()?);
        let key = BASE64.decode(key).map_err(|_| InvalidPublicKey)?;
        let key = match key.split_first() {
            Some((&ED25519_TYPE, key)) if key.len() == 32 => key.to_vec(),
            _ => return Err(InvalidPublicKey),
        };
        let public = Self { name: name.parse().map_err(|_| InvalidPublicKey)?, key };
        if hex::encode(public.id()) == id { Ok(public) } else { Err(InvalidPublicKey) }
    }
}

/// What a checkpoint states about the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many lines the log had.
    pub lines: u64,
    root: Hash,
    signed: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    bytes: Vec<u8>,
}

/// The text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no checkpoint: that is a signed note of name, number of lines and root")]
pub struct InvalidCheckpoint;

/// Who signed a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The key.
    ByKey,
    /// Only other keys.
    ByOthers,
    /// A signature claims to be the key's, and is not.
    Wrongly,
}

/// Signs a statement about the log.
pub(crate) fn sign(name: &LogName, tree: &Tree, key: &AuditKey) -> String {
    let text = format!("{name}\n{}\n{}\n", tree.size(), BASE64.encode(tree.root()));
    let signature = key.checkpoint().sign(text.as_bytes());
    let id = PublicKey::of(name.clone(), key).id();
    let signature = BASE64.encode([&id[..], signature.as_ref()].concat());
    format!("{text}\n— {name} {signature}\n")
}

impl FromStr for Checkpoint {
    type Err = InvalidCheckpoint;

    fn from_str(note: &str) -> Result<Self, InvalidCheckpoint> {
        Self::read(note).ok_or(InvalidCheckpoint)
    }
}

impl Checkpoint {
    fn read(note: &str) -> Option<Self> {
        if note.len() > MAX_TEXT {
            return None;
        }
        let (text, signatures) = note.rsplit_once("\n\n")?;
        let signed = format!("{text}\n");
        // The signature covers further lines, which others may add; they mean nothing here.
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        if origin.is_empty() || number.to_string() != size {
            return None;
        }
        let root = BASE64.decode(root).ok()?.try_into().ok()?;
        let signatures = signatures.strip_suffix('\n')?.split('\n').map(|line| {
            let (name, bytes) = line.strip_prefix("— ")?.split_once(' ')?;
            Some(Signature { name: name.to_owned(), bytes: BASE64.decode(bytes).ok()? })
        });
        Some(Self {
            origin: origin.to_owned(),
            lines: number,
            root,
            signatures: signatures.collect::<Option<_>>()?,
            signed,
        })
    }

    /// Whether the checkpoint states this tree.
    pub(crate) fn states(&self, tree: &Tree) -> bool {
        self.lines == tree.size() && self.root == tree.root()
    }

    /// Whether the key has signed it.
    pub(crate) fn signed_by(&self, key: &PublicKey) -> Signed {
        let id = key.id();
        let of_key = self.signatures.iter().filter_map(|signature| {
            let (first, rest) = signature.bytes.split_first_chunk::<4>()?;
            (signature.name == key.name.0 && *first == id).then_some(rest)
        });
        let public = UnparsedPublicKey::new(&ED25519, &key.key);
        let mut signed = Signed::ByOthers;
        for signature in of_key {
            match public.verify(self.signed.as_bytes(), signature) {
                Ok(()) if signed != Signed::Wrongly => signed = Signed::ByKey,
                Ok(()) => {}
                Err(_) => signed = Signed::Wrongly,
            }
        }
        signed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn key(byte: u8) -> AuditKey {
        AuditKey::new(&Zeroizing::new(vec![byte; 32])).unwrap()
    }

    fn name() -> LogName {
        "gw.example/audit".parse().unwrap()
    }

    fn tree(lines: u8) -> Tree {
        let mut tree = Tree::default();
        (0..lines).for_each(|n| tree.push(&[n; 32]));
        tree
    }

    #[test]
    fn a_checkpoint_is_a_signed_note_that_the_public_key_verifies() {
        let note = sign(&name(), &tree(5), &key(7));
        let lines: Vec<_> = note.lines().collect();
        assert_eq!(lines[..2], ["gw.example/audit", "5"]);
        assert_eq!(lines[2], BASE64.encode(tree(5).root()));
        assert_eq!(lines[3], "");
        assert!(lines[4].starts_with("— gw.example/audit "));
        let read: Checkpoint = note.parse().unwrap();
        assert!(read.states(&tree(5)) && !read.states(&tree(6)) && !read.states(&tree(4)));

        let public = PublicKey::of(name(), &key(7));
        assert_eq!(public.to_string().parse(), Ok(public.clone()));
        assert_eq!(read.signed_by(&public), Signed::ByKey);
        let stranger = PublicKey::of(name(), &key(8));
        assert_eq!(read.signed_by(&stranger), Signed::ByOthers);
        let elsewhere = PublicKey::of("other.example/audit".parse().unwrap(), &key(7));
        assert_eq!(read.signed_by(&elsewhere), Signed::ByOthers);
        let forged: Checkpoint = note.replace("\n5\n", "\n6\n").parse().unwrap();
        assert_eq!(forged.signed_by(&public), Signed::Wrongly);
    }

    #[test]
    fn a_public_key_has_the_form_of_the_signed_note() {
        // Keys of the reference implementation's tests and documents.
        for text in [
            "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(text.parse::<PublicKey>().unwrap().to_string(), text);
        }
        for bad in ["", "a", "a+b", "a+00000000+AAAA", "a b+00000000+ASE="] {
            assert_eq!(bad.parse::<PublicKey>(), Err(InvalidPublicKey), "{bad}");
        }
        let public = PublicKey::of(name(), &key(7)).to_string();
        let flipped = public.replace("gw.", "gx.");
        assert_eq!(flipped.parse::<PublicKey>(), Err(InvalidPublicKey));
    }

    #[test]
    fn a_note_of_the_reference_implementation_verifies() {
        let text = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let note = Checkpoint {
            origin: String::new(),
            lines: 0,
            root: [0; 32],
            signed: text.to_owned(),
            signatures: vec![Signature {
                name: "PeterNeumann".to_owned(),
                bytes: BASE64.decode(signature).unwrap(),
            }],
        };
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(note.signed_by(&key.parse().unwrap()), Signed::ByKey);
    }

    #[test]
    fn a_name_has_no_white_space() {
        for bad in ["", "a b", "a\nb", "a+b", &"x".repeat(257)] {
            assert!(bad.parse::<LogName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(note in "(?s).{0,200}", tail in "\\PC{0,40}") {
            let _ = note.parse::<Checkpoint>();
            let _ = note.parse::<PublicKey>();
            let _ = format!("a\n1\n{note}\n\n— {tail}\n").parse::<Checkpoint>();
        }

        #[test]
        fn no_changed_byte_passes(at: prop::sample::Index, mask in 1..128_u8) {
            let mut note = sign(&name(), &tree(5), &key(7)).into_bytes();
            let at = at.index(note.len());
            note[at] ^= mask;
            let public = PublicKey::of(name(), &key(7));
            let passes = String::from_utf8(note).ok()
                .and_then(|note| note.parse::<Checkpoint>().ok())
                .is_some_and(|note| note.signed_by(&public) == Signed::ByKey && note.states(&tree(5)));
            prop_assert!(!passes);
        }
    }
}
