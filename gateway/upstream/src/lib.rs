//! Client side of other CAs over ACME
