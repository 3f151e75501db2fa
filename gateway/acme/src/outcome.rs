//! How an operation's line in the audit log ends: every operation that was done leaves one. Those that were refused
//! leave one within a bound for each client, since accounts cost nothing and anybody can be refused without end. Reading
//! one's own resources is not an operation.

use chancery_audit::{Event, NameList};
use chancery_identity::RequestContext;

use crate::Acme;
use crate::error::Error;

impl Acme {
    /// Ends the line of an operation with how it came out, and writes it.
    ///
    /// # Errors
    /// That of the operation; that there is no audit line, which leaves nothing to answer.
    pub(crate) async fn conclude<T>(
        &self,
        context: &RequestContext,
        event: Event,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        match result {
            Ok(value) => {
                self.gate.record(event.succeeded()).await?;
                Ok(value)
            }
            Err(error) => Err(self.refuse(context, event, error).await),
        }
    }

    /// Writes the line of an operation that came to nothing, if the client has room for one more, and gives back why.
    pub(crate) async fn refuse(
        &self,
        context: &RequestContext,
        event: Event,
        error: Error,
    ) -> Error {
        // What a policy said for the log only is there already.
        let event = match &error {
            Error::Denied(_) => event,
            Error::DeniedIdentifiers { identifiers, .. } => {
                let denied = identifiers.iter().map(|one| one.identifier.to_string());
                event.detail_names("denied", &NameList::new(denied))
            }
            // The reason of the first: what is wrong with a name can be seen.
            Error::Identifiers(refused) => {
                let denied = NameList::new(refused.iter().map(|one| &one.value));
                let reason = refused.first().map(|one| one.reason.to_string());
                event.detail_names("denied", &denied).detail("reason", reason.unwrap_or_default())
            }
            other => event.detail("reason", other.to_string()),
        };
        let code = error.code().to_owned();
        let recorded = match &error {
            // It may have been done in part.
            Error::Internal(_) => self.gate.record(event.failed(code)).await,
            _ => self.gate.record_unsuccessful(context, event.denied(code)).await,
        };
        match recorded {
            Ok(()) => error,
            Err(unrecorded) => unrecorded.into(),
        }
    }
}
