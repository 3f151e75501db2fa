//! A PKCS#11 module: loaded and initialised once for the process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::Slot;

use super::sessions::{Quiesced, Sessions};
use crate::pkcs11::locks::lock;
use crate::pkcs11::selector::{Library, TokenSelector};
use crate::pkcs11::token_info::{TokenInfo, TokenInfoReader};
use crate::pkcs11::{OpenError, token_metrics};

/// The first pause between two initialisations; each one that does not help doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: other tokens of the same module lose their sessions each time.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long an initialisation waits until no thread is in a call.
const PATIENCE: Duration = Duration::from_secs(1);

/// A loaded PKCS#11 module. It is initialised once for the process, and anew if a token does not come
/// back otherwise: some modules look for tokens at `C_Initialize` only.
pub(crate) struct Module {
    pub(crate) context: Pkcs11,
    infos: TokenInfoReader,
    path: PathBuf,
    /// Those of its tokens, which end before the use of the module does.
    sessions: Mutex<Vec<Weak<Sessions>>>,
    backoff: Mutex<Backoff>,
    ended: AtomicBool,
}

struct Backoff {
    last: Instant,
    pause: Duration,
}

impl Module {
    /// Loads and initialises a module that nobody else in the process uses.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, OpenError> {
        let unloadable =
            |error: Error| OpenError::Module { module: path.to_owned(), reason: error.to_string() };
        let context = Pkcs11::new(path).map_err(unloadable)?;
        let infos = TokenInfoReader::load(path).map_err(unloadable)?;
        match initialise(&context) {
            Ok(()) => {}
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {
                return Err(OpenError::AlreadyInitialised { module: path.to_owned() });
            }
            Err(error) => return Err(unloadable(error)),
        }
        let backoff = Backoff { last: Instant::now(), pause: FIRST_PAUSE };
        Ok(Arc::new(Self {
            context,
            infos,
            path: path.to_owned(),
            sessions: Mutex::default(),
            backoff: Mutex::new(backoff),
            ended: AtomicBool::new(false),
        }))
    }

    /// Checks that the library is the one that the selector names.
    pub(crate) fn expect_library(&self, selector: &TokenSelector) -> Result<(), OpenError> {
        if !selector.is_about_the_library() {
            return Ok(());
        }
        let told = self.context.get_library_info().map_err(|error| OpenError::Module {
            module: self.path.clone(),
            reason: format!("it does not say what it is: {error}"),
        })?;
        let library = Library {
            description: told.library_description().to_owned(),
            manufacturer: told.manufacturer_id().to_owned(),
            version: told.library_version().to_string(),
        };
        let Some((what, wanted, found)) = selector.other_library(&library) else { return Ok(()) };
        Err(OpenError::OtherLibrary {
            module: self.path.clone(),
            what,
            wanted: wanted.to_owned(),
            found: found.to_owned(),
        })
    }

    /// What the token in a slot says about itself.
    pub(crate) fn token_info(&self, slot: Slot) -> Result<TokenInfo, Error> {
        self.infos.read(slot)
    }

    /// Reads what tokens say about themselves.
    pub(crate) fn infos(&self) -> &TokenInfoReader {
        &self.infos
    }

    /// Makes a token's sessions end before the use of the module does.
    pub(crate) fn attach(&self, sessions: &Arc<Sessions>) {
        lock(&self.sessions).push(Arc::downgrade(sessions));
    }

    /// Initialises the module anew, unless that was done a short while ago or a call hangs in it. Returns
    /// whether it did.
    pub(crate) fn reinitialise(&self) -> bool {
        let mut backoff = lock(&self.backoff);
        if self.ended.load(Ordering::Acquire) || backoff.last.elapsed() < backoff.pause {
            return false;
        }
        backoff.last = Instant::now();
        backoff.pause = (backoff.pause * 2).min(LONGEST_PAUSE);
        let all: Vec<Arc<Sessions>> =
            lock(&self.sessions).iter().filter_map(Weak::upgrade).collect();
        let until = Instant::now() + PATIENCE;
        // No session may survive: the module could reuse its number for another one.
        let Some(quiet) = all
            .iter()
            .map(|sessions| sessions.quiesce(until))
            .collect::<Option<Vec<Quiesced<'_>>>>()
        else {
            tracing::warn!(
                module = %self.path.display(),
                "a call hangs in the PKCS#11 module, so it cannot be initialised anew"
            );
            return false;
        };
        if let Err(error) = self.context.clone().finalize() {
            tracing::warn!(%error, "the PKCS#11 module did not finalise");
        }
        let initialised = initialise(&self.context);
        drop(quiet);
        token_metrics::initialised(if initialised.is_ok() { "ok" } else { "failed" }).increment(1);
        match initialised {
            Ok(()) => tracing::info!(module = %self.path.display(), "initialised the module anew"),
            Err(error) => tracing::warn!(%error, "the PKCS#11 module does not initialise"),
        }
        true
    }

    /// Ends the use of the module, if all of its sessions are closed. Some modules that are left
    /// initialised crash the process in their static destructors when it ends.
    pub(crate) fn end(&self) {
        // No thread may initialise it anew meanwhile.
        let _backoff = lock(&self.backoff);
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.context.clone().finalize() {
            tracing::warn!(%error, "the PKCS#11 module did not finalise");
        }
    }

    /// A token can be used again, so the next initialisation need not wait long.
    pub(crate) fn is_well(&self) {
        lock(&self.backoff).pause = FIRST_PAUSE;
    }
}

fn initialise(context: &Pkcs11) -> Result<(), Error> {
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
}

impl Drop for Module {
    fn drop(&mut self) {
        self.end();
    }
}
