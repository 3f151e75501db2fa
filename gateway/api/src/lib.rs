//! HTTP: ACME resources, the Vault API, problem documents
