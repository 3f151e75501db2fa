use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The plan in it.
pub(crate) const PLAN: &str = "plan.json";
/// A line for each login in it: the return code.
pub(crate) const LOGINS: &str = "logins";
/// A line for each login that was begun in it: the PIN's length.
pub(crate) const TRIES: &str = "logins-begun";

/// A line for each call that hung in it.
pub(crate) const HANGS: &str = "hangs";

/// What shall go wrong. The default is nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Calls that fail; the first that fits a call counts.
    pub faults: Vec<Fault>,
    /// Labels of tokens that are away: their slots are empty, their sessions are lost.
    pub away: Vec<String>,
    /// What is added to the numbers of all slots.
    pub slots_moved_by: u64,
    /// How many sessions there can be at once, over all tokens.
    pub sessions: Option<u64>,
    /// Flags that every token has besides its own (PKCS#11 §3.2, `CKF_…` of tokens).
    pub token_flags: u64,
    /// The flags that every token has besides since a login failed, for as long as the module is loaded.
    pub flags_after_failed_login: u64,
    /// What every token says is the time, though PKCS#11 has digits there.
    pub utc_time: Option<String>,
    /// Whether labels and serial numbers end with NUL and leftovers in place of blanks.
    pub c_strings: bool,
    /// The state of all sessions, though PKCS#11 has none like that.
    pub session_state: Option<u64>,
}

/// A kind of call that fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// The function, as `C_Sign`.
    pub function: String,
    /// Only with a token of this label.
    pub token: Option<String>,
    /// So many calls succeed first.
    pub after: u64,
    /// So many calls fail then; none for all.
    pub times: Option<u64>,
    /// How.
    pub effect: Effect,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It returns this code and does nothing.
    Return(u64),
    /// It takes so many milliseconds longer.
    Delay(u64),
    /// It does not return before there is another plan.
    Hang,
    /// It gives something, with one bit of it changed.
    Corrupt,
}

impl Plan {
    /// One fault.
    pub fn of(fault: Fault) -> Self {
        Self { faults: vec![fault], ..Self::default() }
    }
}

impl Fault {
    /// Every call of the function.
    pub fn at(function: &str, effect: Effect) -> Self {
        Self { function: function.to_owned(), token: None, after: 0, times: None, effect }
    }

    /// Only so many calls.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only after so many calls.
    #[must_use]
    pub fn after(self, calls: u64) -> Self {
        Self { after: calls, ..self }
    }

    /// Only with this token.
    #[must_use]
    pub fn on(self, label: &str) -> Self {
        Self { token: Some(label.to_owned()), ..self }
    }
}

/// What is in the file: another number is another plan, whatever stands in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    /// The real module.
    pub(crate) module: PathBuf,
    pub(crate) plan: Plan,
}

/// Where the plan is.
#[derive(Debug)]
pub struct PlanFile {
    directory: PathBuf,
    module: PathBuf,
    number: AtomicU64,
}

impl PlanFile {
    /// A plan in this directory by which nothing goes wrong with the real module.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn new(directory: impl Into<PathBuf>, module: impl Into<PathBuf>) -> Self {
        let file =
            Self { directory: directory.into(), module: module.into(), number: AtomicU64::new(0) };
        file.set(&Plan::default());
        file
    }

    /// The environment variable that tells the module where the plan is.
    pub const VARIABLE: &str = "CHANCERY_PKCS11_FAULTS";

    /// The directory of the plan, for [`VARIABLE`](Self::VARIABLE).
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// From the next call on, this is the plan. What it counts begins anew.
    ///
    /// # Panics
    /// If the file cannot be written.
    #[expect(clippy::unwrap_used, reason = "for tests, which end so")]
    pub fn set(&self, plan: &Plan) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let numbered = Numbered { number, module: self.module.clone(), plan: plan.clone() };
        let beside = self.directory.join("plan.part");
        std::fs::write(&beside, serde_json::to_vec(&numbered).unwrap()).unwrap();
        std::fs::rename(beside, self.directory.join(PLAN)).unwrap();
    }

    /// The return codes of all logins that were tried so far.
    ///
    /// # Panics
    /// If there is something else in the file.
    #[expect(clippy::unwrap_used, reason = "for tests, which end so")]
    pub fn logins(&self) -> Vec<u64> {
        let text = std::fs::read_to_string(self.directory.join(LOGINS)).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// How many logins were begun so far, whether or not they came to an end.
    pub fn tries(&self) -> usize {
        self.lines(TRIES)
    }

    /// How many calls hung so far, or hang now.
    pub fn hangs(&self) -> usize {
        self.lines(HANGS)
    }

    fn lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.directory.join(name)).unwrap_or_default().lines().count()
    }
}

/// The module's file, beside the running test.
///
/// # Panics
/// If it was not built.
#[expect(clippy::unwrap_used, reason = "for tests, which end so")]
pub fn module() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = "libchancery_pkcs11_faults.so";
    let directory = test.parent().unwrap();
    let candidates = [directory.join(name), directory.join("deps").join(name)];
    let found = candidates.iter().find(|path| path.exists());
    assert!(found.is_some(), "{name} is not in {}", directory.display());
    found.unwrap().clone()
}
