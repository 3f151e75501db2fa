//! A caller's session at the gate.

use chancery_gate::{Denied, Gate, Refused, Session};
use chancery_identity::RequestContext;

use crate::{Access, Caller, Unauthenticated, bearer};

/// The attribute that tells policies whether the token that was shown, or is asked for, is worth nothing
/// without the certificate that obtained it.
pub(crate) const TOKEN_BOUND: &str = "token.bound";

impl Access {
    /// The caller's session: what it was authenticated by is looked at again with each question, and a bearer
    /// token is good for some operations only.
    pub fn session_of<'a>(
        &'a self,
        context: &'a RequestContext,
        caller: &'a Caller,
    ) -> Session<'a> {
        let mut facts = vec![("evidence".to_owned(), caller.evidence().to_owned())];
        if let Some(token) = caller.token() {
            facts.push(("role".to_owned(), token.role.clone()));
            facts.push((TOKEN_BOUND.to_owned(), token.is_bound().to_string()));
        }
        let identity = caller.identity();
        Session::new(context, identity.tenant.clone(), identity.to_string())
            .with_facts(facts)
            .proved_by(move |operation, resource| {
                self.still_authenticated(context, caller)?;
                if caller.is_bearer() && !bearer::may(operation) {
                    return Err(of_bearer().about(operation, resource).into());
                }
                Ok(())
            })
            .named_by(|event| caller.named_in(event))
    }

    /// The gate at which sessions ask.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

/// What a bearer token is not good for, whatever policies would say.
fn of_bearer() -> Denied {
    Denied::new(
        "bearer-token",
        "this needs the client certificate: a bearer token reads, uses and writes secrets, and does not \
         administer or approve",
    )
}

/// Policies are asked about somebody, and nobody is there any more.
impl From<Unauthenticated> for Refused {
    fn from(reason: Unauthenticated) -> Self {
        Denied::new(reason.code(), reason.to_string()).because(reason.to_string()).into()
    }
}
