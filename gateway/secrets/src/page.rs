//! Pages of lists: `after` and `limit`.

/// Which part of a list is wanted. Entries are in the order of their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Only what comes after this text, which need not be an entry.
    pub after: Option<String>,
    /// So many entries at most; none for all.
    pub limit: Option<usize>,
}

impl Page {
    /// Everything.
    pub const ALL: Self = Self { after: None, limit: None };

    /// Whether an entry comes after where the page begins.
    pub(crate) fn has(&self, entry: &str) -> bool {
        self.after.as_ref().is_none_or(|after| entry > after.as_str())
    }

    /// Whether no more entries fit.
    pub(crate) fn is_full(&self, entries: usize) -> bool {
        self.limit.is_some_and(|limit| entries >= limit)
    }

    /// The part of a list that is wanted; the list is in order.
    pub fn of(&self, all: Vec<String>) -> Vec<String> {
        let wanted = all.into_iter().filter(|entry| self.has(entry));
        wanted.take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}
