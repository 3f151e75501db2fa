//! Which patterns can fit a resource at all. A thousand rules would else be compared with every request.

use chancery_guest::glob::literal_prefix;

use crate::texts::Texts;

/// Patterns by their beginnings, up to the first star.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// In the order of their beginnings.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The number of the pattern.
    pattern: u32,
    /// The last entry before this one with a beginning that this one begins with, or [`NONE`].
    parent: u32,
}

/// In place of the number of an entry.
const NONE: u32 = u32::MAX;

impl Index {
    pub(crate) fn new(patterns: &Texts) -> Self {
        let beginning = |at: u32| patterns.get(at).map_or("", literal_prefix);
        let mut order: Vec<u32> = (0..patterns.count()).collect();
        order.sort_unstable_by_key(|at| (beginning(*at), *at));
        // The entries whose beginnings the present one has, the longest last.
        let mut above: Vec<(u32, &str)> = Vec::new();
        let entries = (0_u32..).zip(order).map(|(number, pattern)| {
            let text = beginning(pattern);
            while above.last().is_some_and(|(_, last)| !text.starts_with(last)) {
                above.pop();
            }
            let parent = above.last().map_or(NONE, |(at, _)| *at);
            if above.last().is_some_and(|(_, last)| *last == text) {
                above.pop();
            }
            above.push((number, text));
            Entry { pattern, parent }
        });
        Self { entries: entries.collect() }
    }

    /// The patterns that may fit the resource, of those that the index was made from. In no order.
    pub(crate) fn candidates(&self, resource: &str, patterns: &Texts) -> impl Iterator<Item = u32> {
        let beginning = move |entry: &Entry| patterns.get(entry.pattern).map(literal_prefix);
        // The last entry that is not behind the resource. If the resource does not begin with it, then
        // whatever the resource begins with, the entry does too.
        let not_behind = |entry: &Entry| beginning(entry).is_some_and(|text| text <= resource);
        let last = self.entries.partition_point(not_behind).checked_sub(1);
        let entry = |at: usize| self.entries.get(at);
        let chain =
            core::iter::successors(last.and_then(entry), move |last| entry(last.parent as usize));
        let fits =
            move |entry: &&Entry| beginning(entry).is_some_and(|text| resource.starts_with(text));
        chain.filter(fits).map(|entry| entry.pattern)
    }
}

#[cfg(test)]
mod tests {
    use chancery_guest::glob::fits;
    use proptest::prelude::*;

    use super::*;

    fn texts<T: AsRef<str>>(patterns: &[T]) -> Texts {
        let mut texts = Texts::default();
        for pattern in patterns {
            texts.push(pattern.as_ref());
        }
        texts
    }

    fn candidates(patterns: &Texts, resource: &str) -> Vec<u32> {
        let mut found: Vec<u32> = Index::new(patterns).candidates(resource, patterns).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn finds_every_beginning_of_a_resource_and_nothing_behind_it() {
        let patterns =
            texts(&["secret/*", "secret/a/*", "secret/ab", "*", "other/*", "secret/a/b", "*"]);
        assert_eq!(candidates(&patterns, "secret/a/b"), [0, 1, 3, 5, 6]);
        assert_eq!(candidates(&patterns, "secret/ab"), [0, 2, 3, 6]);
        assert_eq!(candidates(&patterns, "zebra"), [3, 6]);
        assert_eq!(candidates(&patterns, ""), [3, 6]);
        assert!(candidates(&Texts::default(), "a").is_empty());
    }

    proptest! {
        #[test]
        fn no_pattern_that_fits_is_left_out(
            patterns in prop::collection::vec("[ab/*]{0,5}", 0..20),
            resource in "[ab/]{0,8}",
        ) {
            let found = candidates(&texts(&patterns), &resource);
            for (at, pattern) in (0..).zip(&patterns) {
                let may_fit = resource.starts_with(literal_prefix(pattern));
                prop_assert_eq!(found.iter().filter(|one| **one == at).count(), usize::from(may_fit));
                prop_assert!(may_fit || !fits(pattern, &resource));
            }
        }
    }
}
