use crate::{CertificateNames, Fingerprint, Identity, IdentityName, SpiffeId, TenantId};

/// How verified client certificates become identities: per tenant, by SPIFFE ID, DNS name or pinned
/// fingerprint. A certificate that two tenants would claim has no identity: an ambiguity must not be
/// decided by the order of a configuration file.
#[derive(Debug, Clone, Default)]
pub struct IdentityRules {
    tenants: Vec<TenantRules>,
}

/// What one tenant recognises.
#[derive(Debug, Clone)]
pub struct TenantRules {
    /// Whose rules these are.
    pub tenant: TenantId,
    /// SPIFFE trust domains whose members belong to the tenant.
    pub trust_domains: Vec<String>,
    /// DNS suffixes: `example.com` takes `example.com` and every name below it.
    pub dns_suffixes: Vec<String>,
    /// Single certificates by fingerprint.
    pub pinned: Vec<PinnedIdentity>,
}

/// One certificate that configuration gives a name.
#[derive(Debug, Clone)]
pub struct PinnedIdentity {
    /// The certificate.
    pub fingerprint: Fingerprint,
    /// The name it gets.
    pub name: String,
}

/// Why a verified certificate has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// Neither a pin nor a name in the certificate matches any tenant's rules.
    #[error("no tenant recognises a name in this certificate")]
    Unrecognised,
    /// SPIFFE X509-SVID §2 allows exactly one URI SAN; and two DNS names of tenants are as unclear.
    #[error("the certificate carries several names that could be its identity")]
    Ambiguous,
    /// The certificate says `spiffe:` but not according to the specification.
    #[error("the certificate's SPIFFE ID is malformed")]
    MalformedSpiffeId,
}

impl IdentityRules {
    /// Rules for these tenants.
    pub fn new(tenants: Vec<TenantRules>) -> Self {
        Self { tenants }
    }

    /// The identity of the certificate with this fingerprint and these names. A pin wins over names,
    /// a SPIFFE ID over DNS names.
    ///
    /// # Errors
    /// See [`NoIdentity`]; the certificate itself may be fine, it just is nobody here.
    pub fn resolve(
        &self,
        fingerprint: Fingerprint,
        names: &CertificateNames,
    ) -> Result<Identity, NoIdentity> {
        if let Some(found) = only(self.pins(fingerprint))? {
            return Ok(found);
        }
        if names.uris.iter().any(|uri| uri.to_ascii_lowercase().starts_with("spiffe:")) {
            return self.by_spiffe_id(&names.uris);
        }
        only(self.by_dns(&names.dns))?.ok_or(NoIdentity::Unrecognised)
    }

    fn pins(&self, fingerprint: Fingerprint) -> impl Iterator<Item = Identity> {
        self.tenants.iter().flat_map(move |rules| {
            rules.pinned.iter().filter(move |pin| pin.fingerprint == fingerprint).map(|pin| {
                Identity {
                    tenant: rules.tenant.clone(),
                    name: IdentityName::Pinned(pin.name.clone()),
                }
            })
        })
    }

    fn by_spiffe_id(&self, uris: &[String]) -> Result<Identity, NoIdentity> {
        let [uri] = uris else { return Err(NoIdentity::Ambiguous) };
        let id: SpiffeId = uri.parse().map_err(|_| NoIdentity::MalformedSpiffeId)?;
        let claims = self
            .tenants
            .iter()
            .filter(|rules| rules.trust_domains.iter().any(|domain| domain == id.trust_domain()))
            .map(|rules| Identity {
                tenant: rules.tenant.clone(),
                name: IdentityName::Spiffe(id.clone()),
            });
        only(claims)?.ok_or(NoIdentity::Unrecognised)
    }

    fn by_dns(&self, names: &[String]) -> impl Iterator<Item = Identity> {
        self.tenants.iter().flat_map(move |rules| {
            names
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .filter(|name| !name.starts_with("*."))
                .filter(|name| rules.dns_suffixes.iter().any(|suffix| is_under(name, suffix)))
                .map(|name| Identity {
                    tenant: rules.tenant.clone(),
                    name: IdentityName::Dns(name),
                })
        })
    }
}

fn only(mut claims: impl Iterator<Item = Identity>) -> Result<Option<Identity>, NoIdentity> {
    let first = claims.next();
    if claims.next().is_some() { Err(NoIdentity::Ambiguous) } else { Ok(first) }
}

fn is_under(name: &str, suffix: &str) -> bool {
    name == suffix || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> IdentityRules {
        let tenant = |id: &str, domain: &str, suffix: &str| TenantRules {
            tenant: id.parse().unwrap(),
            trust_domains: vec![domain.to_owned()],
            dns_suffixes: vec![suffix.to_owned()],
            pinned: vec![],
        };
        let mut a = tenant("a", "a.example", "a.example");
        a.pinned.push(PinnedIdentity {
            fingerprint: Fingerprint::of_certificate(b"pinned"),
            name: "breakglass".to_owned(),
        });
        IdentityRules::new(vec![a, tenant("b", "b.example", "b.example")])
    }

    fn resolve(uris: &[&str], dns: &[&str]) -> Result<String, NoIdentity> {
        let own = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        let names = CertificateNames { uris: own(uris), dns: own(dns) };
        rules()
            .resolve(Fingerprint::of_certificate(b"other"), &names)
            .map(|id| format!("{}:{}", id.tenant, id.name))
    }

    #[test]
    fn takes_the_spiffe_id_before_dns_names() {
        let found = resolve(&["spiffe://a.example/app"], &["x.b.example"]);
        assert_eq!(found.unwrap(), "a:spiffe://a.example/app");
    }

    #[test]
    fn takes_a_single_dns_name_under_a_tenant_s_suffix() {
        assert_eq!(resolve(&[], &["X.B.example", "other.net"]).unwrap(), "b:dns:x.b.example");
        assert_eq!(resolve(&[], &["evila.example"]), Err(NoIdentity::Unrecognised));
        assert_eq!(resolve(&[], &["*.a.example"]), Err(NoIdentity::Unrecognised));
    }

    #[test]
    fn refuses_to_choose_between_names() {
        assert_eq!(resolve(&[], &["x.a.example", "x.b.example"]), Err(NoIdentity::Ambiguous));
        assert_eq!(
            resolve(&["spiffe://a.example/x", "https://other"], &[]),
            Err(NoIdentity::Ambiguous)
        );
    }

    #[test]
    fn a_malformed_spiffe_id_does_not_fall_back_to_dns() {
        for uri in ["spiffe://a.example/../x", "SPIFFE://a.example/x", "spiffe:x"] {
            assert_eq!(resolve(&[uri], &["x.a.example"]), Err(NoIdentity::MalformedSpiffeId));
        }
    }

    #[test]
    fn a_pin_wins_over_names() {
        let names = CertificateNames { uris: vec!["spiffe://b.example/x".to_owned()], dns: vec![] };
        let id = rules().resolve(Fingerprint::of_certificate(b"pinned"), &names).unwrap();
        assert_eq!(id.to_string(), "name:breakglass");
    }
}
