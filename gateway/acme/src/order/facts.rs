//! What does not change about an order.

use jiff::Timestamp;

use super::tokens::TokenKey;
use crate::id::{AccountId, AuthorizationId, OrderId};
use crate::identifier::Identifier;
use crate::quota::SeatName;

/// What does not change about an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The names to certify, each once, in the order asked for.
    pub identifiers: Vec<Identifier>,
    /// Where the authorizations are.
    pub authorizations: Authorizations,
    /// The profile of the certificate.
    pub profile: Option<String>,
    /// The first moment of validity asked for.
    pub not_before: Option<Timestamp>,
    /// The last moment of validity asked for.
    pub not_after: Option<Timestamp>,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it can be finished.
    pub expires: Timestamp,
    /// What it occupies of the quotas for pending orders.
    pub seats: Vec<SeatName>,
}

/// Where the authorizations of an order's names are, one for each in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorizations {
    /// In the order, with tokens that are derived from this key.
    Within(TokenKey),
    /// In records of their own, as earlier versions of the gateway had them.
    Apart(Vec<AuthorizationId>),
}

impl Facts {
    /// The ids of the authorizations, one for each name in the same order.
    pub fn authorizations(&self) -> Vec<AuthorizationId> {
        match &self.authorizations {
            Authorizations::Within(_) => (0..self.identifiers.len())
                .filter_map(|place| u16::try_from(place).ok())
                .map(|place| AuthorizationId::Of { order: self.id, place })
                .collect(),
            Authorizations::Apart(ids) => ids.clone(),
        }
    }

    /// The place of the name that this authorization is for.
    pub(crate) fn place_of(&self, id: AuthorizationId) -> Option<u16> {
        match (&self.authorizations, id) {
            (Authorizations::Within(_), AuthorizationId::Of { order, place }) => {
                (order == self.id && usize::from(place) < self.identifiers.len()).then_some(place)
            }
            (Authorizations::Apart(ids), id) => {
                let place = ids.iter().position(|one| *one == id)?;
                u16::try_from(place).ok()
            }
            (Authorizations::Within(_), AuthorizationId::Own(_)) => None,
        }
    }
}
