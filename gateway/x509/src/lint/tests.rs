//! Each lint is shown a certificate or CRL with exactly the fault that it is there for.

use std::time::Duration;

use der::asn1::AnyRef;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage as DerExtendedKeyUsage};

use crate::certificate::TbsCertificate;
use crate::extensions::encode;
use crate::testing::{TestKey, at, leaf_template, root, root_template, serial};
use crate::{
    CrlScope, CrlTemplate, ExtendedKeyUsage, ExtraExtension, GeneralName, Issuer, KeyUsage,
    KeyUsages, Kind, RevocationReason, RevokedEntry, Serial, SignatureAlgorithm, Subject,
    SubjectAttribute, Template, ToBeSigned, lint,
};

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// A CA to lint against, and a good leaf of it.
struct Fixture {
    issuer: Issuer,
    leaf: Template,
    crl: CrlTemplate,
}

impl Fixture {
    fn new() -> Self {
        let key = TestKey::generate(P256);
        let leaf_key = TestKey::generate(P256).public_key();
        Self {
            issuer: Issuer::from_certificate(&root(&key)).unwrap(),
            leaf: leaf_template(&leaf_key),
            crl: CrlTemplate {
                scope: CrlScope::Complete { delta_url: None },
                number: 7,
                this_update: at("2026-02-01T00:00:00Z"),
                next_update: at("2026-02-08T00:00:00Z"),
                revoked: vec![RevokedEntry {
                    serial: serial(),
                    at: at("2026-01-15T12:00:00Z"),
                    reason: RevocationReason::KeyCompromise,
                }],
            },
        }
    }

    /// The codes of what is wrong with the leaf after a change to its template.
    fn leaf_after(&mut self, change: impl FnOnce(&mut Template)) -> Vec<&'static str> {
        let mut template = self.leaf.clone();
        change(&mut template);
        let content = template.build(&self.issuer, P256).unwrap();
        codes(lint::certificate(&content, &self.issuer, Kind::Leaf))
    }

    /// The same after a change to the certificate's fields that no template can express.
    fn fields_after(&self, change: impl FnOnce(&mut TbsCertificate<'_>)) -> Vec<&'static str> {
        let content = self.leaf.build(&self.issuer, P256).unwrap();
        let mut fields = TbsCertificate::from_der(content.der()).unwrap();
        change(&mut fields);
        let changed = ToBeSigned::new(fields.to_der().unwrap(), P256);
        codes(lint::certificate(&changed, &self.issuer, Kind::Leaf))
    }

    /// The same after a change to the list of extensions.
    fn extensions_after(&self, change: impl FnOnce(&mut Vec<Extension>)) -> Vec<&'static str> {
        self.fields_after(|fields| change(fields.extensions.as_mut().unwrap()))
    }

    fn ca_after(&self, change: impl FnOnce(&mut Template)) -> Vec<&'static str> {
        let mut template = root_template(&self.leaf.public_key);
        template.kind = Kind::Ca { path_length: Some(0) };
        template.crl_url.clone_from(&self.leaf.crl_url);
        template.issuer_url.clone_from(&self.leaf.issuer_url);
        change(&mut template);
        let content = template.build(&self.issuer, P256).unwrap();
        codes(lint::certificate(&content, &self.issuer, Kind::Ca { path_length: Some(0) }))
    }

    fn crl_after(&self, change: impl FnOnce(&mut CrlTemplate)) -> Vec<&'static str> {
        let mut template = self.crl.clone();
        change(&mut template);
        codes(lint::crl(&template.build(&self.issuer, P256).unwrap(), &self.issuer))
    }
}

fn codes(findings: Vec<lint::Finding>) -> Vec<&'static str> {
    findings.into_iter().map(|finding| finding.code).collect()
}

fn dns(name: &str) -> GeneralName {
    GeneralName::Dns(name.to_owned())
}

fn usages(list: &[KeyUsage]) -> KeyUsages {
    list.iter().copied().collect()
}

#[test]
fn good_certificates_have_no_findings() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.leaf_after(|_| ()), [] as [&str; 0]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.subject = Subject::default()), [] as [&str; 0]);
    assert_eq!(fixture.ca_after(|_| ()), [] as [&str; 0]);
    assert_eq!(fixture.crl_after(|_| ()), [] as [&str; 0]);
    assert_eq!(fixture.crl_after(|crl| crl.revoked.clear()), [] as [&str; 0]);
    let url = "http://127.0.0.1/crl/a.crl".to_owned();
    for scope in [
        CrlScope::Complete { delta_url: Some(url.clone()) },
        CrlScope::Shard { urls: vec![url.clone(), url] },
        CrlScope::Delta { base: 7 },
        CrlScope::Delta { base: 0 },
    ] {
        assert_eq!(
            fixture.crl_after(|crl| crl.scope = scope.clone()),
            [] as [&str; 0],
            "{scope:?}"
        );
    }
    let spiffe = fixture.leaf_after(|leaf| {
        leaf.subject = Subject::default();
        leaf.names = vec![GeneralName::uri("spiffe://a/b").unwrap()];
    });
    assert_eq!(spiffe, [] as [&str; 0]);
    let beyond_2049 = fixture.leaf_after(|leaf| leaf.not_after = at("2052-01-01T00:00:00Z"));
    assert_eq!(beyond_2049, [] as [&str; 0]);

    let template = root_template(&fixture.leaf.public_key);
    let own = Issuer::self_signed(&template).unwrap();
    let content = template.build(&own, P256).unwrap();
    assert_eq!(lint::certificate(&content, &own, template.kind), []);
}

#[test]
fn bytes_that_are_no_certificate() {
    let fixture = Fixture::new();
    let lint_bytes = |der: Vec<u8>| {
        codes(lint::certificate(&ToBeSigned::new(der, P256), &fixture.issuer, Kind::Leaf))
    };
    assert_eq!(lint_bytes(vec![]), ["not-der"]);
    let mut good = fixture.leaf.build(&fixture.issuer, P256).unwrap().der().to_vec();
    good.push(0);
    assert_eq!(lint_bytes(good), ["not-der"]);
}

#[test]
fn serial_numbers() {
    let mut fixture = Fixture::new();
    let serial_of = |bytes: &[u8]| Serial::from_be_bytes(bytes).unwrap();
    assert_eq!(fixture.leaf_after(|leaf| leaf.serial = serial_of(&[1])), ["serial-entropy"]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.serial = serial_of(&[])), ["serial-entropy"]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.serial = serial_of(&[0xff; 20])), ["serial-range"]);
}

#[test]
fn fields_that_no_template_can_get_wrong() {
    let fixture = Fixture::new();
    let other = SignatureAlgorithm::Ed25519.algorithm_identifier();
    let found = fixture.fields_after(|f| f.signature = AnyRef::from_der(other).unwrap());
    assert_eq!(found, ["signature-algorithm"]);
    let empty = AnyRef::from_der(&[0x30, 0]).unwrap();
    assert_eq!(fixture.fields_after(|f| f.issuer = empty), ["issuer-name"]);
    assert_eq!(fixture.fields_after(|f| f.version = x509_cert::Version::V2), ["version"]);
    let bits = der::asn1::BitStringRef::from_bytes(&[1]).unwrap();
    assert_eq!(fixture.fields_after(|f| f.subject_unique_id = Some(bits)), ["unique-id"]);
    let not_a_key = fixture.fields_after(|f| {
        f.public_key =
            AnyRef::from_der(b"\x30\x0a\x30\x05\x06\x03\x2b\x65\x6e\x03\x01\x00").unwrap();
    });
    assert_eq!(not_a_key, ["public-key"]);
}

#[test]
fn the_algorithm_fits_the_issuer_s_key() {
    let fixture = Fixture::new();
    let refused = fixture.leaf.build(&fixture.issuer, SignatureAlgorithm::Ed25519);
    assert!(refused.is_err());
}

#[test]
fn the_issuer_s_own_key() {
    let mut fixture = Fixture::new();
    let key = fixture.issuer.public_key().clone();
    assert_eq!(fixture.leaf_after(|leaf| leaf.public_key = key), ["key-is-issuers"]);
}

#[test]
fn validity() {
    let mut fixture = Fixture::new();
    let day = Duration::from_hours(24);
    let found = fixture.leaf_after(|leaf| leaf.not_after = leaf.not_before - day);
    assert_eq!(found, ["validity"]);
    let begin = fixture.issuer.not_before();
    let found = fixture.leaf_after(|leaf| leaf.not_before = begin - Duration::from_secs(1));
    assert_eq!(found, ["validity-outside-issuer"]);
    let end = fixture.issuer.not_after();
    let found = fixture.leaf_after(|leaf| leaf.not_after = end + Duration::from_secs(1));
    assert_eq!(found, ["validity-outside-issuer"]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.not_after = end), [] as [&str; 0]);
}

#[test]
fn subjects_and_common_names() {
    let mut fixture = Fixture::new();
    let mut with_name = |name: &str| {
        let subject = Subject::common_name(Some(name.to_owned()));
        fixture.leaf_after(|leaf| leaf.subject = subject)
    };
    assert_eq!(with_name("other.example.com"), ["common-name-not-validated"]);
    assert_eq!(with_name("192.0.2.1"), ["common-name-address", "common-name-not-validated"]);
    assert_eq!(with_name(""), ["common-name-length", "common-name-not-validated"]);
    let long = format!("{}.example.com", "a".repeat(60));
    let found = fixture.leaf_after(|leaf| {
        leaf.subject = Subject::common_name(Some(long.clone()));
        leaf.names = vec![dns(&long)];
    });
    assert_eq!(found, ["common-name-length"]);
}

#[test]
fn other_attributes_of_a_subject() {
    use SubjectAttribute::{CommonName, Country, Organization, OrganizationalUnit};
    let mut fixture = Fixture::new();
    let mut with = |attributes: &[(SubjectAttribute, &str)]| {
        let attributes = attributes.iter().map(|(kind, value)| (*kind, (*value).to_owned()));
        let subject = Subject::new(attributes);
        fixture.leaf_after(|leaf| leaf.subject = subject)
    };
    let good = [
        (Country, "DE"),
        (Organization, "Chancery"),
        (OrganizationalUnit, "a"),
        (OrganizationalUnit, "b"),
        (CommonName, "www.example.com"),
    ];
    assert_eq!(with(&good), [] as [&str; 0]);
    assert_eq!(with(&[(Organization, "a"), (Organization, "b")]), ["subject-attributes"]);
    let long = "a".repeat(65);
    for (kind, value) in [
        (Country, "de"),
        (Country, "DEU"),
        (Organization, long.as_str()),
        (Organization, " a"),
        (OrganizationalUnit, "a\u{7}"),
    ] {
        assert_eq!(with(&[(kind, value)]), ["subject-value"], "{value}");
    }
    // An attribute that no template can express: a serial number in the place of the common name.
    let content = fixture.leaf.build(&fixture.issuer, P256).unwrap();
    let (common_name, serial_number) = ([0x55, 0x04, 0x03], [0x55, 0x04, 0x05]);
    let mut der = content.der().to_vec();
    let at = der.windows(3).rposition(|bytes| bytes == common_name).unwrap();
    der[at..at + 3].copy_from_slice(&serial_number);
    let found = lint::certificate(&ToBeSigned::new(der, P256), &fixture.issuer, Kind::Leaf);
    assert_eq!(codes(found), ["subject-attributes"]);
}

#[test]
fn extensions_that_not_every_certificate_has() {
    use ExtraExtension::{MustStaple, OcspNoCheck};
    let mut fixture = Fixture::new();
    let mut with = |purpose: ExtendedKeyUsage, extra: Vec<ExtraExtension>| {
        fixture.leaf_after(|leaf| {
            leaf.extended_key_usages = vec![purpose];
            leaf.extra = extra;
        })
    };
    let policies = ExtraExtension::Policies(vec!["2.23.140.1.2.1".parse().unwrap()]);
    let server = ExtendedKeyUsage::ServerAuth;
    assert_eq!(with(server, vec![policies.clone(), MustStaple]), [] as [&str; 0]);
    assert_eq!(with(ExtendedKeyUsage::OcspSigning, vec![OcspNoCheck]), [] as [&str; 0]);
    assert_eq!(with(server, vec![OcspNoCheck]), ["ocsp-no-check"]);
    assert_eq!(with(ExtendedKeyUsage::ClientAuth, vec![MustStaple]), ["must-staple"]);
    assert_eq!(with(server, vec![MustStaple, MustStaple]), ["extension-twice"]);
    assert_eq!(fixture.ca_after(|ca| ca.extra = vec![policies]), ["extension-extra"]);
    let critical = fixture.extensions_after(|list| {
        list.push(Extension {
            critical: true,
            ..ExtraExtension::MustStaple.to_extension().unwrap()
        });
    });
    assert_eq!(critical, ["extension-extra"]);
}

#[test]
fn alternative_names() {
    let mut fixture = Fixture::new();
    let mut with_names = |names: Vec<GeneralName>| {
        fixture.leaf_after(|leaf| {
            leaf.subject = Subject::default();
            leaf.names = names;
        })
    };
    assert_eq!(with_names(vec![]), ["alternative-names", "server-without-host"]);
    assert_eq!(with_names(vec![dns("a b")]), ["alternative-name"]);
    assert_eq!(with_names(vec![dns("a.b"), dns("a.b")]), ["alternative-name-twice"]);
    let uri = |text: &str| GeneralName::uri(text).unwrap();
    assert_eq!(with_names(vec![uri("https://a/b")]), ["server-without-host"]);
    assert_eq!(with_names(vec![uri("spiffe://a/b"), uri("https://a/b")]), ["spiffe-id-alone"]);
    let found = fixture.extensions_after(|list| {
        let san = list.iter_mut().find(|e| e.extn_id.to_string() == "2.5.29.17").unwrap();
        san.critical = true;
    });
    assert_eq!(found, ["alternative-names-critical"]);
    let found = fixture.extensions_after(|list| {
        let san = list.iter_mut().find(|e| e.extn_id.to_string() == "2.5.29.17").unwrap();
        // One dNSName and one registeredID.
        let names = b"\x30\x17\x82\x0fwww.example.com\x88\x04\x2a\x03\x04\x05";
        san.extn_value = der::asn1::OctetString::new(names.as_slice()).unwrap();
    });
    assert_eq!(found, ["alternative-name-kind"]);
}

#[test]
fn extensions_are_known_and_appear_once() {
    let fixture = Fixture::new();
    let found = fixture.extensions_after(|list| {
        list.push(Extension {
            extn_id: "1.3.6.1.4.1.99999.1".parse().unwrap(),
            critical: false,
            extn_value: der::asn1::OctetString::new([5, 0]).unwrap(),
        });
    });
    assert_eq!(found, ["extension-unknown"]);
    let found = fixture.extensions_after(|list| list.push(list[0].clone()));
    assert!(found.contains(&"extension-twice"), "{found:?}");
}

#[test]
fn a_leaf_is_no_ca() {
    let mut fixture = Fixture::new();
    let found = fixture.leaf_after(|leaf| leaf.kind = Kind::Ca { path_length: None });
    assert_eq!(found, ["leaf-is-ca"]);
    let found = fixture.leaf_after(|leaf| {
        leaf.key_usages = usages(&[KeyUsage::DigitalSignature, KeyUsage::KeyCertSign]);
    });
    assert_eq!(found, ["leaf-signs", "key-usage-unfit"]);
    let without = BasicConstraints { ca: false, path_len_constraint: None };
    let found = fixture.extensions_after(|list| list[0] = encode(false, &without).unwrap());
    assert_eq!(found, ["basic-constraints"]);
}

#[test]
fn key_usages_fit_the_key() {
    let mut fixture = Fixture::new();
    let found = fixture.leaf_after(|leaf| leaf.key_usages = KeyUsages::NONE);
    assert_eq!(found, ["key-usage"]);
    let found = fixture.leaf_after(|leaf| {
        leaf.key_usages = usages(&[KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment]);
    });
    assert_eq!(found, ["key-usage-unfit"]);
    let found = fixture.leaf_after(|leaf| leaf.key_usages = usages(&[KeyUsage::EncipherOnly]));
    assert_eq!(found, ["key-usage-unfit"]);
    let ed25519 = TestKey::generate(SignatureAlgorithm::Ed25519).public_key();
    let found = fixture.leaf_after(|leaf| {
        leaf.public_key = ed25519;
        leaf.key_usages = usages(&[KeyUsage::KeyAgreement]);
    });
    assert_eq!(found, ["key-usage-unfit"]);
    let rsa = TestKey::generate(SignatureAlgorithm::RsaPkcs1Sha256).public_key();
    let found = fixture.leaf_after(|leaf| {
        leaf.public_key = rsa;
        leaf.key_usages = usages(&[KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment]);
    });
    assert_eq!(found, [] as [&str; 0]);
}

#[test]
fn purposes() {
    let mut fixture = Fixture::new();
    let found = fixture.leaf_after(|leaf| leaf.extended_key_usages.clear());
    assert_eq!(found, ["extended-key-usage"]);
    let found = fixture.leaf_after(|leaf| {
        leaf.extended_key_usages = vec![ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::ClientAuth];
    });
    assert_eq!(found, ["extended-key-usage"]);
    let any_purpose = DerExtendedKeyUsage(vec!["2.5.29.37.0".parse().unwrap()]);
    let found = fixture.extensions_after(|list| list[2] = encode(false, &any_purpose).unwrap());
    assert_eq!(found, ["extended-key-usage"]);
}

#[test]
fn key_identifiers_and_locations() {
    let mut fixture = Fixture::new();
    let without = |oid: &str| {
        let oid = oid.to_owned();
        fixture.extensions_after(|list| list.retain(|e| e.extn_id.to_string() != oid))
    };
    assert_eq!(without("2.5.29.14"), ["subject-key-id"]);
    assert_eq!(without("2.5.29.35"), ["authority-key-id"]);
    assert_eq!(without("2.5.29.31"), ["crl-location"]);
    assert_eq!(without("1.3.6.1.5.5.7.1.1"), ["issuer-location"]);
    let https = Some("https://example.com/x.crl".to_owned());
    assert_eq!(fixture.leaf_after(|leaf| leaf.crl_url = https.clone()), ["crl-location"]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.issuer_url = https.clone()), ["issuer-location"]);
    assert_eq!(fixture.leaf_after(|leaf| leaf.ocsp_url = https), ["responder-location"]);
    assert!(fixture.leaf_after(|leaf| leaf.ocsp_url = None).is_empty());
}

#[test]
fn certificates_of_cas() {
    let fixture = Fixture::new();
    let found = fixture.ca_after(|ca| ca.kind = Kind::Ca { path_length: None });
    assert_eq!(found, ["ca-constraints"]);
    let found = fixture.ca_after(|ca| ca.kind = Kind::Leaf);
    assert_eq!(found, ["ca-constraints"]);
    let found = fixture.ca_after(|ca| ca.key_usages = usages(&[KeyUsage::KeyCertSign]));
    assert_eq!(found, ["ca-key-usage"]);
    let found = fixture.ca_after(|ca| ca.subject = Subject::default());
    assert_eq!(found, ["ca-subject"]);
    let found = fixture.ca_after(|ca| ca.names = vec![dns("a.b")]);
    assert_eq!(found, ["ca-alternative-names"]);
    let found = fixture.ca_after(|ca| ca.extended_key_usages = vec![ExtendedKeyUsage::ServerAuth]);
    assert_eq!(found, ["ca-extended-key-usage"]);
}

#[test]
fn the_issuer_s_path_length() {
    let mut fixture = Fixture::new();
    fixture.issuer.path_length = Some(0);
    assert_eq!(fixture.ca_after(|_| ()), ["path-length"]);
    fixture.issuer.path_length = Some(1);
    assert_eq!(fixture.ca_after(|_| ()), [] as [&str; 0]);
}

#[test]
fn a_root_points_nowhere() {
    let key = TestKey::generate(P256).public_key();
    let mut template = root_template(&key);
    template.crl_url = Some("http://a/b".to_owned());
    let own = Issuer::self_signed(&template).unwrap();
    let content = template.build(&own, P256).unwrap();
    assert_eq!(codes(lint::certificate(&content, &own, template.kind)), ["root-locations"]);
}

#[test]
fn crls() {
    let mut fixture = Fixture::new();
    let found = fixture.crl_after(|crl| crl.next_update = crl.this_update);
    assert_eq!(found, ["next-update"]);
    let found = fixture.crl_after(|crl| crl.this_update = at("2026-01-10T00:00:00Z"));
    assert_eq!(found, ["revoked-in-future"]);
    let found = fixture.crl_after(|crl| crl.revoked.push(crl.revoked[0]));
    assert_eq!(found, ["revoked-twice"]);
    let found = fixture.crl_after(|crl| {
        crl.this_update = at("2056-01-01T00:00:00Z");
        crl.next_update = at("2056-01-02T00:00:00Z");
    });
    assert_eq!(found, ["update-outside-issuer"]);
    let https = vec!["https://127.0.0.1/a.crl".to_owned()];
    let delta_url = https.first().cloned();
    for (scope, code) in [
        (CrlScope::Complete { delta_url }, "freshest-crl"),
        (CrlScope::Shard { urls: https }, "issuing-distribution-point"),
        (CrlScope::Shard { urls: vec![] }, "issuing-distribution-point"),
        (CrlScope::Delta { base: 8 }, "delta-indicator"),
        (CrlScope::Delta { base: 0x0100 }, "delta-indicator"),
    ] {
        assert_eq!(fixture.crl_after(|crl| crl.scope = scope.clone()), [code], "{scope:?}");
    }
    fixture.issuer.key_usages = Some(usages(&[KeyUsage::KeyCertSign]));
    assert_eq!(fixture.crl_after(|_| ()), ["issuer-key-usage"]);
    let nonsense = ToBeSigned::new(vec![0x30], P256);
    assert_eq!(codes(lint::crl(&nonsense, &fixture.issuer)), ["not-der"]);
}
