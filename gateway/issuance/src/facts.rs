//! Turns a certificate request into the facts that certificate policies see.

use std::time::Duration;

use chancery_policy::{
    CertificateFacts, Extension, KeyFacts, Name, ValidatedName, context_attributes,
};
use chancery_x509::{GeneralName, KeyAlgorithm, PublicKey, RequestedExtension};

use crate::{IssuanceRequest, IssueError, Requester};

/// What the certificate policies are told of a request.
///
/// # Errors
/// It asks for names that are none.
pub fn certificate_facts(
    request: &IssuanceRequest,
    validity: Option<Duration>,
) -> Result<CertificateFacts, IssueError> {
    // Clients put names into the common name, the alternative names or both.
    let requested = request.csr.requested_names()?;
    let identity = match &request.requester {
        Requester::Identity(identity) => Some(identity.to_string()),
        Requester::AcmeAccount { .. } | Requester::Internal(_) => None,
    };
    Ok(CertificateFacts {
        tenant: request.context.tenant.clone(),
        requester: request.requester.to_string(),
        identity,
        profile: request.profile.clone(),
        key: key(request.csr.public_key()),
        subject: request.csr.subject().to_vec(),
        requested: requested.iter().map(name).collect(),
        validated: request.validated.iter().map(validated).collect(),
        extensions: request.csr.extensions().iter().map(extension).collect(),
        requested_validity: validity,
        attributes: context_attributes(&request.context),
    })
}

fn key(key: &PublicKey) -> KeyFacts {
    let (algorithm, bits) = match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => ("ecdsa-p256", 256),
        KeyAlgorithm::EcdsaP384 => ("ecdsa-p384", 384),
        KeyAlgorithm::EcdsaP521 => ("ecdsa-p521", 521),
        KeyAlgorithm::Rsa { bits } => ("rsa", bits),
        KeyAlgorithm::Ed25519 => ("ed25519", 255),
        // What rules about sizes mean by one: the length of the public key.
        KeyAlgorithm::MlDsa44 => ("ml-dsa-44", 1312 * 8),
        KeyAlgorithm::MlDsa65 => ("ml-dsa-65", 1952 * 8),
        KeyAlgorithm::MlDsa87 => ("ml-dsa-87", 2592 * 8),
    };
    KeyFacts { algorithm: algorithm.to_owned(), bits, fingerprint: hex::encode(key.fingerprint()) }
}

fn extension(asked: &RequestedExtension) -> Extension {
    let RequestedExtension { oid, critical, value } = asked.clone();
    Extension { oid, critical, value }
}

fn name(name: &GeneralName) -> Name {
    Name { kind: name.kind().to_owned(), value: name.value().into_owned() }
}

fn validated(validated: &crate::ValidatedName) -> ValidatedName {
    let Name { kind, value } = name(&validated.name);
    ValidatedName { kind, value, method: validated.method.clone() }
}
