//! Signatures over the documents of a directory of policies: all that they say, and which there are.
//!
//! What a component decides is in its settings, whether it is asked at all in its `match`, and a document that is
//! taken away forbids nothing any more. So a signer signs a list of documents with their digests. The lists
//! lie in the directory as [`SIGNATURES`], each with the signature by another key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::signature::{InvalidSignature, KeySignature, SignerKey};
use crate::binding::Digest;

/// The file in the directory of policies that holds the signatures over its documents.
pub const SIGNATURES: &str = "documents.sig";

/// What is signed begins with this, so that no other signature by the same key can be taken for one.
const DOMAIN: &str = "chancery policy signature, version 2\n";

/// The version of the file.
const VERSION: u32 = 2;

/// Documents by their names in the directory, each with the digest of its bytes.
pub type Documents = BTreeMap<String, Digest>;

/// What stands in [`SIGNATURES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentSignatures {
    /// 2.
    version: u32,
    /// Each by another key.
    signatures: Vec<SignedDocuments>,
}

/// A list of documents that somebody signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedDocuments {
    documents: Documents,
    by: KeySignature,
}

/// Why the signatures over the documents are not enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// There is no list by a key that is accepted.
    #[error("no list of documents is signed by an accepted key{}", by(.0))]
    Nobody(Vec<String>),
    /// A list does not verify.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
    /// A document was changed.
    #[error("{0} is not as it was signed")]
    Changed(String),
    /// A document was added.
    #[error("{0} is not among the documents that were signed")]
    Added(String),
    /// A document was removed.
    #[error("{0} was signed, and is not there any more")]
    Removed(String),
}

fn by(keys: &[String]) -> String {
    if keys.is_empty() { String::new() } else { format!(" (but by {})", keys.join(", ")) }
}

impl Default for DocumentSignatures {
    fn default() -> Self {
        Self { version: VERSION, signatures: Vec::new() }
    }
}

impl DocumentSignatures {
    /// The bytes that are signed for a list of documents.
    ///
    /// # Errors
    /// [`InvalidSignature::File`] if the list cannot be written down.
    pub fn message(documents: &Documents) -> Result<Vec<u8>, InvalidSignature> {
        let list = serde_json::to_vec(documents)
            .map_err(|error| InvalidSignature::File(error.to_string()))?;
        Ok([DOMAIN.as_bytes(), &list].concat())
    }

    /// The signatures in the text of a file, which is named for messages.
    ///
    /// # Errors
    /// [`InvalidSignature`] of the kinds `File` and `Version`.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InvalidSignature> {
        let found: Self = serde_json::from_str(text)
            .map_err(|error| InvalidSignature::File(format!("{}: {error}", file.display())))?;
        if found.version == VERSION {
            Ok(found)
        } else {
            Err(InvalidSignature::Version(found.version))
        }
    }

    /// Adds a list that was signed, in the place of any by the same key.
    #[must_use]
    pub fn with(mut self, documents: Documents, by: KeySignature) -> Self {
        self.signatures.retain(|other| other.by.key != by.key);
        self.signatures.push(SignedDocuments { documents, by });
        self
    }

    /// The list by the key with this id, whether its signature is good or not.
    pub fn listed_by(&self, key: &str) -> Option<&Documents> {
        self.signatures.iter().find(|one| one.by.key == key).map(|one| &one.documents)
    }

    /// The documents that somebody with one of the keys signed and that are not `there`.
    pub(crate) fn gone(&self, there: &Documents, keys: &[SignerKey]) -> BTreeSet<String> {
        let by_one_of_them = |one: &&SignedDocuments| {
            let message = DocumentSignatures::message(&one.documents);
            message.is_ok_and(|message| one.by.verify(&message, keys).is_ok())
        };
        let signed = self.signatures.iter().filter(by_one_of_them);
        let names = signed.flat_map(|one| one.documents.keys());
        names.filter(|name| !there.contains_key(*name)).cloned().collect()
    }

    /// Checks that the documents that are `there` are those that somebody with one of the keys signed: each that is
    /// listed is there as it was, and each of the `needed` ones is listed. Gives the key's id.
    ///
    /// # Errors
    /// What is wrong with the last of the lists by these keys, or that there is none.
    pub fn verify(
        &self,
        there: &Documents,
        needed: &BTreeSet<String>,
        keys: &[SignerKey],
    ) -> Result<&str, NotSigned> {
        let mut wrong =
            NotSigned::Nobody(self.signatures.iter().map(|one| one.by.key.clone()).collect());
        for one in &self.signatures {
            match one.verify(there, needed, keys) {
                Ok(()) => return Ok(&one.by.key),
                Err(NotSigned::Signature(InvalidSignature::UnknownKey(_))) => {}
                Err(error) => wrong = error,
            }
        }
        Err(wrong)
    }
}

impl SignedDocuments {
    fn verify(
        &self,
        there: &Documents,
        needed: &BTreeSet<String>,
        keys: &[SignerKey],
    ) -> Result<(), NotSigned> {
        self.by.verify(&DocumentSignatures::message(&self.documents)?, keys)?;
        for (name, digest) in &self.documents {
            match there.get(name) {
                Some(now) if now == digest => {}
                Some(_) => return Err(NotSigned::Changed(name.clone())),
                None => return Err(NotSigned::Removed(name.clone())),
            }
        }
        match needed.iter().find(|name| !self.documents.contains_key(*name)) {
            Some(added) => Err(NotSigned::Added(added.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::PolicySignature;

    struct Signer {
        pair: Ed25519KeyPair,
        key: SignerKey,
    }

    impl Signer {
        fn new() -> Self {
            let pair = Ed25519KeyPair::generate().unwrap();
            let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
            let key = SignerKey { spki: spki.as_ref().to_vec() };
            Self { pair, key }
        }

        fn sign(&self, message: &[u8]) -> KeySignature {
            KeySignature::new("ed25519", &self.key, self.pair.sign(message).as_ref())
        }

        fn list(&self, to: DocumentSignatures, documents: &Documents) -> DocumentSignatures {
            let by = self.sign(&DocumentSignatures::message(documents).unwrap());
            to.with(documents.clone(), by)
        }
    }

    fn documents(list: &[(&str, &str)]) -> Documents {
        let one = |(name, text): &(&str, &str)| ((*name).to_owned(), Digest::of(text.as_bytes()));
        list.iter().map(one).collect()
    }

    fn names(of: &Documents) -> BTreeSet<String> {
        of.keys().cloned().collect()
    }

    #[test]
    fn what_is_changed_added_or_removed_is_named() {
        let signer = Signer::new();
        let signed = documents(&[("a.toml", "a"), ("guard.toml", "g")]);
        let list = signer.list(DocumentSignatures::default(), &signed);
        let keys = [signer.key.clone()];
        assert_eq!(list.verify(&signed, &names(&signed), &keys), Ok(signer.key.id().as_str()));
        let changed = documents(&[("a.toml", "a"), ("guard.toml", "other")]);
        let removed = documents(&[("a.toml", "a")]);
        let added = documents(&[("a.toml", "a"), ("guard.toml", "g"), ("more.toml", "m")]);
        let renamed = documents(&[("a.toml", "a"), ("guard2.toml", "g")]);
        for (there, wrong) in [
            (&changed, NotSigned::Changed("guard.toml".to_owned())),
            (&removed, NotSigned::Removed("guard.toml".to_owned())),
            (&added, NotSigned::Added("more.toml".to_owned())),
            (&renamed, NotSigned::Removed("guard.toml".to_owned())),
        ] {
            assert_eq!(list.verify(there, &names(there), &keys), Err(wrong));
        }
        // One that has no say does not have to be signed.
        list.verify(&added, &names(&signed), &keys).unwrap();
    }

    #[test]
    fn one_of_several_lists_is_enough_and_each_counts_for_its_key_only() {
        let (one, other, stranger) = (Signer::new(), Signer::new(), Signer::new());
        let all = documents(&[("a.toml", "a"), ("b.toml", "b")]);
        let list = one.list(DocumentSignatures::default(), &documents(&[("a.toml", "old")]));
        let list = other.list(list, &all);
        let verify = |list: &DocumentSignatures, key: &SignerKey| {
            list.verify(&all, &names(&all), std::slice::from_ref(key)).map(str::to_owned)
        };
        assert_eq!(verify(&list, &other.key), Ok(other.key.id()));
        assert_eq!(verify(&list, &one.key), Err(NotSigned::Changed("a.toml".to_owned())));
        assert!(
            matches!(verify(&list, &stranger.key), Err(NotSigned::Nobody(keys)) if keys.len() == 2)
        );
        // A second signature takes the place of the first by the same key.
        let list = one.list(list, &all);
        assert_eq!((list.signatures.len(), list.listed_by(&one.key.id())), (2, Some(&all)));
        assert_eq!(verify(&list, &one.key), Ok(one.key.id()));
    }

    #[test]
    fn no_other_signature_can_be_taken_for_one() {
        let signer = Signer::new();
        let all = documents(&[("a.toml", "a")]);
        let keys = [signer.key.clone()];
        for message in [
            PolicySignature::message(&Digest::of(b"a")),
            DocumentSignatures::message(&documents(&[("b.toml", "a")])).unwrap(),
            vec![],
        ] {
            let list = DocumentSignatures::default().with(all.clone(), signer.sign(&message));
            let refused = list.verify(&all, &names(&all), &keys).unwrap_err();
            assert!(matches!(refused, NotSigned::Signature(InvalidSignature::Wrong(_))));
        }
        // A name cannot say what another list would.
        let one = documents(&[("a.toml\":\"sha256:00\",\"b.toml", "x")]);
        let two = documents(&[("a.toml", "x"), ("b.toml", "x")]);
        assert_ne!(DocumentSignatures::message(&one), DocumentSignatures::message(&two));
    }

    #[test]
    fn a_file_of_another_version_or_none_says_so() {
        let file = Path::new("documents.sig");
        let text = serde_json::to_string(&DocumentSignatures { version: 3, signatures: vec![] });
        let newer = DocumentSignatures::parse(file, &text.unwrap());
        assert_eq!(newer, Err(InvalidSignature::Version(3)));
        let none = DocumentSignatures::parse(file, "{}").unwrap_err().to_string();
        assert!(none.contains("documents.sig"), "{none}");
    }
}
