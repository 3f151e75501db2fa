//! Maps verified client certificates to identities, by the rules of the tenants.

use crate::{
    CertificateNames, DnsName, Fingerprint, Identity, IdentityName, NoIdentity, SpiffeId, TenantId,
    VouchesFor,
};

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

impl IdentityRules {
    /// Rules for these tenants.
    pub fn new(tenants: Vec<TenantRules>) -> Self {
        Self { tenants }
    }

    /// The identity of the certificate with this fingerprint and these names, as far as the CA that issued
    /// it vouches for it. A pin wins over names, a SPIFFE ID over DNS names.
    ///
    /// # Errors
    /// See [`NoIdentity`]; the certificate itself may be fine, it just is nobody here.
    pub fn resolve(
        &self,
        vouches_for: &VouchesFor,
        fingerprint: Fingerprint,
        names: &CertificateNames,
    ) -> Result<Identity, NoIdentity> {
        let pins = self.pins(fingerprint, vouches_for).collect::<Vec<_>>();
        if !pins.is_empty() {
            return only(pins.into_iter());
        }
        self.by_names(vouches_for, names)
    }

    /// The tenant that recognises somebody by these names.
    pub fn tenant_of(&self, names: &CertificateNames) -> Option<TenantId> {
        self.by_names(&VouchesFor::Everybody, names).ok().map(|identity| identity.tenant)
    }

    fn by_names(
        &self,
        vouches_for: &VouchesFor,
        names: &CertificateNames,
    ) -> Result<Identity, NoIdentity> {
        if names.uris.iter().any(|uri| uri.to_ascii_lowercase().starts_with("spiffe:")) {
            return self.by_spiffe_id(&names.uris, vouches_for);
        }
        self.by_dns(&names.dns, vouches_for)
    }

    /// The first of these names by which rules of another tenant than this recognise somebody, alone or
    /// beside its own. What is recognised in no certificate, such as a wildcard, is nobody's.
    pub fn name_of_another(
        &self,
        tenant: &TenantId,
        names: &CertificateNames,
    ) -> Option<IdentityName> {
        let others = || self.tenants.iter().filter(|rules| rules.tenant != *tenant);
        let ids = names.uris.iter().filter_map(|uri| uri.parse::<SpiffeId>().ok());
        let hosts = names.dns.iter().filter_map(|name| name.parse::<DnsName>().ok());
        let mut of_others = ids
            .filter(|id| {
                others().any(|rules| rules.trust_domains.iter().any(|one| one == id.trust_domain()))
            })
            .map(IdentityName::Spiffe)
            .chain(
                hosts
                    .filter(|host| {
                        others()
                            .any(|rules| rules.dns_suffixes.iter().any(|one| host.is_under(one)))
                    })
                    .map(IdentityName::Dns),
            );
        of_others.next()
    }

    fn pins<'a>(
        &'a self,
        fingerprint: Fingerprint,
        vouches_for: &'a VouchesFor,
    ) -> impl Iterator<Item = Claim> + 'a {
        self.tenants.iter().flat_map(move |rules| {
            rules.pinned.iter().filter(move |pin| pin.fingerprint == fingerprint).map(|pin| Claim {
                vouched: vouches_for.pins_of(&rules.tenant),
                identity: Identity {
                    tenant: rules.tenant.clone(),
                    name: IdentityName::Pinned(pin.name.clone()),
                },
            })
        })
    }

    fn by_spiffe_id(
        &self,
        uris: &[String],
        vouches_for: &VouchesFor,
    ) -> Result<Identity, NoIdentity> {
        let [uri] = uris else { return Err(NoIdentity::Ambiguous) };
        let id: SpiffeId = uri.parse().map_err(|_| NoIdentity::MalformedSpiffeId)?;
        let claims = self
            .tenants
            .iter()
            .filter(|rules| rules.trust_domains.iter().any(|domain| domain == id.trust_domain()))
            .map(|rules| Claim {
                vouched: vouches_for.spiffe_id(&rules.tenant, &id),
                identity: Identity {
                    tenant: rules.tenant.clone(),
                    name: IdentityName::Spiffe(id.clone()),
                },
            });
        only(claims)
    }

    fn by_dns(&self, names: &[String], vouches_for: &VouchesFor) -> Result<Identity, NoIdentity> {
        let mut hosts = Vec::new();
        for name in names {
            let wildcard = name.strip_prefix("*.");
            let host: DnsName =
                wildcard.unwrap_or(name).parse().map_err(|_| NoIdentity::MalformedDnsName)?;
            // A wildcard is many hosts, and so none.
            hosts.extend(wildcard.is_none().then_some(host));
        }
        let claims = self.tenants.iter().flat_map(|rules| {
            hosts
                .iter()
                .filter(|host| rules.dns_suffixes.iter().any(|suffix| host.is_under(suffix)))
                .map(|host| Claim {
                    vouched: vouches_for.dns_name(&rules.tenant, host),
                    identity: Identity {
                        tenant: rules.tenant.clone(),
                        name: IdentityName::Dns(host.clone()),
                    },
                })
        });
        only(claims)
    }
}

/// Somebody whom a tenant recognises in a certificate.
struct Claim {
    identity: Identity,
    /// Whether the CA that issued the certificate vouches for that.
    vouched: bool,
}

/// The only claim that the CA vouches for.
fn only(claims: impl Iterator<Item = Claim>) -> Result<Identity, NoIdentity> {
    let mut none = NoIdentity::Unrecognised;
    let mut found = None;
    for claim in claims {
        if !claim.vouched {
            none = NoIdentity::NotVouchedFor;
        } else if found.replace(claim.identity).is_some() {
            return Err(NoIdentity::Ambiguous);
        }
    }
    found.ok_or(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaBinding;

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
            .resolve(&VouchesFor::Everybody, Fingerprint::of_certificate(b"other"), &names)
            .map(|id| format!("{}:{}", id.tenant, id.name))
    }

    #[test]
    fn whatever_another_tenant_would_recognise_is_found_among_names() {
        let found = |tenant: &str, uris: &[&str], dns: &[&str]| {
            let own = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
            let names = CertificateNames { uris: own(uris), dns: own(dns) };
            let found = rules().name_of_another(&tenant.parse().unwrap(), &names);
            found.map(|name| name.to_string())
        };
        let id = "spiffe://b.example/x";
        assert_eq!(found("a", &[id], &[]).as_deref(), Some(id));
        assert_eq!(found("default", &[id], &[]).as_deref(), Some(id));
        assert_eq!(found("b", &[id], &["x.b.example"]), None);
        // A second name beside it changes with the next certificate; the rules may as well.
        assert_eq!(found("a", &["https://other", id], &[]).as_deref(), Some(id));
        let of_b = Some("dns:b.example");
        assert_eq!(found("a", &["spiffe://a.example/x"], &["B.example"]).as_deref(), of_b);
        assert_eq!(found("a", &[], &["x.a.example", "b.example"]).as_deref(), of_b);
        assert_eq!(found("a", &[], &["*.b.example", "evilb.example", "other.net"]), None);
    }

    #[test]
    fn a_name_is_of_the_tenant_that_recognises_it() {
        let of = |uri: &str| {
            let names = CertificateNames { uris: vec![uri.to_owned()], dns: vec![] };
            rules().tenant_of(&names).map(|tenant| tenant.to_string())
        };
        assert_eq!(of("spiffe://b.example/x").as_deref(), Some("b"));
        assert_eq!(of("spiffe://c.example/x"), None);
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
        let everybody = VouchesFor::Everybody;
        let pinned = Fingerprint::of_certificate(b"pinned");
        let id = rules().resolve(&everybody, pinned, &names).unwrap();
        assert_eq!(id.to_string(), "name:breakglass");
    }

    #[test]
    fn a_malformed_dns_name_gives_no_identity_whatever_stands_beside_it() {
        let long = format!("{}.a.example", "x".repeat(64));
        for bad in [
            "x\0.a.example",
            "x\n.a.example",
            "x/y.a.example",
            "x y.a.example",
            ".a.example",
            "x..a.example",
            "f*.a.example",
            "*.*.a.example",
            "x.a.example.",
            &long,
        ] {
            assert_eq!(resolve(&[], &[bad]), Err(NoIdentity::MalformedDnsName), "{bad:?}");
            let beside = resolve(&[], &["x.a.example", bad]);
            assert_eq!(beside, Err(NoIdentity::MalformedDnsName), "{bad:?}");
        }
        // A whole wildcard is a good name of other certificates, and of nobody.
        assert_eq!(resolve(&[], &["*.a.example", "x.a.example"]).unwrap(), "a:dns:x.a.example");
    }

    fn bound(tenants: &[&str], domains: &[&str], suffixes: &[&str]) -> VouchesFor {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        VouchesFor::Only(CaBinding {
            tenants: tenants.iter().map(|tenant| tenant.parse().unwrap()).collect(),
            trust_domains: texts(domains),
            dns_suffixes: texts(suffixes),
        })
    }

    #[track_caller]
    fn assert_vouched(by: &VouchesFor, uri: &str, dns: &str, is: &Result<&str, NoIdentity>) {
        let list = |text: &str| if text.is_empty() { vec![] } else { vec![text.to_owned()] };
        let names = CertificateNames { uris: list(uri), dns: list(dns) };
        let found = rules().resolve(by, Fingerprint::of_certificate(b"other"), &names);
        let found = found.map(|id| format!("{}:{}", id.tenant, id.name));
        assert_eq!(&found.as_deref().map_err(Clone::clone), is, "{uri}{dns}");
    }

    #[test]
    fn a_ca_vouches_for_what_its_binding_names_and_for_nothing_else() {
        let not = || Err(NoIdentity::NotVouchedFor);
        let b = bound(&["b"], &["b.example"], &["team.b.example"]);
        let id = "spiffe://b.example/x";
        assert_vouched(&b, id, "", &Ok("b:spiffe://b.example/x"));
        assert_vouched(&b, "spiffe://a.example/admin", "", &not());
        assert_vouched(&b, "spiffe://c.example/x", "", &Err(NoIdentity::Unrecognised));
        assert_vouched(&b, "", "x.team.b.example", &Ok("b:dns:x.team.b.example"));
        assert_vouched(&b, "", "x.b.example", &not());
        assert_vouched(&b, "", "x.a.example", &not());
        // The tenant alone is not enough, and neither is the name alone.
        assert_vouched(&bound(&["b"], &[], &[]), id, "", &not());
        assert_vouched(&bound(&["a"], &["b.example"], &["b.example"]), id, "", &not());
        assert_vouched(&bound(&["a"], &["b.example"], &["b.example"]), "", "x.b.example", &not());
        // A suffix above the tenant's does not widen what the tenant recognises.
        assert_vouched(
            &bound(&["b"], &[], &["example"]),
            "",
            "x.b.example",
            &Ok("b:dns:x.b.example"),
        );
        assert_vouched(
            &bound(&["b"], &[], &["example"]),
            "",
            "x.c.example",
            &Err(NoIdentity::Unrecognised),
        );
    }

    #[test]
    fn a_name_that_the_ca_does_not_vouch_for_does_not_make_another_one_ambiguous() {
        let own = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        let names = CertificateNames { uris: vec![], dns: own(&["x.a.example", "x.b.example"]) };
        let other = Fingerprint::of_certificate(b"other");
        let b = bound(&["b"], &[], &["b.example"]);
        assert_eq!(rules().resolve(&b, other, &names).unwrap().to_string(), "dns:x.b.example");
        let both = bound(&["a", "b"], &[], &["example"]);
        assert_eq!(rules().resolve(&both, other, &names), Err(NoIdentity::Ambiguous));
    }

    #[test]
    fn a_pin_needs_a_ca_that_is_bound_to_its_tenant() {
        let names = CertificateNames { uris: vec!["spiffe://b.example/x".to_owned()], dns: vec![] };
        let pinned = Fingerprint::of_certificate(b"pinned");
        let by = |binding: &VouchesFor| rules().resolve(binding, pinned, &names);
        let found = by(&bound(&["a"], &[], &[])).unwrap();
        assert_eq!(found.to_string(), "name:breakglass");
        // The names do not take its place: somebody gave this certificate a name, and it was not this CA.
        assert_eq!(by(&bound(&["b"], &["b.example"], &[])), Err(NoIdentity::NotVouchedFor));
    }
}
