//! The functions that a guest may call: a log with a budget, and the look-ups that its binding grants.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use chancery_identity::TenantId;

use super::line::Line;
use super::lookups::{Capabilities, IssuedTo, LookupError, Lookups};
use super::world::{data_sets, groups, issuance_counts, log, lookup_types, types};

/// The most look-ups of one evaluation. Each is short; this number is enough for a hundred names, and
/// a guest that wants more is looping.
const LOOKUPS: u32 = 256;

/// How much of a guest's warnings and errors is kept for the audit log in case it traps, in bytes.
const LAST_WORDS: usize = 2048;

/// The longest time over which certificates are counted.
const LONGEST_COUNT: Duration = Duration::from_hours(30 * 24);

/// What the host keeps of a binding to answer its guests' calls.
#[derive(Debug, Clone)]
pub(crate) struct Callee {
    pub(crate) binding: Arc<str>,
    pub(crate) capabilities: Arc<Capabilities>,
    pub(crate) lookups: Lookups,
    /// Bytes that one evaluation may log.
    pub(crate) log: usize,
    /// Whether the engine counts what guests consume.
    pub(crate) counted: bool,
    /// Where lines go that are not for this process's log.
    pub(crate) lines: Option<Sender<Line>>,
}

impl Callee {
    /// Whether a guest sees no difference between the two. All bindings of one host answer look-ups
    /// alike.
    pub(crate) fn grants_as(&self, other: &Self) -> bool {
        let Self { binding, capabilities, lookups: _, log, counted, lines: _ } = self;
        *binding == other.binding
            && *capabilities == other.capabilities
            && *log == other.log
            && *counted == other.counted
    }
}

/// The calls of one evaluation.
#[derive(Debug)]
pub(crate) struct Calls {
    callee: Callee,
    /// The tenant whose groups, data and certificates are looked up; none while the guest takes its
    /// settings.
    tenant: Option<TenantId>,
    log_left: usize,
    lookups_left: u32,
    /// The guest's warnings and errors, up to a length.
    last_words: String,
    /// Lines that the budget did not allow.
    pub(crate) dropped: u32,
}

impl Calls {
    pub(crate) fn new(callee: Callee, tenant: Option<TenantId>) -> Self {
        let log_left = callee.log;
        Self {
            callee,
            tenant,
            log_left,
            lookups_left: LOOKUPS,
            last_words: String::new(),
            dropped: 0,
        }
    }

    /// Whether the guest's consumption is counted.
    pub(crate) fn counted(&self) -> bool {
        self.callee.counted
    }

    fn lookup<T>(
        &mut self,
        ask: impl FnOnce(&Callee, &TenantId) -> Result<T, LookupError>,
    ) -> Result<T, lookup_types::LookupError> {
        let answer = match (&self.tenant, self.lookups_left.checked_sub(1)) {
            (None, _) => Err(LookupError::Unavailable("there is no request yet".to_owned())),
            (_, None) => Err(LookupError::Unavailable(format!("{LOOKUPS} look-ups are the most"))),
            (Some(tenant), Some(left)) => {
                self.lookups_left = left;
                ask(&self.callee, tenant)
            }
        };
        answer.map_err(|error| lookup_types::LookupError {
            code: error.code().to_owned(),
            message: error.to_string(),
        })
    }

    fn issued(&mut self, to: &IssuedTo, seconds: u64) -> Result<u64, lookup_types::LookupError> {
        self.lookup(|callee, tenant| {
            if !callee.capabilities.issuance_counts {
                return Err(LookupError::NotGranted("issuance counts".to_owned()));
            }
            let over = Duration::from_secs(seconds).min(LONGEST_COUNT);
            (callee.lookups.issued)(tenant, to, over)
        })
    }
}

impl log::Host for Calls {
    fn write(&mut self, level: log::Level, message: String, fields: Vec<types::Attribute>) {
        // A flood of lines is dropped before it is even read.
        let fits = self.log_left.checked_sub(message.len()).is_some();
        let line = fits.then(|| Line::new(level, &message, &fields));
        let taken = line.and_then(|line| Some((self.log_left.checked_sub(line.size())?, line)));
        let Some((left, line)) = taken else {
            self.dropped += 1;
            return;
        };
        self.log_left = left;
        self.remember(&line);
        match &self.callee.lines {
            None => line.log(&self.callee.binding),
            // The receiver may be gone.
            Some(lines) => drop(lines.send(line)),
        }
    }
}

impl Calls {
    fn remember(&mut self, line: &Line) {
        if !line.is_trouble() || self.last_words.len() + line.size() > LAST_WORDS {
            return;
        }
        if !self.last_words.is_empty() {
            self.last_words += "; ";
        }
        self.last_words += &line.to_string();
    }

    /// The guest's warnings and errors.
    pub(crate) fn last_words(&self) -> &str {
        &self.last_words
    }

    /// Treats printed text like lines that the guest writes to the log.
    pub(crate) fn print(&mut self, level: log::Level, text: &str) {
        for line in text.lines().filter(|line| is_worth_it(line)) {
            log::Host::write(self, level, line.to_owned(), Vec::new());
        }
    }
}

/// Whether a printed line is useful; advice for use outside of a sandbox is not.
fn is_worth_it(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with("note: run with `RUST_BACKTRACE")
}

impl groups::Host for Calls {
    fn contains(
        &mut self,
        group: String,
        identity: String,
    ) -> Result<bool, lookup_types::LookupError> {
        self.lookup(|callee, tenant| {
            if !callee.capabilities.groups.contains(&group) {
                return Err(LookupError::NotGranted(format!("the group `{group}`")));
            }
            (callee.lookups.group)(tenant, &group, &identity)
        })
    }
}

impl data_sets::Host for Calls {
    fn get(
        &mut self,
        data_set: String,
        key: String,
    ) -> Result<Option<String>, lookup_types::LookupError> {
        self.lookup(|callee, tenant| {
            if !callee.capabilities.data_sets.contains(&data_set) {
                return Err(LookupError::NotGranted(format!("the data set `{data_set}`")));
            }
            (callee.lookups.data)(tenant, &data_set, &key)
        })
    }
}

impl issuance_counts::Host for Calls {
    fn by_name(
        &mut self,
        kind: String,
        value: String,
        seconds: u64,
    ) -> Result<u64, lookup_types::LookupError> {
        self.issued(&IssuedTo::Name { kind, value }, seconds)
    }

    fn by_requester(
        &mut self,
        requester: String,
        seconds: u64,
    ) -> Result<u64, lookup_types::LookupError> {
        self.issued(&IssuedTo::Requester(requester), seconds)
    }
}

// Interfaces of types only.
impl types::Host for Calls {}
impl lookup_types::Host for Calls {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use log::Host as _;

    use super::*;
    use crate::contract::Granted;

    fn calls(capabilities: Capabilities, tenant: bool) -> Calls {
        let lookups = Lookups {
            group: Arc::new(|_, group, identity| Ok(group == "ops" && identity == "a")),
            data: Arc::new(|_, _, key| Ok(Some(key.to_uppercase()))),
            issued: Arc::new(|_, _, over| Ok(over.as_secs())),
        };
        let callee = Callee {
            binding: "b".into(),
            capabilities: Arc::new(capabilities),
            lookups,
            log: 100,
            counted: false,
            lines: None,
        };
        Calls::new(callee, tenant.then(TenantId::default_tenant))
    }

    fn granted() -> Capabilities {
        Capabilities {
            groups: Granted::Only(BTreeSet::from(["ops".to_owned()])),
            data_sets: Granted::Only(BTreeSet::from(["set".to_owned()])),
            issuance_counts: true,
        }
    }

    #[test]
    fn what_is_granted_is_answered_and_nothing_else() {
        let mut calls = calls(granted(), true);
        assert!(groups::Host::contains(&mut calls, "ops".into(), "a".into()).unwrap());
        let other = groups::Host::contains(&mut calls, "dev".into(), "a".into()).unwrap_err();
        assert_eq!(other.code, "not-granted");
        let value = data_sets::Host::get(&mut calls, "set".into(), "k".into()).unwrap();
        assert_eq!(value.as_deref(), Some("K"));
        let other = data_sets::Host::get(&mut calls, "other".into(), "k".into()).unwrap_err();
        assert_eq!(other.code, "not-granted");
        let longest = issuance_counts::Host::by_requester(&mut calls, "a".into(), u64::MAX);
        assert_eq!(longest.unwrap(), LONGEST_COUNT.as_secs());

        let mut none = self::calls(Capabilities::default(), true);
        let refused = issuance_counts::Host::by_requester(&mut none, "a".into(), 1).unwrap_err();
        assert_eq!(refused.code, "not-granted");
    }

    #[test]
    fn there_is_nothing_to_look_up_before_there_is_a_request() {
        let mut calls = calls(granted(), false);
        let refused = groups::Host::contains(&mut calls, "ops".into(), "a".into()).unwrap_err();
        assert_eq!(refused.code, "unavailable");
    }

    #[test]
    fn a_flood_of_lookups_ends() {
        let mut calls = calls(granted(), true);
        let mut ask = || groups::Host::contains(&mut calls, "ops".into(), "a".into());
        for _ in 0..LOOKUPS {
            assert!(ask().is_ok());
        }
        assert_eq!(ask().unwrap_err().code, "unavailable");
    }

    #[test]
    fn a_flood_of_lines_is_dropped_and_counted() {
        let mut calls = calls(granted(), true);
        for _ in 0..5 {
            calls.write(log::Level::Debug, "x".repeat(40), vec![]);
        }
        assert_eq!(calls.dropped, 3);
    }
}
