//! Audit events in a hash chain, written before the answer
