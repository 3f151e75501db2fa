//! The module's state while it is loaded.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_FUNCTION_LIST_PTR, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO,
    CK_ULONG, CKF_CLOCK_ON_TOKEN, CKR_DEVICE_REMOVED, CKR_OK,
};

use crate::plan::{Effect, Fault, HANGS, LOGINS, Numbered, PLAN, Plan, PlanFile, TRIES};

/// How often a call that hangs checks for a new plan.
const LOOK: Duration = Duration::from_millis(2);

/// The real module and its state. PKCS#11 functions have no argument for it.
pub(crate) struct Module {
    real: CK_FUNCTION_LIST,
    ours: CK_FUNCTION_LIST,
    directory: PathBuf,
    state: Mutex<State>,
    /// Locked for reading while a session is used: SoftHSM crashes if a session is closed during a call.
    in_use: RwLock<()>,
}

#[derive(Default)]
struct State {
    number: Option<u64>,
    plan: Plan,
    /// How many calls each fault of the plan has seen.
    calls: Vec<u64>,
    /// The slot of each session.
    sessions: HashMap<CK_SESSION_HANDLE, CK_SLOT_ID>,
    labels: HashMap<CK_SLOT_ID, String>,
    /// Slots whose sessions are already lost.
    lost: HashSet<CK_SLOT_ID>,
    /// Whether a login failed.
    login_failed: bool,
}

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Nothing,
    Slot(CK_SLOT_ID),
    Session(CK_SESSION_HANDLE),
}

#[expect(unsafe_code, reason = "the pointers in it are functions, which any thread may call")]
// SAFETY: the module was initialised for use by several threads, or its user calls it from one.
unsafe impl Sync for Module {}
#[expect(unsafe_code, reason = "the pointers in it are functions, which any thread may call")]
// SAFETY: as above.
unsafe impl Send for Module {}

static MODULE: OnceLock<Module> = OnceLock::new();

/// The module, loaded at the first call.
pub(crate) fn module() -> &'static Module {
    MODULE.get_or_init(load)
}

#[expect(clippy::expect_used, clippy::unwrap_used, reason = "for tests, which end so")]
fn load() -> Module {
    let directory = PathBuf::from(std::env::var_os(PlanFile::VARIABLE).expect("where the plan is"));
    let numbered = read(&directory).unwrap();
    let mut list: CK_FUNCTION_LIST_PTR = std::ptr::null_mut();
    #[expect(unsafe_code, reason = "loads a PKCS#11 module, as everybody does who uses one")]
    // SAFETY: the plan names a PKCS#11 module, whose C_GetFunctionList has this type and gives a list
    // that lives as long as the module is loaded, which is for ever.
    let real = unsafe {
        type GetFunctionList = unsafe extern "C" fn(*mut CK_FUNCTION_LIST_PTR) -> CK_RV;
        let library = Box::leak(Box::new(libloading::Library::new(&numbered.module).unwrap()));
        let get = library.get::<GetFunctionList>(b"C_GetFunctionList\0").unwrap();
        assert_eq!(get(&raw mut list), CKR_OK);
        *list
    };
    let ours = crate::functions::before(&real);
    Module { real, ours, directory, state: Mutex::default(), in_use: RwLock::default() }
}

fn read(directory: &std::path::Path) -> Option<Numbered> {
    serde_json::from_slice(&std::fs::read(directory.join(PLAN)).ok()?).ok()
}

impl Module {
    /// The functions of the real module.
    pub(crate) fn real(&self) -> &CK_FUNCTION_LIST {
        &self.real
    }

    /// The list that is handed out.
    pub(crate) fn list(&self) -> &CK_FUNCTION_LIST {
        &self.ours
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Numbered { number, plan, .. }) = read(&self.directory)
            && state.number != Some(number)
        {
            state.calls = vec![0; plan.faults.len()];
            state.number = Some(number);
            state.plan = plan;
            self.lose(&mut state);
        }
        state
    }

    /// Ends the sessions of tokens that are away, as happens when an HSM is switched off.
    fn lose(&self, state: &mut State) {
        let State { plan, labels, lost, sessions, .. } = state;
        lost.retain(|slot| labels.get(slot).is_some_and(|label| plan.away.contains(label)));
        for (slot, label) in labels.iter() {
            if plan.away.contains(label) && lost.insert(*slot) {
                sessions.retain(|_, of| of != slot);
                if let Some(close_all) = self.real.C_CloseAllSessions {
                    let _unused = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
                    #[expect(unsafe_code, reason = "a function of the real module")]
                    // SAFETY: C_CloseAllSessions takes any number of a slot.
                    let _ = unsafe { close_all(*slot) };
                }
            }
        }
    }

    /// Held only during a call of the real module: the code that makes a token go away waits for it while
    /// it holds the state.
    pub(crate) fn in_use(&self) -> RwLockReadGuard<'_, ()> {
        self.in_use.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens instead of the call, if the plan says so.
    pub(crate) fn before(&self, function: &str, subject: Subject) -> Option<CK_RV> {
        self.planned(function, subject).and_then(|effect| self.happens(effect))
    }

    /// Lets it happen before the call; a code is what the call returns.
    #[expect(clippy::disallowed_methods, reason = "to take long is what the plan says")]
    pub(crate) fn happens(&self, effect: Effect) -> Option<CK_RV> {
        match effect {
            Effect::Return(code) => return Some(code),
            Effect::Delay(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
            Effect::Hang => {
                let number = self.state().number;
                self.append(HANGS, 1);
                while self.state().number == number {
                    std::thread::sleep(LOOK);
                }
            }
            Effect::Corrupt => {}
        }
        None
    }

    /// What the plan says about the call; counts the call.
    pub(crate) fn planned(&self, function: &str, subject: Subject) -> Option<Effect> {
        let mut state = self.state();
        let label = match subject {
            Subject::Nothing => None,
            Subject::Slot(slot) => self.label(&mut state, slot),
            Subject::Session(session) => {
                state.sessions.get(&session).and_then(|slot| state.labels.get(slot)).cloned()
            }
        };
        let State { plan, calls, .. } = &mut *state;
        if label.as_ref().is_some_and(|label| plan.away.contains(label)) {
            return Some(Effect::Return(CKR_DEVICE_REMOVED));
        }
        let fits = |fault: &Fault| {
            fault.function == function && (fault.token.is_none() || fault.token == label)
        };
        for (fault, calls) in plan.faults.iter().zip(calls) {
            if !fits(fault) {
                continue;
            }
            *calls += 1;
            let over = fault.times.is_some_and(|times| *calls > fault.after + times);
            if *calls > fault.after && !over {
                return Some(fault.effect);
            }
        }
        None
    }

    /// The label of the token in the slot.
    fn label(&self, state: &mut State, slot: CK_SLOT_ID) -> Option<String> {
        if let Some(label) = state.labels.get(&slot) {
            return Some(label.clone());
        }
        let mut info = CK_TOKEN_INFO::default();
        #[expect(unsafe_code, reason = "a function of the real module")]
        // SAFETY: C_GetTokenInfo takes any number of a slot, and a place for what it tells.
        let code = unsafe { self.real.C_GetTokenInfo?(slot, &raw mut info) };
        if code != CKR_OK {
            return None;
        }
        let label = String::from_utf8_lossy(&info.label).trim_end().to_owned();
        state.labels.insert(slot, label.clone());
        Some(label)
    }

    /// The number that the real module has for a slot.
    pub(crate) fn real_slot(&self, slot: CK_SLOT_ID) -> CK_SLOT_ID {
        slot.wrapping_sub(self.state().plan.slots_moved_by)
    }

    /// The slots of the real module that are shown, by their shown numbers.
    pub(crate) fn shown(&self, slots: &[CK_SLOT_ID]) -> Vec<CK_SLOT_ID> {
        let mut state = self.state();
        let present = |slot: &CK_SLOT_ID| {
            let label = self.label(&mut state, *slot);
            label.is_none_or(|label| !state.plan.away.contains(&label))
        };
        let present: Vec<_> = slots.iter().copied().filter(present).collect();
        let by = state.plan.slots_moved_by;
        present.into_iter().map(|slot| slot.wrapping_add(by)).collect()
    }

    /// Changes a token's information as the plan says.
    pub(crate) fn distort(&self, info: &mut CK_TOKEN_INFO) {
        let state = self.state();
        let plan = &state.plan;
        info.flags |= plan.token_flags;
        if state.login_failed {
            info.flags |= plan.flags_after_failed_login;
        }
        if let Some(sessions) = plan.sessions {
            info.ulMaxSessionCount = sessions;
        }
        if let Some(time) = &plan.utc_time {
            info.flags |= CKF_CLOCK_ON_TOKEN;
            let bytes = time.bytes().chain(std::iter::repeat(0));
            info.utcTime.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        }
        if plan.c_strings {
            c_string(&mut info.label);
            c_string(&mut info.serialNumber);
        }
    }

    /// The state that the plan sets for sessions.
    pub(crate) fn session_state(&self) -> Option<CK_ULONG> {
        self.state().plan.session_state
    }

    /// Whether there is room for one more session.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.plan.sessions.is_none_or(|most| (state.sessions.len() as u64) < most)
    }

    pub(crate) fn opened(&self, session: CK_SESSION_HANDLE, slot: CK_SLOT_ID) {
        self.state().sessions.insert(session, slot);
    }

    pub(crate) fn closed(&self, session: CK_SESSION_HANDLE) {
        self.state().sessions.remove(&session);
    }

    pub(crate) fn finalised(&self) {
        self.state().sessions.clear();
    }

    /// Records that a login begins.
    pub(crate) fn logs_in(&self, pin_length: CK_ULONG) {
        self.append(TRIES, pin_length);
    }

    /// Records how a login ended.
    pub(crate) fn logged_in(&self, code: CK_RV) {
        self.append(LOGINS, code);
        if code != CKR_OK {
            self.state().login_failed = true;
        }
    }

    #[expect(clippy::unwrap_used, reason = "for tests, which end so")]
    fn append(&self, name: &str, number: u64) {
        let path = self.directory.join(name);
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(format!("{number}\n").as_bytes()).unwrap();
    }
}

/// Fills a field as a program would that copies a C string into it.
fn c_string(field: &mut [u8]) {
    let end = field.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let behind = field.iter_mut().skip(end);
    behind.zip([0, b'x', 0xff].into_iter().cycle()).for_each(|(place, byte)| *place = byte);
}
