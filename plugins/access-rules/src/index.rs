//! Which rules can be about a resource at all. A thousand rules would else be compared with every
//! request, and each page of memory that is touched costs.

use chancery_guest::{Glob, Globs};

/// Rules by the beginnings of their resource patterns.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// All beginnings, one behind the other and in order: a search touches few pages.
    text: String,
    entries: Vec<Entry>,
    /// The rules of the entries, one behind the other.
    rules: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where its beginning ends in the text; it starts where the one before ends.
    end: u32,
    /// Where its rules end.
    rules_end: u32,
    /// The longest other entry that this one begins with.
    parent: Option<u32>,
}

impl Index {
    /// An index over the patterns of each rule.
    pub(crate) fn new<'a>(resources: impl Iterator<Item = &'a Globs>) -> Self {
        let mut pairs: Vec<(&str, u32)> = Vec::new();
        for (rule, globs) in (0_u32..).zip(resources) {
            pairs.extend(globs.as_slice().iter().map(Glob::literal_prefix).map(|p| (p, rule)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut index = Self::default();
        // The entries that the present one begins with, the longest last.
        let mut above: Vec<(u32, &str)> = Vec::new();
        for (beginning, rule) in pairs {
            if above.last().is_none_or(|(_, last)| *last != beginning) {
                while above.last().is_some_and(|(_, last)| !beginning.starts_with(last)) {
                    above.pop();
                }
                index.text.push_str(beginning);
                let parent = above.last().map(|(at, _)| *at);
                above.push((number(index.entries.len()), beginning));
                index.entries.push(Entry { end: number(index.text.len()), rules_end: 0, parent });
            }
            index.rules.push(rule);
            if let Some(entry) = index.entries.last_mut() {
                entry.rules_end = number(index.rules.len());
            }
        }
        index
    }

    /// The rules of which a pattern may fit the resource, in order.
    pub(crate) fn candidates(&self, resource: &str) -> Vec<usize> {
        // The last entry that is not behind the resource. If the resource does not begin with it, then
        // whatever the resource begins with, the entry does too.
        let mut low = 0;
        let mut high = self.entries.len();
        while low < high {
            let middle = low.midpoint(high);
            if self.beginning(middle) <= resource { low = middle + 1 } else { high = middle }
        }
        let mut found = Vec::new();
        let mut next = low.checked_sub(1);
        while let Some(at) = next {
            let Some(entry) = self.entries.get(at) else { break };
            if resource.starts_with(self.beginning(at)) {
                found.extend(self.rules_of(at).iter().map(|rule| *rule as usize));
            }
            next = entry.parent.map(|parent| parent as usize);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn beginning(&self, at: usize) -> &str {
        let end = |at: usize| self.entries.get(at).map_or(0, |entry| entry.end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        self.text.get(start..end(at)).unwrap_or_default()
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
        let (index, _) = index(&patterns);
        assert_eq!(index.candidates("secret/a/b"), [0, 1, 3, 5]);
        assert_eq!(index.candidates("secret/ab"), [0, 2, 3]);
        assert_eq!(index.candidates("zebra"), [3]);
        assert_eq!(index.candidates(""), [3]);
    }

    proptest! {
        #[test]
        fn no_rule_that_fits_is_left_out(
            patterns in prop::collection::vec(prop::collection::vec("[ab/*]{0,5}", 1..3), 0..12),
            resource in "[ab/]{0,8}",
        ) {
            let (index, globs) = index(&patterns);
            let candidates = index.candidates(&resource);
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
