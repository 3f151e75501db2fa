//! What every policy is told of the request behind its question.

use chancery_identity::RequestContext;

/// What every policy is told of the request behind its question, by the names in the contract: the
/// time, the request's id, where it came from, and the client certificate of its connection, if that
/// counts at this moment.
pub fn context_attributes(context: &RequestContext) -> Vec<(String, String)> {
    let mut attributes = vec![
        ("time".to_owned(), context.received.to_string()),
        ("request.id".to_owned(), context.id.to_string()),
    ];
    attributes.extend(context.address.map(|ip| ("address".to_owned(), ip.to_string())));
    let evidence = context.evidence.as_ref();
    if let Some(certificate) = evidence.and_then(|evidence| evidence.check().ok()) {
        attributes.extend([
            ("tls.fingerprint".to_owned(), certificate.fingerprint.to_string()),
            ("tls.serial".to_owned(), certificate.serial.clone()),
            ("tls.issuer".to_owned(), certificate.authority_key_id.clone()),
            ("tls.not-after".to_owned(), certificate.not_after.to_string()),
        ]);
        if let Ok(identity) = &certificate.identity {
            attributes.push(("tls.identity".to_owned(), identity.to_string()));
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use chancery_identity::{
        Clock, Evidence, Fingerprint, Identity, IdentityName, PeerCertificate, SpiffeId, TenantId,
    };
    use jiff::Timestamp;

    use super::*;

    fn value(context: &RequestContext, name: &str) -> Option<String> {
        let found = context_attributes(context).into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    #[test]
    fn the_gateway_itself_comes_from_nowhere_at_a_time() {
        let context = RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        assert_eq!(value(&context, "time").as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(value(&context, "request.id"), Some(context.id.to_string()));
        assert_eq!(value(&context, "address"), None);
        assert_eq!(value(&context, "tls.fingerprint"), None);
    }

    #[test]
    fn a_caller_comes_with_address_and_certificate() {
        let id: SpiffeId = "spiffe://dev.chancery/app".parse().unwrap();
        let identity =
            Identity { tenant: TenantId::default_tenant(), name: IdentityName::Spiffe(id) };
        let clock = Clock::manual(Timestamp::UNIX_EPOCH);
        let certificate = PeerCertificate {
            der: vec![1],
            fingerprint: Fingerprint::of_certificate(&[1]),
            serial: "0a".to_owned(),
            authority_key_id: "bb".to_owned(),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::UNIX_EPOCH,
            lineage: None,
            identity: Ok(identity),
        };
        let mut context =
            RequestContext::internal(TenantId::default_tenant(), Timestamp::UNIX_EPOCH);
        context.address = Some("192.0.2.1".parse().unwrap());
        context.evidence =
            Some(Evidence::new(Arc::new(certificate), clock.clone(), Arc::new(|_| Ok(()))));
        let expected = [
            ("address", "192.0.2.1"),
            ("tls.serial", "0a"),
            ("tls.issuer", "bb"),
            ("tls.not-after", "1970-01-01T00:00:00Z"),
            ("tls.identity", "spiffe://dev.chancery/app"),
        ];
        for (name, is) in expected {
            assert_eq!(value(&context, name).as_deref(), Some(is), "{name}");
        }

        // The connection goes on, its certificate does not.
        clock.advance(Duration::from_secs(1));
        assert_eq!(value(&context, "address").as_deref(), Some("192.0.2.1"));
        for name in ["tls.fingerprint", "tls.serial", "tls.issuer", "tls.not-after", "tls.identity"]
        {
            assert_eq!(value(&context, name), None, "{name}");
        }
    }
}
