//! The root of a CA, with or without its private key.

use chancery_keys::KeyName;
use chancery_x509::{Issuer, ParsedCertificate};

use crate::OpenError;
use crate::authority::Authority;
use crate::crl::RootCrl;
use crate::record::{self, RootRecord};

/// What relying parties trust. Its key may be elsewhere.
pub(crate) struct Root {
    certificate: ParsedCertificate,
    id: String,
    /// The key, if it is here, and the CRL that it signs.
    own: Option<(Authority, RootCrl)>,
}

impl Root {
    pub(crate) fn from_record(record: &RootRecord) -> Result<Self, OpenError> {
        let der = record::certificate(&record.certificate)?;
        let certificate = ParsedCertificate::from_der(&der)?;
        let id = Issuer::from_certificate(&certificate)?.key_id_hex();
        let own = record.key.as_ref().map(|key: &KeyName| {
            Ok::<_, OpenError>((Authority::new(key.clone(), &der)?, RootCrl::new(&id)))
        });
        Ok(Self { own: own.transpose()?, certificate, id })
    }

    pub(crate) fn certificate(&self) -> &ParsedCertificate {
        &self.certificate
    }

    /// The key identifier in lower-case hex.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn own(&self) -> Option<&(Authority, RootCrl)> {
        self.own.as_ref()
    }
}
