//! Roles whose logins give bearer tokens.

use std::time::Duration;

use chancery_access::{BearerRole, MAX_BEARER_MAX_TTL, MAX_BEARER_TTL, Role};
use chancery_identity::TenantId;
use ipnet::IpNet;

use super::document;
use super::validate::Check;

impl Check<'_> {
    /// Roles that give bearer tokens, of `tenants` that there are.
    pub(super) fn bearer_roles(
        &mut self,
        roles: Vec<document::BearerRole>,
        tenants: &[String],
    ) -> Vec<BearerRole> {
        const ROLE: &str = "secrets.bearer_roles.role";
        let mut checked: Vec<BearerRole> = vec![];
        for one in roles {
            let wanted = "a role: use 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'";
            let role: Option<Role> = self.parsed(ROLE, &one.role, wanted);
            let tenant: Option<TenantId> = if tenants.contains(&one.tenant) {
                one.tenant.parse().ok()
            } else {
                let why = format!("there is no tenant `{}` in [[tenants]]", one.tenant);
                self.refuse("secrets.bearer_roles.tenant", why)
            };
            let networks = self.bearer_networks(&one.networks);
            let ttl = one.ttl_seconds;
            self.within("secrets.bearer_roles.ttl_seconds", ttl, 1..=MAX_BEARER_TTL.as_secs());
            let max_ttl = one.max_ttl_seconds;
            let longest = MAX_BEARER_MAX_TTL.as_secs();
            self.within("secrets.bearer_roles.max_ttl_seconds", max_ttl, ttl..=longest);
            let (Some(role), Some(tenant)) = (role, tenant) else { continue };
            if checked.iter().any(|other| other.role == role && other.tenant == tenant) {
                let why = format!("`{}` of the tenant `{tenant}` stands twice", role.as_str());
                self.refuse::<()>(ROLE, why);
            }
            let (ttl, max_ttl) = (Duration::from_secs(ttl), Duration::from_secs(max_ttl));
            checked.push(BearerRole { tenant, role, networks, ttl, max_ttl });
        }
        checked
    }

    fn bearer_networks(&mut self, networks: &[String]) -> Vec<IpNet> {
        const KEY: &str = "secrets.bearer_roles.networks";
        if networks.is_empty() {
            self.refuse::<()>(KEY, "name at least one network: bearer tokens are bound to them");
        }
        let mut checked = vec![];
        for text in networks {
            let network = self.parsed::<IpNet>(KEY, text, "a network, such as 10.1.0.0/16");
            if network.is_some_and(|network| network.prefix_len() == 0) {
                self.refuse::<()>(KEY, format!("`{text}` is everywhere and binds nothing"));
            }
            checked.extend(network);
        }
        checked
    }
}
