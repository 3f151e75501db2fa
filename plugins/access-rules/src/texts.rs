//! Many short texts, each of which costs only four bytes more than itself.

use core::ops::Range;

/// Texts, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    all: String,
    ends: Vec<u32>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(number(self.all.len()));
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        number(self.ends.len())
    }

    pub(crate) fn get(&self, at: u32) -> Option<&str> {
        let end = |at: u32| self.ends.get(at as usize).map(|end| *end as usize);
        let start = at.checked_sub(1).map_or(Some(0), end)?;
        self.all.get(start..end(at)?)
    }

    /// Those with these numbers, so far as there are any.
    pub(crate) fn range(&self, range: Range<u32>) -> impl Iterator<Item = &str> {
        range.filter_map(|at| self.get(at))
    }
}

/// What is counted here is in the memory of a guest, whose addresses have 32 bits.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put_in() {
        let mut texts = Texts::default();
        for text in ["one", "", "zwö", "one"] {
            texts.push(text);
        }
        assert_eq!(texts.count(), 4);
        assert_eq!(texts.range(0..9).collect::<Vec<_>>(), ["one", "", "zwö", "one"]);
        assert_eq!(texts.range(1..3).collect::<Vec<_>>(), ["", "zwö"]);
        assert_eq!(texts.get(4), None);
    }
}
