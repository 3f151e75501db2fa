//! `/v1/sys/policy-set`: which policies are in force, and which were. Vault has no such resource; it
//! follows its manners.

use axum::extract::State;
use axum::response::Response;
use chancery_access::PolicySetView;
use serde_json::{Value, json};

use crate::vault::call::{Call, Verb};
use crate::vault::envelope;
use crate::vault::error::VaultError;
use crate::vault::state::VaultState;

const SYSTEM: &str = "system";

/// `/v1/sys/policy-set`: the set in force with its bindings, and the sets before it.
pub(in crate::vault) async fn show(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Get)?;
    let PolicySetView { summary, bindings, history } =
        state.access.policy_set(&call.context, &call.caller).await?;
    let history: Vec<Value> = history
        .iter()
        .map(|set| {
            let bindings: serde_json::Map<_, _> =
                set.bindings().map(|(name, plugin)| (name.to_owned(), plugin.into())).collect();
            json!({
                "number": set.number,
                "taken": set.taken.to_string(),
                "digest": set.digest,
                "bindings": bindings,
            })
        })
        .collect();
    let view = json!({
        "number": summary.number,
        "digest": summary.digest,
        "bindings": bindings,
        "history": history,
    });
    Ok(envelope::data(call.head(), SYSTEM, view))
}

/// `/v1/sys/policy-set/reload`: loads the directory of policies anew.
pub(in crate::vault) async fn reload(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let summary = state.access.reload_policies(&call.context, &call.caller).await?;
    let view = json!({
        "number": summary.number,
        "digest": summary.digest,
        "bindings": summary.bindings,
    });
    Ok(envelope::data(call.head(), SYSTEM, view))
}

/// `/v1/sys/policy-set/rollback`: puts the set `{"to": NUMBER}` back, or the one before the newest.
pub(in crate::vault) async fn roll_back(
    State(state): State<VaultState>,
    call: Call,
) -> Result<Response, VaultError> {
    call.expect(Verb::Write)?;
    let number = call.fields()?.count("to")?;
    let (restored, summary) =
        state.access.roll_back_policies(&call.context, &call.caller, number).await?;
    let view = json!({
        "restored": restored.number,
        "number": summary.number,
        "digest": summary.digest,
        "bindings": summary.bindings,
        "written": restored.written,
        "set_aside": restored.set_aside,
    });
    Ok(envelope::data(call.head(), SYSTEM, view))
}
