//! The certificate that is being looked at.

use x509_cert::certificate::{Rfc5280, TbsCertificateInner};
use x509_cert::ext::Extension;

use crate::{Issuer, Kind, PublicKey};

/// What the other lints need to know of the certificate at hand.
pub(super) struct Context<'a> {
    pub(super) tbs: &'a TbsCertificateInner<Rfc5280>,
    pub(super) issuer: &'a Issuer,
    pub(super) kind: Kind,
    pub(super) public_key: &'a PublicKey,
}

impl Context<'_> {
    pub(super) fn extensions(&self) -> &[Extension] {
        self.tbs.extensions().map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self.kind, Kind::Ca { .. })
            && self.issuer.public_key == *self.public_key
            && self.tbs.subject() == self.tbs.issuer()
    }
}
