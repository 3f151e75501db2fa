//! The private CA: prepare, lint, sign; serials and CRLs
