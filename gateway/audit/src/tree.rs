//! The Merkle tree over the lines of a log (RFC 6962 §2.1). Only its right edge is kept, which is
//! enough to add lines and to compute the root.
//!
//! The leaves are the hashes of the lines, 32 bytes each, in their order. So a reader with the lines
//! can compute the root, and the root of a checkpoint fixes every line before it.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
pub(crate) type Hash = [u8; 32];

/// The tree after some lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    size: u64,
    /// The roots of the full subtrees that it consists of, the largest first: one for each bit of
    /// the size.
    peaks: Vec<Hash>,
}

impl Tree {
    /// The tree of `size` lines with these full subtrees. None if the numbers do not fit.
    pub(crate) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()).is_ok_and(|ones| ones == peaks.len());
        fits.then_some(Self { size, peaks })
    }

    /// How many lines are in it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// See [`Tree::of`].
    pub(crate) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Adds a line by its hash.
    pub(crate) fn push(&mut self, line: &Hash) {
        let mut node = hash(0, &[line]);
        // Each one bit at the end of the size is a full subtree as large as the new node is now.
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().unwrap_or_default();
            node = hash(1, &[&left, &node]);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root (RFC 6962 §2.1: of no lines, the hash of nothing).
    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return finish(Context::new(&SHA256)) };
        peaks.fold(*last, |right, left| hash(1, &[left, &right]))
    }
}

fn hash(prefix: u8, parts: &[&Hash]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    for part in parts {
        context.update(*part);
    }
    finish(context)
}

fn finish(context: Context) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As RFC 6962 §2.1 defines it.
    fn root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => finish(Context::new(&SHA256)),
            [leaf] => hash(0, &[leaf]),
            leaves => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                hash(1, &[&root(left), &root(right)])
            }
        }
    }

    #[test]
    fn no_line_has_the_root_of_the_rfc() {
        assert_eq!(
            hex::encode(Tree::default().root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    proptest! {
        #[test]
        fn the_root_is_what_the_rfc_says(leaves in proptest::collection::vec(any::<Hash>(), 0..70)) {
            let mut tree = Tree::default();
            for leaf in &leaves {
                tree.push(leaf);
            }
            prop_assert_eq!(tree.root(), root(&leaves));
            let again = Tree::of(tree.size(), tree.peaks().to_vec());
            prop_assert_eq!(again.as_ref(), Some(&tree));
            prop_assert_eq!(Tree::of(tree.size() + 1, tree.peaks().to_vec()).is_some(),
                (tree.size() + 1).count_ones() == tree.size().count_ones());
        }
    }
}
