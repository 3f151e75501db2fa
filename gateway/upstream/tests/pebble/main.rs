//! Certificates from somebody else's ACME server: Debian's `pebble`, on loopback, with a DNS server
//! that knows every name.

#[cfg(test)]
mod again;
#[cfg(test)]
mod environment;

#[cfg(test)]
mod issuing {
    use std::time::Duration;

    use chancery_store::memory::MemoryStore;
    use chancery_store::{Commit, Key, Store};
    use chancery_upstream::{AcmeUpstream, Trust, UpstreamError};
    use chancery_x509::RevocationReason;

    use crate::environment::{Pebble, names, purpose, request};

    fn account_key() -> Key {
        Key::new("_/upstream/account/pebble").unwrap()
    }

    #[tokio::test]
    async fn a_certificate_is_issued_and_revoked_and_the_account_is_kept() {
        let pebble = Pebble::start().await;
        let store = MemoryStore::new();
        let upstream = pebble.upstream(&store);
        let csr = request(&["a.example.com", "b.example.com"]);
        let (issued, _) = upstream.issue(&csr, csr.names(), &purpose("order")).await.unwrap();
        assert_eq!(issued.leaf().names().len(), 2);
        assert_eq!(issued.chain().len(), 2);
        let account = store.get(&account_key()).await.unwrap().unwrap();

        let after_restart = pebble.upstream(&store);
        let csr = request(&["c.example.com"]);
        let (second, _) = after_restart.issue(&csr, csr.names(), &purpose("order")).await.unwrap();
        assert_ne!(second.leaf().serial(), issued.leaf().serial());
        assert_eq!(store.get(&account_key()).await.unwrap().unwrap(), account);

        // Only the account that ordered a certificate may revoke it this way.
        let first = issued.leaf().der();
        after_restart.revoke(first, RevocationReason::Superseded).await.unwrap();
        match after_restart.revoke(first, RevocationReason::Superseded).await {
            Err(UpstreamError::Refused { kind, .. }) => {
                assert_eq!(kind, "urn:ietf:params:acme:error:alreadyRevoked");
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn responses_are_served_only_while_an_order_waits() {
        let pebble = Pebble::start().await;
        let csr = request(&["a.example.com"]);
        pebble
            .upstream(&MemoryStore::new())
            .issue(&csr, csr.names(), &purpose("order"))
            .await
            .unwrap();
        let asked = pebble.tokens_asked_for();
        assert!(!asked.is_empty());
        // They are removed apart from the order.
        while asked.iter().any(|token| pebble.responses.get(token).is_some()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_validated_is_named() {
        let pebble = Pebble::start().await;
        let csr = request(&["a.example.com", "nowhere.invalid"]);
        match pebble.upstream(&MemoryStore::new()).issue(&csr, csr.names(), &purpose("order")).await
        {
            Err(UpstreamError::NotValidated { name, detail }) => {
                assert_eq!(name, "nowhere.invalid");
                assert!(!detail.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_wildcard_is_refused_before_anybody_is_bothered() {
        let pebble = Pebble::start().await;
        let csr = request(&["*.example.com"]);
        match pebble.upstream(&MemoryStore::new()).issue(&csr, csr.names(), &purpose("order")).await
        {
            Err(UpstreamError::NoChallenge(name)) => assert_eq!(name, "*.example.com"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_request_for_other_names_than_ordered_is_refused() {
        let pebble = Pebble::start().await;
        let upstream = pebble.upstream(&MemoryStore::new());
        let csr = request(&["a.example.com"]);
        let refused = upstream.issue(&csr, &names(&["b.example.com"]), &purpose("order")).await;
        assert!(matches!(refused, Err(UpstreamError::Refused { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn names_that_acme_has_no_identifier_for_are_refused() {
        let pebble = Pebble::start().await;
        let upstream = pebble.upstream(&MemoryStore::new());
        let csr = request(&["a.example.com"]);
        let uri = chancery_x509::GeneralName::uri("spiffe://dev.chancery/app").unwrap();
        let refused = upstream.issue(&csr, &[uri], &purpose("order")).await;
        assert!(matches!(refused, Err(UpstreamError::UnsupportedName(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn another_directory_gets_an_account_of_its_own() {
        let (one, other) = (Pebble::start().await, Pebble::start().await);
        let store = MemoryStore::new();
        let csr = request(&["a.example.com"]);
        one.upstream(&store).issue(&csr, csr.names(), &purpose("order")).await.unwrap();
        let first = store.get(&account_key()).await.unwrap().unwrap();
        other.upstream(&store).issue(&csr, csr.names(), &purpose("order")).await.unwrap();
        let second = store.get(&account_key()).await.unwrap().unwrap();
        assert_ne!(first.value, second.value);
    }

    #[tokio::test]
    async fn a_damaged_account_is_named_and_not_overwritten() {
        let pebble = Pebble::start().await;
        let store = MemoryStore::new();
        store.commit(Commit::new().put(account_key(), "nonsense")).await.unwrap();
        let csr = request(&["a.example.com"]);
        let refused =
            pebble.upstream(&store).issue(&csr, csr.names(), &purpose("order")).await.unwrap_err();
        assert!(refused.to_string().contains("_/upstream/account/pebble"), "{refused}");
        assert_eq!(store.get(&account_key()).await.unwrap().unwrap().value, "nonsense");
    }

    #[tokio::test]
    async fn an_account_that_cannot_be_stored_is_not_used() {
        let pebble = Pebble::start().await;
        let store = MemoryStore::new();
        store.set_full(true);
        let csr = request(&["a.example.com"]);
        let refused =
            pebble.upstream(&store).issue(&csr, csr.names(), &purpose("order")).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::Commit(_)), "{refused}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_trusted_gets_nothing() {
        let pebble = Pebble::start().await;
        let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let mut config = pebble.config();
        config.trust = Trust::Anchors(vec![other.cert.der().to_vec()]);
        let csr = request(&["a.example.com"]);
        let store = MemoryStore::new();
        let upstream = pebble.upstream_with(config, &store);
        let refused =
            upstream.issue(&csr, csr.names(), &purpose("order")).await.unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{refused}");
        assert!(store.get(&account_key()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_upstream_that_is_down_or_silent_is_an_error_and_not_the_end() {
        let pebble = Pebble::start().await;
        let csr = request(&["a.example.com"]);
        let store = MemoryStore::new();
        let mut config = pebble.config();
        // Accepts connections and says nothing.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.directory = format!("https://{}/dir", silent.local_addr().unwrap());
        config.deadline = Duration::from_millis(50);
        let upstream = pebble.upstream_with(config.clone(), &store);
        let refused = upstream.issue(&csr, csr.names(), &purpose("order")).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::Deadline(_)), "{refused}");

        drop(silent);
        config.deadline = pebble.config().deadline;
        let down = pebble.upstream_with(config, &store);
        let refused = down.issue(&csr, csr.names(), &purpose("order")).await.unwrap_err();
        assert!(matches!(refused, UpstreamError::Unavailable(_)), "{refused}");
        let fine: std::sync::Arc<AcmeUpstream> = pebble.upstream(&store);
        fine.issue(&csr, csr.names(), &purpose("order")).await.unwrap();
    }
}
