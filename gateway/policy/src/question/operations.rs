//! Which operations there are. A rule about one that does not exist would never apply: if it denies, it looks
//! like a guard and is none.

use std::collections::BTreeSet;

use super::pattern::fits;

/// What access policies are asked about, in the order of bytes. A developer who adds an operation to the gateway adds
/// it here: of what is not here the policies are not asked, and it is denied.
const OPERATIONS: [&str; 67] = [
    "acme.account.create",
    "acme.order.create",
    "auth.login",
    "certificates.list",
    "certificates.read",
    "certificates.renew",
    "certificates.revoke",
    "certificates.sign",
    "crypto.decrypt",
    "crypto.encrypt",
    "crypto.mac",
    "crypto.make-data-key",
    "crypto.rewrap",
    "crypto.sign",
    "crypto.verify",
    "crypto.verify-mac",
    "data-set.delete",
    "data-set.list",
    "data-set.read",
    "data-set.update",
    "group.delete",
    "group.list",
    "group.read",
    "group.update",
    "key.list",
    "keys.back-up",
    "keys.create",
    "keys.delete",
    "keys.disable",
    "keys.enable",
    "keys.export",
    "keys.import",
    "keys.list",
    "keys.purge",
    "keys.read",
    "keys.restore",
    "keys.rotate",
    "keys.trim",
    "keys.undelete",
    "keys.update",
    "mounts.read",
    "policy-set.read",
    "policy-set.reload",
    "policy-set.rollback",
    "secrets.config.read",
    "secrets.config.update",
    "secrets.create",
    "secrets.delete",
    "secrets.destroy",
    "secrets.list",
    "secrets.metadata.delete",
    "secrets.metadata.read",
    "secrets.metadata.update",
    "secrets.patch",
    "secrets.read",
    "secrets.subkeys.read",
    "secrets.undelete",
    "secrets.update",
    "session.list",
    "session.read",
    "session.revoke",
    "ssh.sign-host",
    "ssh.sign-user",
    "store.backup",
    "token.drain",
    "token.list",
    "token.resume",
];

/// Which operations policies can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Those that the gateway has.
    OfTheGateway,
    /// Any at all: for tests and measurements that make up their own.
    Any,
}

impl Operations {
    /// The operations that the gateway has, in the order of bytes.
    pub const ALL: &'static [&'static str] = &OPERATIONS;

    pub(crate) fn has(self, operation: &str) -> bool {
        self == Self::Any || OPERATIONS.binary_search(&operation).is_ok()
    }

    /// What is wrong with a pattern that matches no operation.
    pub(crate) fn check(self, pattern: &str) -> Result<(), String> {
        if self == Self::Any || OPERATIONS.iter().any(|operation| fits(pattern, operation)) {
            return Ok(());
        }
        let nearest = nearest(pattern)
            .map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
        Err(format!("`{pattern}` matches no operation of this gateway{nearest}"))
    }
}

/// The operation, or family of operations (`secrets.*`), that the pattern most resembles.
fn nearest(pattern: &str) -> Option<String> {
    let family = |operation: &str| operation.split_once('.').map(|(of, _)| format!("{of}.*"));
    let families: BTreeSet<_> = OPERATIONS.into_iter().filter_map(family).collect();
    let single = OPERATIONS.into_iter().map(str::to_owned);
    let candidates: Vec<_> =
        if pattern.contains('*') { families.into_iter().collect() } else { single.collect() };
    candidates
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(pattern, &known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(2))
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Operations = Operations::OfTheGateway;

    #[test]
    fn operations_are_sorted_and_known() {
        assert!(OPERATIONS.is_sorted_by(|one, two| one < two));
        assert!(GATEWAY.has("secrets.destroy") && GATEWAY.has("acme.order.create"));
        assert!(!GATEWAY.has("secrets.destory") && !GATEWAY.has("") && Operations::Any.has("x"));
    }

    #[test]
    fn a_pattern_has_to_match_an_operation() {
        for pattern in ["*", "secrets.*", "*.read", "secrets.destroy", "s*.d*y"] {
            assert_eq!(GATEWAY.check(pattern), Ok(()), "{pattern}");
        }
        for (pattern, nearest) in [
            ("secrets.destory", "; did you mean `secrets.destroy`?"),
            ("secret.destroy", "; did you mean `secrets.destroy`?"),
            ("sekrets.*", "; did you mean `secrets.*`?"),
            ("Secrets.read", "; did you mean `secrets.read`?"),
            ("something-else-entirely.of-somebody", ""),
            ("", ""),
        ] {
            let expected = format!("`{pattern}` matches no operation of this gateway{nearest}");
            assert_eq!(GATEWAY.check(pattern), Err(expected), "{pattern}");
            assert_eq!(Operations::Any.check(pattern), Ok(()), "{pattern}");
        }
    }

    /// The table of the documentation has each operation, and no other.
    #[test]
    fn the_documentation_names_each_operation() {
        let document = include_str!("../../../../policies/README.md");
        let table = document.split_once("| access operation |").unwrap().1;
        let table = table.split_once("\n\n").unwrap().0;
        let mut patterns = Vec::new();
        for line in table.lines().skip(2) {
            let first = line.split('|').nth(1).unwrap();
            let mut last = String::new();
            for word in first.split('`').skip(1).step_by(2) {
                let word = match word.strip_prefix('.') {
                    Some(end) => format!("{}.{end}", last.rsplit_once('.').unwrap().0),
                    None => word.to_owned(),
                };
                patterns.push(word.clone());
                last = word;
            }
        }
        for pattern in &patterns {
            assert_eq!(GATEWAY.check(pattern), Ok(()));
        }
        for operation in OPERATIONS {
            let named = patterns.iter().any(|pattern| fits(pattern, operation));
            assert!(named, "{operation} is not in policies/README.md");
        }
    }
}
