//! Signing keys, named and never passed around: software and PKCS#11
