//! Builds the gateway's own certification requests (RFC 2986).

use const_oid::AssociatedOid;
use der::asn1::{Any, OctetString, SetOfVec};
use der::{AnyRef, Decode, Encode};
use x509_cert::ext::pkix::{SubjectAltName, SubjectKeyIdentifier};
use x509_cert::request::ExtensionReq;

use super::{Attribute, Info, VERSION};
use crate::extensions::{der_name, encode};
use crate::{BuildError, GeneralName, PublicKey, SignatureAlgorithm, Subject, ToBeSigned};

/// What a request shall ask for.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// The key to certify, which also signs the request.
    pub public_key: PublicKey,
    /// The subject's common name; the subject is empty without.
    pub common_name: Option<String>,
    /// The subject alternative names.
    pub names: Vec<GeneralName>,
    /// Whether to ask for the key identifier that certificates here have (RFC 7093 §2, method 1). A CA's
    /// own certificates have to agree in it, since it is by this that others name their issuer.
    pub key_identifier: bool,
}

impl RequestTemplate {
    /// The request's content, to be signed with the key in it.
    ///
    /// # Errors
    /// A value cannot be encoded, or the algorithm is not one for the key.
    pub fn to_be_signed(&self, algorithm: SignatureAlgorithm) -> Result<ToBeSigned, BuildError> {
        if !algorithm.fits(self.public_key.algorithm()) {
            return Err(BuildError::Algorithm(algorithm));
        }
        let mut attributes = SetOfVec::new();
        let mut extensions = Vec::new();
        if !self.names.is_empty() {
            let names = self.names.iter().map(der_name).collect::<der::Result<Vec<_>>>()?;
            let critical = self.common_name.is_none();
            extensions.push(encode(critical, &SubjectAltName(names))?);
        }
        if self.key_identifier {
            let id = OctetString::new(self.public_key.key_id())?;
            extensions.push(encode(false, &SubjectKeyIdentifier(id))?);
        }
        if !extensions.is_empty() {
            let value = Any::encode_from(&ExtensionReq(extensions))?;
            attributes.insert(Attribute {
                oid: ExtensionReq::OID,
                values: SetOfVec::try_from(vec![value])?,
            })?;
        }
        let info = Info {
            version: VERSION,
            subject: Subject::common_name(self.common_name.clone()).to_name()?,
            public_key: AnyRef::from_der(self.public_key.spki_der())?,
            attributes: Some(attributes),
        };
        Ok(ToBeSigned::new(info.to_der()?, algorithm))
    }
}
