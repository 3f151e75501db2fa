//! Which rules can be about a resource at all. A thousand rules would else be compared with every
//! request, and each page of memory that is touched costs.

use chancery_guest::{Glob, Globs};

/// Rules by the beginnings of their resource patterns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    /// In the order of their beginnings.
    entries: Vec<Entry>,
    /// The rules of the entries, one behind the other.
    rules: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// A rule with a pattern that begins so.
    rule: u32,
    /// Which of its patterns.
    pattern: u32,
    /// Where its rules end.
    rules_end: u32,
    /// The longest other entry that this one begins with, or [`NONE`].
    parent: u32,
}

/// In place of the number of an entry.
const NONE: u32 = u32::MAX;

impl Index {
    /// An index over the patterns of each rule.
    pub(crate) fn new<'a>(resources: impl Iterator<Item = &'a Globs>) -> Self {
        let mut places: Vec<(&str, u32, u32)> = Vec::new();
        for (rule, globs) in (0_u32..).zip(resources) {
            let patterns = (0_u32..).zip(globs.as_slice());
            places.extend(patterns.map(|(pattern, glob)| (glob.literal_prefix(), rule, pattern)));
        }
        places.sort_unstable();
        places.dedup_by_key(|(beginning, rule, _)| (*beginning, *rule));
        let mut index = Self::default();
        // The entries that the present one begins with, the longest last.
        let mut above: Vec<(u32, &str)> = Vec::new();
        for (beginning, rule, pattern) in places {
            if above.last().is_none_or(|(_, last)| *last != beginning) {
                while above.last().is_some_and(|(_, last)| !beginning.starts_with(last)) {
                    above.pop();
                }
                let parent = above.last().map_or(NONE, |(at, _)| *at);
                above.push((number(index.entries.len()), beginning));
                index.entries.push(Entry { rule, pattern, rules_end: 0, parent });
            }
            index.rules.push(rule);
            if let Some(entry) = index.entries.last_mut() {
                entry.rules_end = number(index.rules.len());
            }
        }
        index
    }

    /// The rules of which a pattern may fit the resource, in order. `resources_of` gives the patterns that
    /// the index was made from, by rule.
    pub(crate) fn candidates<'a>(
        &self,
        resource: &str,
        resources_of: impl Fn(usize) -> Option<&'a Globs>,
    ) -> Vec<usize> {
        let beginning = |entry: &Entry| {
            let pattern = resources_of(entry.rule as usize)?.as_slice().get(entry.pattern as usize);
            pattern.map(Glob::literal_prefix)
        };
        // The last entry that is not behind the resource. If the resource does not begin with it, then
        // whatever the resource begins with, the entry does too.
        let not_behind = |entry: &Entry| beginning(entry).is_some_and(|text| text <= resource);
        let mut next = self.entries.partition_point(not_behind).checked_sub(1);
        let mut found = Vec::new();
        while let Some((at, entry)) = next.and_then(|at| Some((at, self.entries.get(at)?))) {
            if beginning(entry).is_some_and(|text| resource.starts_with(text)) {
                found.extend(self.rules_of(at).iter().map(|rule| *rule as usize));
            }
            next = (entry.parent != NONE).then_some(entry.parent as usize);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn rules_of(&self, at: usize) -> &[u32] {
        let end = |at: usize| self.entries.get(at).map_or(0, |entry| entry.rules_end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        self.rules.get(start..end(at)).unwrap_or_default()
    }
}

/// Settings do not have so many rules.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(patterns: &[Vec<String>]) -> (Index, Vec<Globs>) {
        let globs: Vec<Globs> =
            patterns.iter().map(|all| all.iter().map(String::as_str).collect()).collect();
        (Index::new(globs.iter()), globs)
    }

    #[test]
    fn finds_every_beginning_of_a_resource_and_nothing_behind_it() {
        let patterns = ["secret/*", "secret/a/*", "secret/ab", "*", "other/*", "secret/a/b"];
        let patterns: Vec<_> = patterns.iter().map(|one| vec![(*one).to_owned()]).collect();
        let (index, globs) = index(&patterns);
        let candidates = |resource: &str| index.candidates(resource, |at| globs.get(at));
        assert_eq!(candidates("secret/a/b"), [0, 1, 3, 5]);
        assert_eq!(candidates("secret/ab"), [0, 2, 3]);
        assert_eq!(candidates("zebra"), [3]);
        assert_eq!(candidates(""), [3]);
    }

    proptest! {
        #[test]
        fn no_rule_that_fits_is_left_out(
            patterns in prop::collection::vec(prop::collection::vec("[ab/*]{0,5}", 1..3), 0..12),
            resource in "[ab/]{0,8}",
        ) {
            let (index, globs) = index(&patterns);
            let candidates = index.candidates(&resource, |at| globs.get(at));
            for (at, globs) in globs.iter().enumerate() {
                if globs.matches(&resource) {
                    prop_assert!(candidates.contains(&at), "{} of {:?}", at, candidates);
                }
            }
            let may_fit = |at: &usize| {
                globs[*at].as_slice().iter().any(|glob| resource.starts_with(glob.literal_prefix()))
            };
            prop_assert!(candidates.iter().all(may_fit));
        }
    }
}
