use std::sync::Arc;
use std::time::Duration;

use chancery_ca::{
    Ca, CaConfig, CaKeys, OpenError, Parent, ProposedCertificate, RevokedCertificate,
};
use chancery_keys::software::{SoftwareSigner, generate};
use chancery_keys::{KeyName, KeyType};
use chancery_store::memory::MemoryStore;
use chancery_store::{SharedStore, Store};
use chancery_x509::{
    ExtendedKeyUsage, GeneralName, KeyUsage, KeyUsages, PublicKey, RevocationReason, Serial,
    Subject,
};
use der::Decode;
use jiff::Timestamp;
use x509_cert::crl::CertificateList;
use x509_cert::ext::pkix::CrlNumber;

pub(crate) const DAY: Duration = Duration::from_hours(24);

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When most tests begin.
pub(crate) fn start() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

pub(crate) fn config() -> CaConfig {
    CaConfig {
        name: "private".to_owned(),
        parent: Parent::OwnRoot,
        key_type: KeyType::EcdsaP256,
        root_common_name: "Test Root CA".to_owned(),
        issuing_common_name: "Test Issuing CA".to_owned(),
        root_validity: DAY * 3650,
        issuing_validity: DAY * 1825,
        crl_validity: DAY,
        crl_shards: 1,
        delta_crl_validity: None,
        shared: false,
        crl_url_base: "http://127.0.0.1:8080/crl".to_owned(),
        issuer_url_base: "http://127.0.0.1:8080/issuers".to_owned(),
        ocsp_url_base: None,
    }
}

/// A CA with software keys, and what it stands on.
pub(crate) struct Software {
    pub(crate) ca: Arc<Ca>,
    pub(crate) store: MemoryStore,
    pub(crate) signer: Arc<SoftwareSigner>,
}

impl Software {
    pub(crate) async fn first_start() -> Self {
        Self::start(config(), MemoryStore::new(), start()).await.unwrap()
    }

    /// A start with whatever the store holds already, in a new process as it were.
    pub(crate) async fn start(
        config: CaConfig,
        store: MemoryStore,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let signer = Arc::new(SoftwareSigner::new());
        let ca = open(config, Arc::new(store.clone()), &signer, now).await?;
        Ok(Self { ca, store, signer })
    }

    pub(crate) async fn restart(self, now: Timestamp) -> Self {
        Self::start(config(), self.store, now).await.unwrap()
    }

    /// The names of the keys that are stored: the issuing key's and the root's.
    pub(crate) async fn stored_keys(&self) -> (KeyName, KeyName) {
        let records = self.store.scan(b"_/ca/key/", None, 10).await.unwrap();
        let mut names: Vec<KeyName> = records
            .iter()
            .map(|record| record.key.to_string().rsplit('/').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        names.sort();
        let root = names.pop().unwrap();
        (names.pop().unwrap(), root)
    }
}

pub(crate) async fn open(
    config: CaConfig,
    store: SharedStore,
    signer: &Arc<SoftwareSigner>,
    now: Timestamp,
) -> Result<Arc<Ca>, OpenError> {
    Ca::open(config, store, CaKeys::Software(Arc::clone(signer)), now).await
}

/// A new key's public half.
pub(crate) fn public_key(key_type: KeyType) -> PublicKey {
    let key = generate(key_type).unwrap();
    SoftwareSigner::new().insert_pkcs8("k".parse().unwrap(), key).unwrap()
}

/// A server's certificate as it is usually proposed, from [`start`] for 90 days.
pub(crate) fn proposal() -> ProposedCertificate {
    ProposedCertificate {
        public_key: public_key(KeyType::EcdsaP256),
        subject: Subject::common_name(Some("www.example.com".to_owned())),
        names: vec![GeneralName::dns("www.example.com").unwrap()],
        key_usages: KeyUsages::NONE.with(KeyUsage::DigitalSignature),
        extended_key_usages: vec![ExtendedKeyUsage::ServerAuth],
        extra: vec![],
        not_before: start(),
        not_after: start() + DAY * 90 - Duration::from_secs(1),
    }
}

/// The revocation of a certificate like those of [`proposal`].
pub(crate) fn revoked(
    ca: &Ca,
    serial: Serial,
    reason: RevocationReason,
    at: Timestamp,
) -> RevokedCertificate {
    let (issuer, not_after) = (ca.issuer_id().to_owned(), proposal().not_after);
    RevokedCertificate { issuer, serial, not_after, reason, at }
}

/// What a CRL says: its number and the revoked serial numbers with their reasons' codes.
pub(crate) struct ReadCrl {
    pub(crate) number: u64,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
    pub(crate) revoked: Vec<String>,
}

pub(crate) fn read_crl(der: &[u8]) -> ReadCrl {
    let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der).unwrap();
    let tbs = list.tbs_cert_list;
    let extension = tbs
        .crl_extensions
        .iter()
        .flatten()
        .find(|extension| extension.extn_id.to_string() == "2.5.29.20")
        .unwrap();
    let number = CrlNumber::from_der(extension.extn_value.as_bytes()).unwrap();
    let number = number.0.as_bytes().iter().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
    let seconds = |time: x509_cert::time::Time| {
        Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).unwrap()).unwrap()
    };
    ReadCrl {
        number,
        this_update: seconds(tbs.this_update),
        next_update: seconds(tbs.next_update.unwrap()),
        revoked: tbs
            .revoked_certificates
            .unwrap_or_default()
            .iter()
            .map(|entry| {
                chancery_x509::Serial::from_be_bytes(entry.serial_number.as_bytes())
                    .unwrap()
                    .to_string()
            })
            .collect(),
    }
}
