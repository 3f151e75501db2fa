//! Compiled components on disk, so that a start does not compile unchanged components again.
//!
//! A compiled component is machine code: an attacker who can change one runs code in this process. So nobody
//! else may write in the directory, and each file begins with a MAC under a key in the same directory. The MAC
//! also tells a torn or foreign file from a whole one.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use chancery_files::{Readers, Trusted, Untrusted};
use wasmtime::Engine;
use wasmtime::component::Component;
use zeroize::Zeroizing;

use super::compiler::Compiler;
use super::prepare::Compiled;
use super::versions::Versions;
use crate::binding::{Binding, Digest, FileError, replace};

const TAG: usize = 32;
/// The length of the MAC's key, in bytes.
const KEY: usize = 32;
const SUFFIX: &str = "cwasm";
/// The file that says which version of which plugin each binding had last.
const VERSIONS: &str = "versions.json";

/// The directory for compiled components cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// A file in it could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others may change it.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// It is not this program's alone.
    #[error("{} cannot hold compiled policies: {reason}", path.display())]
    Unusable {
        /// The directory, or a file in it.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
}

/// A compiled component, and whether it still has to be configured.
pub(crate) struct Artifact {
    pub(crate) component: Component,
    /// Whether the settings are in its memory already.
    pub(crate) configured: bool,
}

impl Artifact {
    /// The artifact of a component that was compiled just now.
    pub(crate) fn of(engine: &Engine, compiled: &Compiled) -> wasmtime::Result<Self> {
        let configured = compiled.unconfigured.is_none();
        Ok(Self { component: component(engine, &compiled.code)?, configured })
    }
}

/// Loads a component from code that this program made: from a compiler of this build, or under our MAC.
fn component(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the code is `serialize`'s output")]
    // SAFETY: only `compile` makes a `Compiled`, in this process or in one that this program started for it,
    // and only `store` makes files that pass the MAC, of a `Compiled`. So it is `Component::serialize`'s output.
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// The directory.
pub(crate) struct Artifacts {
    /// Makes the artifacts that are missing.
    pub(crate) compiler: Compiler,
    directory: PathBuf,
    key: hmac::Key,
}

/// Names one artifact: the same component with the same settings for the same engine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ArtifactId(String);

impl ArtifactId {
    pub(crate) fn new(engine: &Engine, binding: &Binding) -> Self {
        // The hash need not be strong or lasting: if it differs, the component is compiled again.
        let mut compatibility = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        let engine = compatibility.finish();
        let Binding { digest, settings, limits, .. } = binding;
        let interface = binding.scope.decision().interface();
        let all = format!("1\0{engine:x}\0{digest}\0{interface}\0{}\0{settings}", limits.memory);
        Self(Digest::of(all.as_bytes()).to_string().replace(':', "-"))
    }
}

impl Artifacts {
    /// Opens the directory; makes it and its key if needed.
    pub(crate) fn open(
        directory: &Path,
        compiler: Compiler,
        trusted: &Trusted,
    ) -> Result<Self, ArtifactError> {
        trusted.make_directory(directory)?;
        let key = read_or_make_key(&directory.join("key"), trusted)?;
        Ok(Self { compiler, directory: directory.to_owned(), key })
    }

    /// The artifact; none if this program wrote none.
    pub(crate) fn load(&self, id: &ArtifactId, engine: &Engine) -> Option<Artifact> {
        let path = self.path(id);
        let file = fs::read(&path).ok()?;
        let (tag, signed) = file.split_at_checked(TAG)?;
        if hmac::verify(&self.key, &Self::covered(id, signed), tag).is_err() {
            tracing::warn!(path = %path.display(), "compiled policy is damaged or foreign: compiling it again");
            return None;
        }
        let (&flag, code) = signed.split_first()?;
        match component(engine, code) {
            Ok(component) => Some(Artifact { component, configured: flag == 1 }),
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled policy does not load, compiling it again: {error:#}");
                None
            }
        }
    }

    /// Keeps the artifact for the next start.
    pub(crate) fn store(&self, id: &ArtifactId, compiled: &Compiled) -> Result<(), ArtifactError> {
        let path = self.path(id);
        let mut signed = vec![u8::from(compiled.unconfigured.is_none())];
        signed.extend_from_slice(&compiled.code);
        let tag = hmac::sign(&self.key, &Self::covered(id, &signed));
        Ok(replace(&path, &[tag.as_ref(), &signed].concat())?)
    }

    /// Removes every artifact but these.
    pub(crate) fn keep_only(&self, ids: &BTreeSet<ArtifactId>) -> Result<(), ArtifactError> {
        let entries = fs::read_dir(&self.directory);
        for entry in entries.map_err(FileError::of("list", &self.directory))? {
            let path = entry.map_err(FileError::of("list", &self.directory))?.path();
            // A file that is being written, or that a crash left unfinished, ends in `new`.
            let is_artifact = path.extension().is_some_and(|e| e == SUFFIX || e == "new");
            if is_artifact && !ids.iter().any(|id| self.path(id) == path) {
                fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The versions that were in force when the last set was taken; none before the first.
    pub(crate) fn versions(&self) -> Result<Versions, ArtifactError> {
        let path = self.directory.join(VERSIONS);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                let what =
                    format!("it is damaged ({error}): remove it, downgrades are then not seen");
                refuse(&path, &what)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Versions::new()),
            Err(error) => Err(FileError::of("read", &path)(error).into()),
        }
    }

    /// Stores them for the next start.
    pub(crate) fn remember(&self, versions: &Versions) -> Result<(), ArtifactError> {
        let path = self.directory.join(VERSIONS);
        let text = serde_json::to_vec(versions).map_err(|e| refuse(&path, &e.to_string()))?;
        Ok(replace(&path, &text)?)
    }

    fn path(&self, id: &ArtifactId) -> PathBuf {
        self.directory.join(&id.0).with_extension(SUFFIX)
    }

    /// The MAC covers the name too, so that one artifact cannot be put in place of another.
    fn covered(id: &ArtifactId, signed: &[u8]) -> Vec<u8> {
        [id.0.as_bytes(), signed].concat()
    }
}

/// Makes the key if there is none; if another process is faster, its key counts.
fn read_or_make_key(path: &Path, trusted: &Trusted) -> Result<hmac::Key, ArtifactError> {
    let mut fresh = Zeroizing::new([0; KEY]);
    aws_lc_rs::rand::fill(&mut fresh[..])
        .map_err(|_| refuse(path, "the system gives no random bytes"))?;
    loop {
        match trusted.read_secret(path, KEY as u64) {
            Ok(secret) if secret.len() == KEY => {
                return Ok(hmac::Key::new(hmac::HMAC_SHA256, &secret));
            }
            Ok(_) | Err(Untrusted::TooLarge { .. }) => {
                let reason = "not a key of 32 bytes: remove the directory, it will be made again";
                return Err(refuse(path, reason));
            }
            Err(error) if error.cause().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        match chancery_files::create(path, &fresh[..], Readers::Owner) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(FileError::of("write", path)(error).into());
            }
            _ => {}
        }
    }
}

fn refuse(path: &Path, reason: &str) -> ArtifactError {
    ArtifactError::Unusable { path: path.to_owned(), reason: reason.to_owned() }
}
