//! Tells load balancers by the status whether the gateway serves (`sys/health`).

use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode, Uri};
use serde::Serialize;

use crate::url::parameter;
use crate::vault::call::is_true;
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::{Condition, VaultState};

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the API has it so")]
struct Health<'a> {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'a str,
    replication_dr_mode: &'a str,
    server_time_utc: i64,
    version: &'a str,
    enterprise: bool,
    cluster_name: &'a str,
    cluster_id: &'a str,
    /// Why requests are refused, where clients look for that in answers with this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<[&'a str; 1]>,
}

/// `GET /v1/sys/health`, for load balancers, which read the status only. Needs no certificate.
pub(in crate::vault) async fn handle(
    State(state): State<VaultState>,
    request: Request,
) -> Result<Response, VaultError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(VaultError::Method);
    }
    let condition = *state.condition.borrow();
    let refusal = (state.serving)().refusal();
    let status = status(condition, refusal.is_some(), request.uri())?;
    let health = Health {
        initialized: condition != Condition::Uninitialised,
        sealed: matches!(condition, Condition::Sealed | Condition::Uninitialised),
        standby: condition != Condition::Active,
        performance_standby: false,
        replication_performance_mode: "disabled",
        replication_dr_mode: "disabled",
        server_time_utc: state.clock.now().as_second(),
        version: &state.installation.version,
        enterprise: false,
        cluster_name: &state.installation.cluster_name,
        cluster_id: &state.installation.cluster_id,
        errors: refusal.map(|refusal| [refusal]),
    };
    Ok(envelope::json(status, &health))
}

/// The status for a condition, which the asker may choose. A gateway that refuses requests has the status of one
/// that is sealed: it is no use to send it any.
fn status(condition: Condition, refuses: bool, uri: &Uri) -> Result<StatusCode, VaultError> {
    let standby_is_fine = ["standbyok", "perfstandbyok"]
        .iter()
        .any(|name| parameter(uri, name).is_some_and(|value| is_true(&value)));
    let active = chosen(uri, "activecode", StatusCode::OK)?;
    let standby = chosen(uri, "standbycode", StatusCode::TOO_MANY_REQUESTS)?;
    let sealed = chosen(uri, "sealedcode", StatusCode::SERVICE_UNAVAILABLE)?;
    let uninitialised = chosen(uri, "uninitcode", StatusCode::NOT_IMPLEMENTED)?;
    Ok(match condition {
        Condition::Active | Condition::Standby if refuses => sealed,
        Condition::Active => active,
        Condition::Standby if standby_is_fine => active,
        Condition::Standby => standby,
        Condition::Sealed => sealed,
        Condition::Uninitialised => uninitialised,
    })
}

fn chosen(uri: &Uri, name: &str, default: StatusCode) -> Result<StatusCode, VaultError> {
    let Some(text) = parameter(uri, name) else { return Ok(default) };
    let code = text.parse().ok().filter(|code| (200..=599).contains(code));
    code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| {
        VaultError::BadRequest(format!("{name} must be a status code from 200 to 599").into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(condition: Condition, query: &str) -> Option<u16> {
        let uri: Uri = format!("/v1/sys/health?{query}").parse().unwrap();
        status(condition, false, &uri).ok().map(|status| status.as_u16())
    }

    #[test]
    fn health_says_200_active_429_standby_501_uninitialised_503_sealed() {
        assert_eq!(code(Condition::Active, ""), Some(200));
        assert_eq!(code(Condition::Standby, ""), Some(429));
        assert_eq!(code(Condition::Uninitialised, ""), Some(501));
        assert_eq!(code(Condition::Sealed, ""), Some(503));
    }

    #[test]
    fn health_honours_standbyok_and_the_codes() {
        assert_eq!(code(Condition::Standby, "standbyok=true"), Some(200));
        assert_eq!(code(Condition::Standby, "standbyok"), Some(200));
        assert_eq!(code(Condition::Standby, "standbyok=false"), Some(429));
        assert_eq!(code(Condition::Standby, "perfstandbyok=1&activecode=204"), Some(204));
        assert_eq!(code(Condition::Standby, "standbycode=299"), Some(299));
        assert_eq!(code(Condition::Sealed, "standbyok=true&sealedcode=200"), Some(200));
        assert_eq!(code(Condition::Uninitialised, "uninitcode=200"), Some(200));
        assert_eq!(code(Condition::Active, "activecode=218&sealedcode=200"), Some(218));
    }

    #[test]
    fn a_code_that_is_none_is_refused() {
        for bad in ["activecode=abc", "activecode=100", "activecode=600", "sealedcode="] {
            assert_eq!(code(Condition::Active, bad), None, "{bad}");
        }
    }
}
