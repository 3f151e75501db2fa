use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::slot::Slot;

use super::selector::{Library, TokenSelector};
use super::token::{Quiet, Token};
use super::token_info::{TokenInfo, TokenInfoReader};
use super::{OpenError, meters};

/// The first pause between two initialisations; each one that does not help doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: other tokens of the same module lose their sessions each time.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How long an initialisation waits until no thread is in a call.
const PATIENCE: Duration = Duration::from_secs(1);

/// A loaded PKCS#11 module. It is initialised once for the process, and anew if a token does not come
/// back otherwise: some modules look for tokens at `C_Initialize` only.
pub(super) struct Module {
    pub(super) context: Pkcs11,
    infos: TokenInfoReader,
    path: PathBuf,
    /// Tokens whose sessions end before the use of the module does.
    tokens: Mutex<Vec<Weak<Token>>>,
    rhythm: Mutex<Rhythm>,
    ended: AtomicBool,
}

struct Rhythm {
    last: Instant,
    pause: Duration,
}

impl Module {
    /// Loads and initialises a module that nobody else in the process uses.
    pub(super) fn load(path: &Path) -> Result<Arc<Self>, OpenError> {
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
        let rhythm = Rhythm { last: Instant::now(), pause: FIRST_PAUSE };
        Ok(Arc::new(Self {
            context,
            infos,
            path: path.to_owned(),
            tokens: Mutex::default(),
            rhythm: Mutex::new(rhythm),
            ended: AtomicBool::new(false),
        }))
    }

    /// Checks that the library is the one that the selector names.
    pub(super) fn expect_library(&self, selector: &TokenSelector) -> Result<(), OpenError> {
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
    pub(super) fn token_info(&self, slot: Slot) -> Result<TokenInfo, Error> {
        self.infos.read(slot)
    }

    /// Makes the token's sessions end before the use of the module does.
    pub(super) fn attach(&self, token: &Arc<Token>) {
        lock(&self.tokens).push(Arc::downgrade(token));
    }

    /// Initialises the module anew, unless that was done a short while ago or a call hangs in it. Returns
    /// whether it did.
    pub(super) fn reinitialise(&self) -> bool {
        let mut rhythm = lock(&self.rhythm);
        if self.ended.load(Ordering::Acquire) || rhythm.last.elapsed() < rhythm.pause {
            return false;
        }
        rhythm.last = Instant::now();
        rhythm.pause = (rhythm.pause * 2).min(LONGEST_PAUSE);
        let tokens: Vec<Arc<Token>> = lock(&self.tokens).iter().filter_map(Weak::upgrade).collect();
        let until = Instant::now() + PATIENCE;
        // No session may survive: the module could reuse its number for another one.
        let Some(quiet) =
            tokens.iter().map(|token| token.fall_silent(until)).collect::<Option<Vec<Quiet<'_>>>>()
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
        meters::initialised(if initialised.is_ok() { "ok" } else { "failed" }).increment(1);
        match initialised {
            Ok(()) => tracing::info!(module = %self.path.display(), "initialised the module anew"),
            Err(error) => tracing::warn!(%error, "the PKCS#11 module does not initialise"),
        }
        true
    }

    /// Ends the use of the module, if all of its sessions are closed. Some modules that are left
    /// initialised crash the process in their static destructors when it ends.
    pub(super) fn end(&self) {
        // No thread may initialise it anew meanwhile.
        let _rhythm = lock(&self.rhythm);
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.context.clone().finalize() {
            tracing::warn!(%error, "the PKCS#11 module did not finalise");
        }
    }

    /// A token can be used again, so the next initialisation need not wait long.
    pub(super) fn is_well(&self) {
        lock(&self.rhythm).pause = FIRST_PAUSE;
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

/// Takes the lock. What these locks guard is in order even if a holder panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock, if its holder releases it in time. A holder may hang in a call for ever.
#[expect(clippy::disallowed_methods, reason = "a lock cannot be waited for with a limit otherwise")]
pub(super) fn lock_until<T>(mutex: &Mutex<T>, until: Instant) -> Option<MutexGuard<'_, T>> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) if Instant::now() >= until => return None,
            Err(std::sync::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
        }
    }
}
