//! One generation of the issuing CA: its key, its chains, its name constraints and its revocations.

use std::sync::Arc;

use chancery_x509::{GeneralName, NameConstraints, ParsedCertificate};
use jiff::Timestamp;

use crate::authority::Authority;
use crate::chain::check_chain;
use crate::crl::IssuingCrls;
use crate::record::{self, GenerationRecord, Records};
use crate::revocation::Revocations;
use crate::{CaConfig, OpenError};

/// One generation of the issuing CA: a key with its certificates, and what was revoked of what it issued.
pub(crate) struct IssuingCa {
    pub(crate) authority: Authority,
    /// What is sent after a leaf: its certificate and those above it, in DER, without the root.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Further chains, to other roots.
    pub(crate) alternates: Vec<Alternate>,
    /// The name constraints of the whole chain.
    constraints: Vec<NameConstraints>,
    /// The key identifier of its root.
    pub(crate) root_id: String,
    /// Whether its key is there. Somebody may have destroyed the key of one that issues no more: it then
    /// has no CRL any longer, but what it revoked stays revoked here.
    pub(crate) signs: bool,
    pub(crate) revocations: Revocations,
    pub(crate) crls: Arc<IssuingCrls>,
}

/// A chain to another root.
pub(crate) struct Alternate {
    /// As [`IssuingCa::chain`].
    pub(crate) chain: Vec<Vec<u8>>,
    /// When the first of its certificates ends.
    pub(crate) not_after: Timestamp,
}

impl Alternate {
    fn of(hex: &[String]) -> Result<Self, OpenError> {
        let (mut chain, mut not_after) = (Vec::with_capacity(hex.len()), Timestamp::MAX);
        for one in hex {
            let der = record::certificate(one)?;
            not_after = not_after.min(ParsedCertificate::from_der(&der)?.not_after());
            chain.push(der);
        }
        Ok(Self { chain, not_after })
    }
}

impl IssuingCa {
    pub(crate) async fn open(
        config: &CaConfig,
        records: &Records,
        generation: &GenerationRecord,
        root: (&str, &ParsedCertificate),
    ) -> Result<Self, OpenError> {
        let (root_id, root) = root;
        let authority = Authority::from_record(&generation.issuing)?;
        let mut above = Vec::with_capacity(generation.above.len());
        for certificate in &generation.above {
            above.push(ParsedCertificate::from_der(&record::certificate(certificate)?)?);
        }
        let mut whole = vec![authority.certificate()];
        whole.extend(&above);
        whole.push(root);
        check_chain(&whole)?;
        for one in &whole {
            // Such a chain is not installed any more, but may have been.
            if let Err(error) = NameConstraints::check_judged(one) {
                let certificate = one.subject_common_name();
                tracing::warn!(certificate, %error, "certificates of this CA may be refused");
            }
        }
        let constraints = whole.iter().map(|one| NameConstraints::of(one));
        let constraints = constraints.collect::<Result<Vec<_>, _>>();
        let constraints = constraints
            .map_err(|_| OpenError::Mismatch("the name constraints in the chain are malformed"))?;
        let chain = whole.iter().take(whole.len() - 1).map(|one| one.der().to_vec()).collect();
        let crls = Arc::new(IssuingCrls::open(config, records, authority.id()).await?);
        Ok(Self {
            chain,
            alternates: generation
                .alternates
                .iter()
                .map(|hex| Alternate::of(hex))
                .collect::<Result<_, _>>()?,
            constraints: constraints.into_iter().filter(|one| !one.is_empty()).collect(),
            root_id: root_id.to_owned(),
            signs: true,
            revocations: Revocations::open(records, authority.id(), crls.clone()).await?,
            crls,
            authority,
        })
    }

    /// The key identifier in lower-case hex.
    pub(crate) fn id(&self) -> &str {
        self.authority.id()
    }

    /// The first name that a CA of the chain does not allow below it.
    pub(crate) fn refused_name<'a>(&self, names: &'a [GeneralName]) -> Option<&'a GeneralName> {
        names.iter().find(|name| !self.constraints.iter().all(|one| one.allow(name)))
    }
}
