//! The encryption barrier over the store
