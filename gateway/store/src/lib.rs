//! Ordered key-value storage with optimistic commits
