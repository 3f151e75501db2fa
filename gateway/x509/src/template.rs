//! Builds the content of a certificate from a template and the facts of its issuer.

use const_oid::db::rfc5280::{ID_AD_CA_ISSUERS, ID_AD_OCSP};
use der::asn1::{IntRef, OctetString};
use der::{AnyRef, Decode, Encode};
use jiff::Timestamp;
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as DerName};
use x509_cert::ext::pkix::{
    AccessDescription, AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints,
    CrlDistributionPoints, ExtendedKeyUsage as DerExtendedKeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::time::Validity;

use crate::certificate::TbsCertificate;
use crate::extensions::{der_name, encode};
use crate::{
    BuildError, ExtendedKeyUsage, ExtraExtension, GeneralName, KeyUsage, KeyUsages,
    NameConstraints, ParsedCertificate, PublicKey, Serial,
};
use crate::{SignatureAlgorithm, Subject, ToBeSigned, time};

/// What a certificate shall say. The issuer adds its name and key identifier.
#[derive(Debug, Clone)]
pub struct Template {
    /// The serial number, new for each certificate.
    pub serial: Serial,
    /// The subject's name.
    pub subject: Subject,
    /// Subject alternative names in the order in which they will stand.
    pub names: Vec<GeneralName>,
    /// The key to certify.
    pub public_key: PublicKey,
    /// What the key may be used for.
    pub key_usages: KeyUsages,
    /// What the certificate is for; the extension is left out if empty.
    pub extended_key_usages: Vec<ExtendedKeyUsage>,
    /// Further extensions, each kind at most once.
    pub extra: Vec<ExtraExtension>,
    /// First moment of validity; fractions of seconds are dropped.
    pub not_before: Timestamp,
    /// Last second of validity, inclusive: 90 days from midnight end at 23:59:59.
    pub not_after: Timestamp,
    /// Leaf or CA.
    pub kind: Kind,
    /// Which names may stand in certificates below; of a CA only, and none mostly.
    pub name_constraints: NameConstraints,
    /// The name and key identifier of a CA that has them already and is certified once more
    /// (cross-certified): they replace `subject` and what would be made of the key.
    pub certified_before: Option<CertifiedBefore>,
    /// Where the issuer's CRL is (`http:`, RFC 5280 §4.2.1.13).
    pub crl_url: Option<String>,
    /// Where the issuer's own certificate is (`http:`, RFC 5280 §4.2.2.1).
    pub issuer_url: Option<String>,
    /// Where the issuer's OCSP responder is (`http:`, RFC 5280 §4.2.2.1).
    pub ocsp_url: Option<String>,
}

/// Leaf or CA (RFC 5280 §4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// CA:FALSE.
    Leaf,
    /// CA:TRUE.
    Ca {
        /// How many further CAs may follow in a chain; no limit if none.
        path_length: Option<u8>,
    },
}

/// What a further certificate for a CA takes over from the one that it has, so that chains go through
/// either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedBefore {
    subject_der: Vec<u8>,
    key_id: Vec<u8>,
}

impl CertifiedBefore {
    /// The name and key identifier in a CA's certificate.
    ///
    /// # Errors
    /// It is no CA certificate, or has no key identifier.
    pub fn of(certificate: &ParsedCertificate) -> Result<Self, BuildError> {
        let issuer = Issuer::from_certificate(certificate)?;
        Ok(Self { subject_der: issuer.name_der, key_id: issuer.key_id })
    }
}

/// What a certificate or CRL takes over from its issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) name_der: Vec<u8>,
    pub(crate) key_id: Vec<u8>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) public_key: PublicKey,
    pub(crate) key_usages: Option<KeyUsages>,
    pub(crate) path_length: Option<u8>,
}

impl Issuer {
    /// The facts of an existing CA.
    ///
    /// # Errors
    /// It is no CA certificate, has no subject key identifier or a key not supported here.
    pub fn from_certificate(certificate: &ParsedCertificate) -> Result<Self, BuildError> {
        if !certificate.is_ca() {
            return Err(BuildError::Issuer("it is not a CA certificate"));
        }
        if !certificate.key_usages().is_none_or(|usages| usages.contains(KeyUsage::KeyCertSign)) {
            return Err(BuildError::Issuer("its key usage does not include signing certificates"));
        }
        let key_id = certificate.subject_key_id().and_then(|id| hex::decode(id).ok());
        Ok(Self {
            name_der: certificate.subject_der().to_vec(),
            key_id: key_id.ok_or(BuildError::Issuer("it has no subject key identifier"))?,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            public_key: certificate
                .public_key()
                .map_err(|_| BuildError::Issuer("its key is not of a supported kind"))?
                .clone(),
            key_usages: certificate.key_usages(),
            path_length: certificate.path_length(),
        })
    }

    /// The facts of a root that is about to sign itself.
    ///
    /// # Errors
    /// The subject cannot be encoded.
    pub fn self_signed(template: &Template) -> Result<Self, BuildError> {
        Ok(Self {
            name_der: template.subject.to_name()?.to_der()?,
            key_id: template.public_key.key_id().to_vec(),
            not_before: time::whole_seconds(template.not_before),
            not_after: time::whole_seconds(template.not_after),
            public_key: template.public_key.clone(),
            key_usages: Some(template.key_usages),
            path_length: None,
        })
    }

    /// The issuer's key identifier in lower-case hex.
    pub fn key_id_hex(&self) -> String {
        hex::encode(&self.key_id)
    }

    /// First moment of the issuer's own validity.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Last second of the issuer's own validity.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The key that signs.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

impl Template {
    /// The certificate's content. Building says nothing about whether it is a good certificate:
    /// [lint](crate::lint::certificate) it before signing.
    ///
    /// # Errors
    /// A value cannot be encoded, or the algorithm does not fit the issuer's key.
    pub fn build(
        &self,
        issuer: &Issuer,
        algorithm: SignatureAlgorithm,
    ) -> Result<ToBeSigned, BuildError> {
        if !algorithm.fits(issuer.public_key.algorithm()) {
            return Err(BuildError::Algorithm(algorithm));
        }
        let not_before = time::to_der(self.not_before).ok_or(BuildError::Time(self.not_before))?;
        let not_after = time::to_der(self.not_after).ok_or(BuildError::Time(self.not_after))?;
        let subject = match &self.certified_before {
            Some(before) => before.subject_der.clone(),
            None => self.subject.to_name()?.to_der()?,
        };
        let serial = serial_bytes(&self.serial);
        let tbs = TbsCertificate {
            version: Version::V3,
            serial: IntRef::new(&serial)?,
            signature: AnyRef::from_der(algorithm.algorithm_identifier())?,
            issuer: AnyRef::from_der(&issuer.name_der)?,
            validity: Validity::new(not_before, not_after),
            subject: AnyRef::from_der(&subject)?,
            public_key: AnyRef::from_der(self.public_key.spki_der())?,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions(issuer)?),
        };
        Ok(ToBeSigned::new(tbs.to_der()?, algorithm))
    }

    fn extensions(&self, issuer: &Issuer) -> Result<Vec<Extension>, der::Error> {
        let mut list = Vec::with_capacity(9);
        let (ca, path_len_constraint) = match self.kind {
            Kind::Leaf => (false, None),
            Kind::Ca { path_length } => (true, path_length),
        };
        list.push(encode(true, &BasicConstraints { ca, path_len_constraint })?);
        if let Some(usages) = self.key_usages.to_der() {
            list.push(encode(true, &usages)?);
        }
        if !self.extended_key_usages.is_empty() {
            let purposes = self.extended_key_usages.iter().map(|usage| usage.oid()).collect();
            list.push(encode(false, &DerExtendedKeyUsage(purposes))?);
        }
        let key_id = match &self.certified_before {
            Some(before) => OctetString::new(before.key_id.as_slice())?,
            None => OctetString::new(self.public_key.key_id())?,
        };
        list.push(encode(false, &SubjectKeyIdentifier(key_id))?);
        list.push(authority_key_identifier(issuer)?);
        if !self.names.is_empty() {
            let names = self.names.iter().map(der_name).collect::<der::Result<Vec<_>>>()?;
            // RFC 5280 §4.2.1.6: critical exactly if the subject is empty.
            let critical = self.subject == Subject::default();
            list.push(encode(critical, &SubjectAltName(names))?);
        }
        if let Some(url) = &self.crl_url {
            let names = DistributionPointName::FullName(vec![url_name(url)?]);
            let point = DistributionPoint {
                distribution_point: Some(names),
                reasons: None,
                crl_issuer: None,
            };
            list.push(encode(false, &CrlDistributionPoints(vec![point]))?);
        }
        let access = |access_method, url: &Option<String>| {
            let url = url.as_deref()?;
            Some(
                url_name(url)
                    .map(|access_location| AccessDescription { access_method, access_location }),
            )
        };
        let places =
            [access(ID_AD_OCSP, &self.ocsp_url), access(ID_AD_CA_ISSUERS, &self.issuer_url)];
        let places = places.into_iter().flatten().collect::<der::Result<Vec<_>>>()?;
        if !places.is_empty() {
            list.push(encode(false, &AuthorityInfoAccessSyntax(places))?);
        }
        if !self.name_constraints.is_empty() {
            list.push(self.name_constraints.to_extension()?);
        }
        for extra in &self.extra {
            list.push(extra.to_extension()?);
        }
        Ok(list)
    }
}

pub(crate) fn authority_key_identifier(issuer: &Issuer) -> der::Result<Extension> {
    let id = AuthorityKeyIdentifier {
        key_identifier: Some(OctetString::new(issuer.key_id.as_slice())?),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    encode(false, &id)
}

/// The contents of a DER INTEGER: no superfluous zero bytes, but one before a set sign bit.
pub(crate) fn serial_bytes(serial: &Serial) -> Vec<u8> {
    let bytes = serial.as_bytes();
    let start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len().saturating_sub(1));
    let significant = bytes.get(start..).unwrap_or_default();
    let sign = significant.first().is_some_and(|first| first & 0x80 != 0).then_some(0);
    sign.into_iter().chain(significant.iter().copied()).collect()
}

fn url_name(url: &str) -> der::Result<DerName> {
    der_name(&GeneralName::Uri(url.to_owned()))
}
