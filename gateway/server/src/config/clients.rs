//! Whose client certificates are believed, and for whom: `[clients]`, `[[tenants]]`, and the `clients` table
//! of a CA.

use std::collections::{BTreeMap, BTreeSet};

use chancery_identity::{
    CaBinding, DnsName, PinnedIdentity, SpiffeId, TenantId, TenantRules, VouchesFor,
};

use super::validate::Check;
use super::{ClientCaConfig, ClientRule, ClientsConfig, document};
use crate::trust;

impl Check<'_> {
    pub(super) fn clients(
        &mut self,
        clients: document::Clients,
        tenants: &[TenantRules],
    ) -> ClientsConfig {
        let mut cas = vec![];
        if tenants.len() > 1 && !clients.roots.is_empty() {
            self.refuse::<()>(
                "clients.roots",
                "there are several tenants, and it is not said for which of them these CAs vouch: give \
                 each file a [[clients.cas]] table with tenants, trust_domains and dns_suffixes",
            );
        }
        for path in &clients.roots {
            let rule = ClientRule::everybody();
            let file = self.existing_file("clients.roots", path);
            cas.push(ClientCaConfig { file, rule, revocation: None });
        }
        for ca in clients.cas {
            let table = "clients.cas";
            if ca.tenants.is_empty() {
                self.refuse::<()>("clients.cas.tenants", "name the tenants that it vouches for");
            }
            let file = self.existing_file("clients.cas.file", &ca.file);
            let binding =
                self.binding(table, tenants, (&ca.tenants, ca.trust_domains, ca.dns_suffixes));
            let allow_no_extended_key_usage = ca.allow_no_extended_key_usage;
            let vouches_for = VouchesFor::Only(binding);
            let rule = ClientRule { vouches_for, allow_no_extended_key_usage };
            let revocation = ca.revocation.map(|given| self.revocation(given));
            cas.push(ClientCaConfig { file, rule, revocation });
        }
        self.client_cas(&cas);
        ClientsConfig { trust_own_ca: clients.trust_own_ca, cas }
    }

    /// That the files hold CAs' certificates, and that nothing is said twice about one. A file that is not
    /// there was refused already.
    fn client_cas(&mut self, cas: &[ClientCaConfig]) {
        for ca in cas.iter().filter(|ca| ca.file.is_file()) {
            if let Err(error) = trust::client_cas(std::slice::from_ref(ca)) {
                self.refuse::<()>(ca.key(), format!("{error:#}"));
            }
        }
        let readable = cas.iter().filter(|ca| trust::client_cas(std::slice::from_ref(*ca)).is_ok());
        if let Err(error) = trust::client_cas(readable) {
            self.refuse::<()>("clients.cas", format!("{error:#}"));
        }
    }

    /// The `clients` table of one of the gateway's own CAs. Without it the CA vouches for whomever the
    /// tenants recognise: the policies have decided on its certificates.
    pub(super) fn clients_of_issuer(
        &mut self,
        table: &str,
        given: Option<document::IssuedClients>,
        tenants: &[TenantRules],
    ) -> ClientRule {
        let Some(given) = given else { return ClientRule::everybody() };
        let document::IssuedClients { tenants: named, trust_domains, dns_suffixes, .. } = given;
        let vouches_for = VouchesFor::Only(self.binding(
            &format!("{table}.clients"),
            tenants,
            (&named, trust_domains, dns_suffixes),
        ));
        let allow_no_extended_key_usage = given.allow_no_extended_key_usage;
        ClientRule { vouches_for, allow_no_extended_key_usage }
    }

    /// What a CA vouches for: names that none of its tenants recognises are mistakes.
    fn binding(
        &mut self,
        table: &str,
        known: &[TenantRules],
        (named, trust_domains, dns_suffixes): (&[String], Vec<String>, Vec<String>),
    ) -> CaBinding {
        let mut tenants = BTreeSet::new();
        for name in named {
            let found = name.parse::<TenantId>().ok();
            if let Some(id) = found.filter(|id| known.iter().any(|rules| rules.tenant == *id)) {
                tenants.insert(id);
            } else {
                let what = format!("`{name}` is the id of none of the [[tenants]]");
                self.refuse::<()>(&format!("{table}.tenants"), what);
            }
        }
        let rules: Vec<_> = known.iter().filter(|rules| tenants.contains(&rules.tenant)).collect();
        for domain in &trust_domains {
            if !rules.iter().any(|rules| rules.trust_domains.contains(domain)) {
                self.refuse::<()>(
                    &format!("{table}.trust_domains"),
                    format!("`{domain}` is no trust domain of the tenants that it names"),
                );
            }
        }
        for suffix in &dns_suffixes {
            let below = |name: &str, suffix: &str| {
                name.parse::<DnsName>().is_ok_and(|name| name.is_under(suffix))
            };
            let mut all = rules.iter().flat_map(|rules| &rules.dns_suffixes);
            let lower = !suffix.bytes().any(|byte| byte.is_ascii_uppercase());
            if !lower || !all.any(|of| below(suffix, of) || below(of, suffix)) {
                self.refuse::<()>(
                    &format!("{table}.dns_suffixes"),
                    format!(
                        "`{suffix}` is neither a DNS suffix of the tenants that it names, in lower case, \
                         nor below or above one"
                    ),
                );
            }
        }
        let has_pins = rules.iter().any(|rules| !rules.pinned.is_empty());
        if trust_domains.is_empty() && dns_suffixes.is_empty() && !has_pins && !rules.is_empty() {
            self.refuse::<()>(
                &format!("{table}.tenants"),
                "nothing counts that it could vouch for: name trust_domains or dns_suffixes, or pin \
                 certificates of these tenants",
            );
        }
        CaBinding {
            tenants,
            trust_domains: trust_domains.into_iter().collect(),
            dns_suffixes: dns_suffixes.into_iter().collect(),
        }
    }

    pub(super) fn tenants(&mut self, tenants: Vec<document::Tenant>) -> Vec<TenantRules> {
        if tenants.is_empty() {
            self.refuse::<()>("tenants", "at least one [[tenants]] table is needed");
        }
        let mut seen = BTreeSet::new();
        let mut checked = vec![];
        for tenant in tenants {
            if !seen.insert(tenant.id.clone()) {
                self.refuse::<()>("tenants.id", format!("`{}` stands twice", tenant.id));
            }
            let id = match tenant.id.parse() {
                Ok(id) => Some(id),
                Err(error) => self.refuse("tenants.id", format!("{error}")),
            };
            for domain in &tenant.trust_domains {
                let spiffe_id = format!("spiffe://{domain}");
                if spiffe_id.parse::<SpiffeId>().is_err() || domain.contains('/') {
                    self.refuse::<()>(
                        "tenants.trust_domains",
                        format!("`{domain}` is not a SPIFFE trust domain, such as prod.example"),
                    );
                }
            }
            for suffix in &tenant.dns_suffixes {
                if !suffix.parse::<DnsName>().is_ok_and(|name| name.as_str() == suffix) {
                    self.refuse::<()>(
                        "tenants.dns_suffixes",
                        format!("`{suffix}` is not a lower-case DNS name"),
                    );
                }
            }
            let pinned = tenant.pinned.into_iter().filter_map(|pin| self.pinned(pin)).collect();
            checked.extend(id.map(|tenant_id| TenantRules {
                tenant: tenant_id,
                trust_domains: tenant.trust_domains,
                dns_suffixes: tenant.dns_suffixes,
                pinned,
            }));
        }
        self.told_apart(&checked);
        checked
    }

    /// Who acts on the whole installation. Where nobody says so, that is nobody but the gateway's own tenant,
    /// unless there is nobody else whom it could harm.
    pub(super) fn administration(
        &mut self,
        given: document::Administration,
        tenants: &[TenantRules],
    ) -> TenantId {
        match (given.tenant, tenants) {
            (Some(text), _) => self.known_tenant("administration.tenant", &text, tenants),
            (None, [only]) => Some(only.tenant.clone()),
            (None, _) => None,
        }
        .unwrap_or_else(TenantId::default_tenant)
    }

    /// One of the tenants that there are.
    pub(super) fn known_tenant(
        &mut self,
        key: &str,
        text: &str,
        tenants: &[TenantRules],
    ) -> Option<TenantId> {
        let found = tenants.iter().find(|rules| rules.tenant.as_str() == text);
        if let Some(rules) = found {
            return Some(rules.tenant.clone());
        }
        self.refuse(key, format!("`{text}` is not the id of one of [[tenants]]"))
    }

    /// That no two tenants claim the same: a client of both would have no identity, and so be locked out.
    fn told_apart(&mut self, tenants: &[TenantRules]) {
        self.of_one_tenant("tenants.trust_domains", tenants, |rules| rules.trust_domains.clone());
        self.of_one_tenant("tenants.dns_suffixes", tenants, |rules| rules.dns_suffixes.clone());
        self.of_one_tenant("tenants.pinned.fingerprint", tenants, |rules| {
            rules.pinned.iter().map(|pin| pin.fingerprint.to_string()).collect()
        });
    }

    fn of_one_tenant(
        &mut self,
        key: &str,
        tenants: &[TenantRules],
        claims: impl Fn(&TenantRules) -> Vec<String>,
    ) {
        let mut first = BTreeMap::new();
        for rules in tenants {
            for claim in claims(rules) {
                let owner = first.entry(claim.clone()).or_insert(&rules.tenant);
                if *owner != &rules.tenant {
                    self.refuse::<()>(
                        key,
                        format!(
                            "`{claim}` stands in the tenants `{owner}` and `{}`: a client is of one tenant only",
                            rules.tenant
                        ),
                    );
                }
            }
        }
    }

    fn pinned(&mut self, pin: document::Pinned) -> Option<PinnedIdentity> {
        match pin.fingerprint.parse() {
            Ok(fingerprint) if !pin.name.is_empty() => {
                Some(PinnedIdentity { fingerprint, name: pin.name })
            }
            Ok(_) => self.refuse("tenants.pinned.name", "is empty"),
            Err(error) => self.refuse("tenants.pinned.fingerprint", error.to_string()),
        }
    }
}
