//! The certificate of a delegated signer of OCSP answers: renewed at two thirds of its life.

use std::sync::Arc;
use std::time::Duration;

use chancery_ca::OcspResponder;
use chancery_x509::GeneralName;
use jiff::Timestamp;

use super::task::Task;
use crate::gateway::Gateway;
use crate::{credential, ocsp};

/// The pause before it is tried again.
const AGAIN: Duration = Duration::from_mins(1);

/// A signer of OCSP answers, and when to renew its certificate.
pub(in crate::run) struct Signer {
    pub(in crate::run) responder: Arc<OcspResponder>,
    pub(in crate::run) profile: String,
    pub(in crate::run) renew_at: Timestamp,
}

pub(super) fn task(gateway: &Arc<Gateway>, signer: Signer, names: &[GeneralName]) -> Task {
    let Signer { responder, profile, renew_at } = signer;
    let first = credential::not_before_a_minute(gateway.clock.now(), renew_at);
    let (gateway, name, names) = (gateway.clone(), profile.clone(), names.to_vec());
    let task = Task::of_gateway(name, AGAIN, move || {
        let (gateway, responder) = (gateway.clone(), responder.clone());
        let (profile, names) = (profile.clone(), names.clone());
        async move {
            let renew_at = ocsp::delegate(&gateway, &responder, &profile, &names).await?;
            Ok(Some(credential::not_before_a_minute(gateway.clock.now(), renew_at)))
        }
    });
    task.beginning(first)
}
