//! Parse, build and lint certificates, CSRs and CRLs: no keys, no I/O
