//! Foreign CRLs (RFC 5280 §5): parsed once for look-ups, and usable only after verification.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_CERTIFICATE_ISSUER, ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS, ID_CE_DELTA_CRL_INDICATOR,
    ID_CE_ISSUING_DISTRIBUTION_POINT,
};
use der::asn1::{IntRef, OctetStringRef};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use jiff::Timestamp;
use x509_cert::ext::pkix::IssuingDistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName as DerName};
use x509_cert::time::Time;

use crate::signed::Signed;
use crate::{KeyUsage, ParsedCertificate, Serial, time};

/// `removeFromCRL` (RFC 5280 §5.3.1): the certificate is no longer on hold.
const REMOVE_FROM_CRL: u8 = 8;

/// How many extensions a CRL, or an entry of one, has at most.
const MOST_EXTENSIONS: usize = 32;

/// A CRL whose signature is not verified yet. Its content is not accessible.
#[derive(Debug)]
pub struct UnverifiedList {
    der: Vec<u8>,
    list: RevocationList,
}

/// A CRL that its issuer signed: a complete one, for all reasons, of the issuer's own certificates.
#[derive(Debug)]
pub struct RevocationList {
    issuer_der: Vec<u8>,
    this_update: Timestamp,
    next_update: Timestamp,
    number: Option<Serial>,
    scope: ListScope,
    /// Sorted. Serial numbers that no certificate can have here are left out.
    revoked: Vec<Serial>,
}

/// Which of its issuer's certificates a CRL is about (RFC 5280 §5.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListScope {
    only_users: bool,
    only_cas: bool,
    /// Only certificates that name one of these distribution points, if there are any.
    points: Vec<String>,
}

/// Why a CRL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The DER is broken.
    #[error("it is not the DER of a CRL: {0}")]
    Malformed(der::Error),
    /// The two fields that name the signature's algorithm differ (RFC 5280 §5.1.1.2).
    #[error("it names two different signature algorithms")]
    AlgorithmMismatch,
    /// It does not say when it is out of date (RFC 5280 §5.1.2.5).
    #[error("it does not say when the next one comes (nextUpdate)")]
    NoNextUpdate,
    /// A time that cannot be represented.
    #[error("a time in it is not a possible time")]
    Time,
    /// It lists only changes.
    #[error(
        "it is a delta CRL, which says only what changed since another one: name the complete CRL"
    )]
    Delta,
    /// It is about other issuers' certificates.
    #[error(
        "it is an indirect CRL, with certificates of other issuers than its own, which is not supported"
    )]
    Indirect,
    /// It leaves out some reasons, so a certificate that is not listed may still be revoked.
    #[error(
        "it is only about some reasons for revocation (onlySomeReasons), so that a certificate that is not \
         in it may be revoked all the same"
    )]
    SomeReasons,
    /// It is about attribute certificates.
    #[error("it is only about attribute certificates")]
    AttributeCertificates,
    /// It is about some certificates only, and names them in a way that is not known here.
    #[error("it names its distribution point by something else than a URL")]
    DistributionPoint,
    /// A critical extension that is not understood here.
    #[error("it has the critical extension {0}, which is not known here")]
    CriticalExtension(ObjectIdentifier),
    /// The same in an entry (RFC 5280 §5.3).
    #[error("an entry of it has the critical extension {0}, which is not known here")]
    CriticalEntryExtension(ObjectIdentifier),
    /// An extension appears twice.
    #[error("its extension {0} appears more than once")]
    Duplicate(ObjectIdentifier),
}

/// Why a CRL is not this CA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTheIssuers {
    /// It names another issuer.
    #[error("it names another issuer")]
    Name,
    /// The CA may not sign CRLs (RFC 5280 §4.2.1.3).
    #[error("the key usage of the CA that it names lacks cRLSign")]
    KeyUsage,
    /// The CA's key did not make the signature.
    #[error("its signature is not of the CA that it names")]
    Signature,
}

impl UnverifiedList {
    /// Reads a CRL in DER. Time and memory grow with its length: a million entries take half a second and 20
    /// MB.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn from_der(der: Vec<u8>) -> Result<Self, ListError> {
        let signed = Signed::from_der(&der).map_err(ListError::Malformed)?;
        let list = read(signed.content, signed.algorithm)?;
        Ok(Self { der, list })
    }

    /// The DER of the name of the issuer that it claims.
    pub fn issuer_der(&self) -> &[u8] {
        &self.list.issuer_der
    }

    /// The CRL as it was read.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CRL and its DER, if this CA signed it; otherwise the unverified CRL again and the reason why it is
    /// not this CA's, so that another CA can be tried.
    ///
    /// # Errors
    /// See [`NotTheIssuers`].
    pub fn verified_by(
        self,
        issuer: &ParsedCertificate,
    ) -> Result<(RevocationList, Vec<u8>), (Box<Self>, NotTheIssuers)> {
        match self.verify(issuer) {
            Ok(()) => Ok((self.list, self.der)),
            Err(why) => Err((Box::new(self), why)),
        }
    }

    fn verify(&self, issuer: &ParsedCertificate) -> Result<(), NotTheIssuers> {
        if issuer.subject_der() != self.list.issuer_der {
            return Err(NotTheIssuers::Name);
        }
        if issuer.key_usages().is_some_and(|all| !all.contains(KeyUsage::CrlSign)) {
            return Err(NotTheIssuers::KeyUsage);
        }
        let key = issuer.public_key().map_err(|_| NotTheIssuers::Signature)?;
        let signed = Signed::from_der(&self.der).map_err(|_| NotTheIssuers::Signature)?;
        key.verify_identified(signed.algorithm, signed.content, signed.signature)
            .map_err(|_| NotTheIssuers::Signature)
    }
}

impl RevocationList {
    /// When it was made.
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// The latest time at which the next one is there.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// The CRL number, if it has one.
    pub fn number(&self) -> Option<&Serial> {
        self.number.as_ref()
    }

    /// Which certificates it is about.
    pub fn scope(&self) -> &ListScope {
        &self.scope
    }

    /// How many certificates are revoked.
    pub fn len(&self) -> usize {
        self.revoked.len()
    }

    /// Whether no certificate is revoked.
    pub fn is_empty(&self) -> bool {
        self.revoked.is_empty()
    }

    /// Whether the certificate with this number is revoked. A certificate on hold is.
    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.revoked.binary_search(serial).is_ok()
    }

    /// Whether the issuer made this CRL before `other`, which has the same issuer and scope: by its number,
    /// or by its time if one of them has no number or they are equal.
    pub fn is_older_than(&self, other: &Self) -> bool {
        match (&self.number, &other.number) {
            (Some(number), Some(others)) if number != others => number < others,
            _ => self.this_update < other.this_update,
        }
    }
}

impl ListScope {
    /// Whether the CRL is about a certificate of this kind: a CA's or not, with these URLs as its CRL
    /// distribution points.
    pub fn covers(&self, is_ca: bool, points: &[String]) -> bool {
        let kind = if is_ca { !self.only_users } else { !self.only_cas };
        kind && (self.points.is_empty() || self.points.iter().any(|point| points.contains(point)))
    }
}

/// `TBSCertList` (RFC 5280 §5.1.2).
fn read(content: &[u8], algorithm: &[u8]) -> Result<RevocationList, ListError> {
    let mut reader = SliceReader::new(content).map_err(ListError::Malformed)?;
    let list = reader.sequence(|list| {
        // A CRL of version 1 does not say so, and has no extensions.
        if Tag::peek(list)? == Tag::Integer {
            let version = u8::decode(list)?;
            if version != 1 {
                return Err(der::Error::from(Tag::Integer.value_error()).into());
            }
        }
        if list.tlv_bytes()? != algorithm {
            return Err(ListError::AlgorithmMismatch);
        }
        let issuer_der = list.tlv_bytes()?.to_vec();
        let this_update = moment(list)?;
        let next_update = match next_tag(list)? {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => moment(list)?,
            _ => return Err(ListError::NoNextUpdate),
        };
        let mut revoked = vec![];
        if next_tag(list)? == Some(Tag::Sequence) {
            list.sequence(|entries| {
                while !entries.is_finished() {
                    revoked.extend(entry(entries)?);
                }
                Ok::<_, ListError>(())
            })?;
        }
        revoked.sort_unstable();
        revoked.dedup();
        revoked.shrink_to_fit();
        let (mut number, mut scope) = (None, ListScope::default());
        if !list.is_finished() {
            explicit(list, TagNumber(0), |inner| {
                extensions(inner, |oid, critical, value| match oid {
                    ID_CE_CRL_NUMBER => {
                        number = Some(crl_number(value)?);
                        Ok(())
                    }
                    ID_CE_DELTA_CRL_INDICATOR => Err(ListError::Delta),
                    ID_CE_ISSUING_DISTRIBUTION_POINT => {
                        scope = scope_in(value)?;
                        Ok(())
                    }
                    other if critical => Err(ListError::CriticalExtension(other)),
                    _ => Ok(()),
                })
            })?;
        }
        Ok(RevocationList { issuer_der, this_update, next_update, number, scope, revoked })
    })?;
    reader.finish().map_err(ListError::Malformed)?;
    Ok(list)
}

/// One revoked certificate; none if it is no longer revoked, or if no certificate here can have this number.
fn entry(entries: &mut SliceReader<'_>) -> Result<Option<Serial>, ListError> {
    entries.sequence(|entry| {
        let number = IntRef::decode(entry)?;
        let _revoked_at = Time::decode(entry)?;
        let mut removed = false;
        if !entry.is_finished() {
            extensions(entry, |oid, critical, value| match oid {
                ID_CE_CRL_REASONS => {
                    // ENUMERATED, of one byte.
                    removed = value == [0x0a, 1, REMOVE_FROM_CRL];
                    Ok(())
                }
                ID_CE_CERTIFICATE_ISSUER => Err(ListError::Indirect),
                other if critical => Err(ListError::CriticalEntryExtension(other)),
                _ => Ok(()),
            })?;
        }
        let bytes = number.as_bytes();
        let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        if removed || negative {
            return Ok(None);
        }
        Ok(Serial::from_be_bytes(bytes).ok())
    })
}

/// Calls `each` with the identifier, criticality and value of every extension in a list.
fn extensions<'a>(
    reader: &mut SliceReader<'a>,
    mut each: impl FnMut(ObjectIdentifier, bool, &'a [u8]) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let mut seen: Vec<ObjectIdentifier> = vec![];
    reader.sequence(|list| {
        while !list.is_finished() {
            let (oid, critical, value) = list.sequence(|one| {
                let oid = ObjectIdentifier::decode(one)?;
                let critical =
                    if Tag::peek(one)? == Tag::Boolean { bool::decode(one)? } else { false };
                let value = <&OctetStringRef>::decode(one)?.as_bytes();
                Ok::<_, der::Error>((oid, critical, value))
            })?;
            if seen.contains(&oid) {
                return Err(ListError::Duplicate(oid));
            }
            if seen.len() == MOST_EXTENSIONS {
                return Err(der::Error::from(Tag::Sequence.length_error()).into());
            }
            seen.push(oid);
            each(oid, critical, value)?;
        }
        Ok(())
    })
}

fn scope_in(value: &[u8]) -> Result<ListScope, ListError> {
    let point = IssuingDistributionPoint::from_der(value).map_err(ListError::Malformed)?;
    if point.indirect_crl {
        return Err(ListError::Indirect);
    }
    if point.only_contains_attribute_certs {
        return Err(ListError::AttributeCertificates);
    }
    if point.only_some_reasons.is_some() {
        return Err(ListError::SomeReasons);
    }
    let mut points = vec![];
    match point.distribution_point {
        None => {}
        Some(DistributionPointName::FullName(names)) => {
            points.extend(names.iter().filter_map(|name| match name {
                DerName::UniformResourceIdentifier(url) => Some(url.as_str().to_owned()),
                _ => None,
            }));
            if points.is_empty() {
                return Err(ListError::DistributionPoint);
            }
        }
        Some(DistributionPointName::NameRelativeToCRLIssuer(_)) => {
            return Err(ListError::DistributionPoint);
        }
    }
    Ok(ListScope {
        only_users: point.only_contains_user_certs,
        only_cas: point.only_contains_ca_certs,
        points,
    })
}

fn crl_number(value: &[u8]) -> Result<Serial, ListError> {
    let number = IntRef::from_der(value).map_err(ListError::Malformed)?;
    let bytes = number.as_bytes();
    let malformed = || ListError::Malformed(Tag::Integer.value_error().into());
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        return Err(malformed());
    }
    Serial::from_be_bytes(bytes).map_err(|_| malformed())
}

fn moment(reader: &mut SliceReader<'_>) -> Result<Timestamp, ListError> {
    time::from_der(&Time::decode(reader)?).ok_or(ListError::Time)
}

fn next_tag(reader: &SliceReader<'_>) -> Result<Option<Tag>, ListError> {
    if reader.is_finished() { Ok(None) } else { Ok(Some(Tag::peek(reader)?)) }
}

/// The content of an explicit tag.
fn explicit<'a>(
    reader: &mut SliceReader<'a>,
    number: TagNumber,
    inner: impl FnOnce(&mut SliceReader<'a>) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let any = der::asn1::AnyRef::decode(reader)?;
    if any.tag() != (Tag::ContextSpecific { constructed: true, number }) {
        return Err(der::Error::from(any.tag().value_error()).into());
    }
    let mut content = SliceReader::new(any.value()).map_err(ListError::Malformed)?;
    inner(&mut content)?;
    content.finish().map_err(ListError::Malformed)
}

impl From<der::Error> for ListError {
    fn from(error: der::Error) -> Self {
        Self::Malformed(error)
    }
}
