//! The gateway's own TLS certificate: renewed at two thirds of its life, and at each reload.

use std::sync::Arc;
use std::time::Duration;

use chancery_tls::Acceptor;
use jiff::Timestamp;
use tokio::sync::Notify;

use super::task::Task;
use crate::config::ServerConfig;
use crate::credential;
use crate::gateway::Gateway;

/// The pause before it is tried again.
const AGAIN: Duration = Duration::from_mins(1);

pub(super) fn task(
    gateway: &Arc<Gateway>,
    acceptor: Acceptor,
    server: ServerConfig,
    asked: Arc<Notify>,
    renew_at: Timestamp,
) -> Task {
    let first = credential::not_before_a_minute(gateway.clock.now(), renew_at);
    let gateway = gateway.clone();
    let task = Task::of_gateway("tls-certificate", AGAIN, move || {
        let (gateway, acceptor, server) = (gateway.clone(), acceptor.clone(), server.clone());
        async move {
            let own = credential::issue(&gateway, &server).await?;
            acceptor.replace_credential(own.credential);
            Ok(Some(credential::not_before_a_minute(gateway.clock.now(), own.renew_at)))
        }
    });
    task.when_asked(asked).beginning(first)
}
