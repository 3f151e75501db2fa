//! Secret engines behind mounts: KV version 2
