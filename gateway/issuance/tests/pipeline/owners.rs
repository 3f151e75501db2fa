//! A certificate of the gateway's own CAs counts for the tenant that it was issued for.

use chancery_identity::{
    EvidenceError, Fingerprint, Identity, IdentityName, PeerCertificate, TenantId,
};
use chancery_issuance::{Issuance, IssuedCertificate, Requester};
use chancery_store::{Commit, Key, Store as _};
use chancery_x509::{CertificateRequest, ParsedCertificate};

use crate::world::{DAY, World, csr, request, tenant};

const NAME: &str = "www.other.example";

/// The certificate as a client shows it, when the rules of this tenant recognise it.
fn shown(der: &[u8], tenant: &TenantId) -> PeerCertificate {
    let parsed = ParsedCertificate::from_der(der).unwrap();
    PeerCertificate {
        der: der.to_vec(),
        fingerprint: Fingerprint::of_certificate(der),
        serial: parsed.serial().to_string(),
        authority_key_id: parsed.authority_key_id().unwrap_or_default().to_owned(),
        not_before: parsed.not_before(),
        not_after: parsed.not_after(),
        lineage: None,
        identity: Ok(Identity {
            tenant: tenant.clone(),
            name: IdentityName::Dns(NAME.parse().unwrap()),
        }),
    }
}

/// What becomes of the certificate of a client of this tenant.
async fn settled(issuance: &Issuance, certificate: &PeerCertificate) -> Result<(), EvidenceError> {
    if let Some(settling) = issuance.settle_owner(certificate) {
        // Until then nobody knows.
        assert_eq!(issuance.check_owner(certificate), Err(EvidenceError::OwnerUnknown));
        settling.await;
    }
    issuance.check_owner(certificate)
}

async fn issued_for(
    world: &World,
    tenant: &TenantId,
    requester: Requester,
    csr: &CertificateRequest,
) -> IssuedCertificate {
    let mut request = request(csr);
    request.context.tenant = tenant.clone();
    request.profile = Some("tls-client".to_owned());
    request.requester = requester;
    world.issuance.issue(request).await.unwrap()
}

fn service() -> Requester {
    Requester::Identity(Identity {
        tenant: tenant(),
        name: IdentityName::Dns(NAME.parse().unwrap()),
    })
}

fn b() -> TenantId {
    "b".parse().unwrap()
}

#[tokio::test]
async fn a_certificate_counts_for_the_tenant_that_it_was_issued_for_and_no_other() {
    let world = World::new().await;
    let issued = issued_for(&world, &tenant(), service(), &csr(&[NAME])).await;
    let own = shown(&issued.der, &tenant());
    assert_eq!(settled(&world.issuance, &own).await, Ok(()));
    assert!(world.issuance.settle_owner(&own).is_none(), "it is known now");
    // The rules have changed since, or others than those of the requester decided.
    let other = shown(&issued.der, &b());
    assert_eq!(world.issuance.check_owner(&other), Err(EvidenceError::OfAnotherTenant));
    // Also for a gateway that sees it for the first time.
    let again = world.reopen().await;
    assert_eq!(settled(&again, &other).await, Err(EvidenceError::OfAnotherTenant));
    assert_eq!(settled(&again, &own).await, Ok(()));
}

#[tokio::test]
async fn it_is_found_among_the_tenants_whose_certificates_are_for_the_same_key() {
    let world = World::new().await;
    let csr = csr(&[NAME]);
    let tenants: Vec<TenantId> = ["a", "a-b", "b", "gone"].map(|id| id.parse().unwrap()).into();
    let mut issued = vec![];
    for tenant in &tenants {
        for _ in 0..2 {
            issued.push((tenant, issued_for(&world, tenant, service(), &csr).await));
            world.clock.advance(DAY);
        }
    }
    let again = world.reopen().await;
    for (owner, certificate) in &issued {
        for tenant in &tenants {
            // Each as if it were seen for the first time.
            let again = if tenant == &tenants[0] { &world.reopen().await } else { &again };
            let expected =
                if *owner == tenant { Ok(()) } else { Err(EvidenceError::OfAnotherTenant) };
            let found = settled(again, &shown(&certificate.der, tenant)).await;
            assert_eq!(found, expected, "{owner} {tenant}");
        }
    }
}

#[tokio::test]
async fn what_the_operator_had_issued_by_hand_is_whose_the_rules_say() {
    let world = World::new().await;
    let operator = Requester::Internal(Requester::OPERATOR);
    let issued = issued_for(&world, &tenant(), operator, &csr(&[NAME])).await;
    assert_eq!(settled(&world.issuance, &shown(&issued.der, &b())).await, Ok(()));
}

#[tokio::test]
async fn what_the_inventory_does_not_have_is_not_refused() {
    let world = World::new().await;
    let issued = issued_for(&world, &tenant(), service(), &csr(&[NAME])).await;
    // A store from before it was issued was put back.
    let records = world.store.scan(b"", None, 10_000).await.unwrap();
    let of_it = records.into_iter().filter(|one| one.key.to_string().contains("/issuance/"));
    let gone = of_it.fold(Commit::new(), |commit, one| commit.delete(one.key));
    world.store.commit(gone).await.unwrap();
    assert_eq!(settled(&world.issuance, &shown(&issued.der, &b())).await, Ok(()));
}

#[tokio::test]
async fn other_certificates_are_not_asked_about() {
    let world = World::new().await;
    let issued = issued_for(&world, &tenant(), service(), &csr(&[NAME])).await;
    let mut pinned = shown(&issued.der, &b());
    pinned.identity =
        Ok(Identity { tenant: b(), name: IdentityName::Pinned("breakglass".to_owned()) });
    let mut foreign = shown(&issued.der, &b());
    foreign.authority_key_id = "00".to_owned();
    for certificate in [pinned, foreign] {
        assert!(world.issuance.settle_owner(&certificate).is_none());
        assert_eq!(world.issuance.check_owner(&certificate), Ok(()));
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_refuses() {
    let world = World::new().await;
    let issued = issued_for(&world, &tenant(), service(), &csr(&[NAME])).await;
    let key = Key::new(format!("default/issuance/certificate/{}", issued.serial)).unwrap();
    world.store.commit(Commit::new().put(key, "{")).await.unwrap();
    for tenant in [tenant(), b()] {
        let found = settled(&world.issuance, &shown(&issued.der, &tenant)).await;
        assert_eq!(found, Err(EvidenceError::OwnerUnknown), "{tenant}");
    }
}
