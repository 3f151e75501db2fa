//! TLS acceptor, client verification, hot-reloaded credentials
