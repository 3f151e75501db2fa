//! The CRL of a root.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::publisher::CrlPublisher;

/// The root's CRL.
pub(crate) struct RootCrl {
    pub(crate) publisher: Arc<CrlPublisher>,
    pub(super) making: Mutex<()>,
}

impl RootCrl {
    pub(crate) fn new(root: &str) -> Self {
        let publisher = Arc::new(CrlPublisher::new(root.to_owned()));
        Self { publisher, making: Mutex::new(()) }
    }
}
