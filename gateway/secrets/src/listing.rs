//! Estimates the memory that a name in a list takes.

/// About how many bytes a name in a list takes: itself, and as a part of the answer.
pub(crate) fn size_of_name(name: &str) -> usize {
    name.len().saturating_mul(2).saturating_add(64)
}
