//! ACME (RFC 8555): state machines without HTTP types
