use chancery_guest::certificate::{Denial, Name, Request, ValidatedName};
use chancery_guest::{Globs, Network};

/// Which subject alternative names there may and must be. Patterns are written over `KIND:NAME`, as
/// `dns:*.example.com`, `ip:10.*` or `uri:spiffe://example.com/*`.
#[derive(Debug)]
pub struct NameRules {
    /// Every name has to fit one of these.
    pub allow: Globs,
    /// No name may fit one of these.
    pub deny: Globs,
    /// Each of these has to be met by a name.
    pub require: Globs,
    /// Networks of which every address has to lie in one; all addresses may be if not given.
    pub networks: Option<Vec<Network>>,
    /// Whether DNS names may be wildcards (`*.example.com`).
    pub wildcards: bool,
    /// Ways of validation that count for wildcards. The CA/Browser Forum's rules for public CAs want
    /// `dns-01`: who controls one host does not control those beside it.
    pub wildcard_methods: Globs,
    /// How many labels there are at least below the star: 2 is `*.example.com`, not `*.com`.
    pub wildcard_labels: usize,
    /// Ways of validation that count.
    pub methods: Globs,
    /// Most names in one certificate.
    pub most: usize,
}

const KINDS: [&str; 4] = ["dns", "ip", "uri", "email"];

impl NameRules {
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, globs) in [
            ("names.allow", &self.allow),
            ("names.deny", &self.deny),
            ("names.require", &self.require),
        ] {
            for pattern in globs.as_slice().iter().map(chancery_guest::Glob::as_str) {
                let kind = pattern.split_once(':').map_or("", |(kind, _)| kind);
                if !KINDS.contains(&kind) {
                    let message =
                        format!("`{pattern}` begins with none of dns:, ip:, uri:, email:");
                    return Err((key, message));
                }
                if pattern.to_ascii_lowercase().starts_with("ip:::ffff:") {
                    let message = format!(
                        "`{pattern}`: write the IPv4 address, which is what is asked about"
                    );
                    return Err((key, message));
                }
            }
        }
        if self.allow.is_empty() {
            return Err(("names.allow", "allow at least one pattern, as `dns:*`".to_owned()));
        }
        if self.networks.as_ref().is_some_and(Vec::is_empty) {
            return Err(("names.networks", "name a network, or leave the key out".to_owned()));
        }
        if self.wildcard_labels == 0 {
            return Err(("names.wildcard_labels", "at least 1".to_owned()));
        }
        if self.most == 0 {
            return Err(("names.most", "a certificate has at least one name".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn check_request(&self, request: &Request) -> Result<(), Denial> {
        let names = &request.names;
        if names.is_empty() {
            return Err(Denial::new("no-names", "the request names nothing", ""));
        }
        if names.len() > self.most {
            let message = format!("at most {} names fit one certificate", self.most);
            return Err(Denial::new("too-many-names", &message, names.len().to_string()));
        }
        let mut text = String::new();
        for (at, name) in names.iter().enumerate() {
            write(name, &mut text);
            self.check_name(name, &text)?;
            self.check_validation(at, name, &text, request)?;
        }
        for pattern in self.require.as_slice() {
            let mut fits = |name: &Name| {
                write(name, &mut text);
                pattern.matches(&text)
            };
            if !names.iter().any(&mut fits) {
                let message = format!("a name that fits {} is missing", pattern.as_str());
                return Err(Denial::new("name-missing", &message, ""));
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &Name, text: &str) -> Result<(), Denial> {
        // A wildcard is all the names that it stands for.
        let stands_for_denied =
            wildcard(name).is_some_and(|below| self.deny.match_label("dns:", &format!(".{below}")));
        if !self.allow.matches(text) || self.deny.matches(text) || stands_for_denied {
            let message = format!("{text} is not a name for this profile");
            return Err(Denial::new("name-not-allowed", &message, text));
        }
        if let Some(parent) = wildcard(name) {
            let refuse = |message: String| Err(Denial::new("wildcard-not-allowed", &message, text));
            if !self.wildcards {
                return refuse(format!("{text}: this profile has no wildcards"));
            }
            if parent.split('.').count() < self.wildcard_labels {
                return refuse(format!("{text}: too few labels stand below the star"));
            }
        }
        if let (Some(networks), "ip") = (&self.networks, name.kind.as_str()) {
            let address = name.value.parse::<std::net::IpAddr>();
            if !address.is_ok_and(|address| networks.iter().any(|net| net.contains(address))) {
                let message = format!("{text} is in none of the networks of this profile");
                return Err(Denial::new("address-not-allowed", &message, text));
            }
        }
        Ok(())
    }

    fn counts(&self, name: &Name, method: &str) -> bool {
        self.methods.matches(method)
            && (wildcard(name).is_none() || self.wildcard_methods.matches(method))
    }

    /// `at` is the name's place in the request; its proof often has the same.
    fn check_validation(
        &self,
        at: usize,
        name: &Name,
        text: &str,
        request: &Request,
    ) -> Result<(), Denial> {
        let is_of = |proof: &&ValidatedName| proof.kind == name.kind && proof.value == name.value;
        let beside = request.validated.get(at).filter(is_of);
        if beside.is_some_and(|proof| self.counts(name, &proof.method)) {
            return Ok(());
        }
        let mut proofs = request.validated.iter().filter(is_of).peekable();
        if proofs.peek().is_none() {
            let message = format!("control of {text} was not proved");
            return Err(Denial::new("name-not-validated", &message, text));
        }
        if proofs.any(|proof| self.counts(name, &proof.method)) {
            return Ok(());
        }
        let message =
            format!("control of {text} was not proved in a way that this profile accepts");
        Err(Denial::new("validation-method", &message, text))
    }
}

/// What is below the star of a wildcard.
fn wildcard(name: &Name) -> Option<&str> {
    if name.kind == "dns" { name.value.strip_prefix("*.") } else { None }
}

/// Writes the name as patterns see it, in place of what is there.
fn write(name: &Name, text: &mut String) {
    text.clear();
    text.push_str(&name.kind);
    text.push(':');
    text.push_str(&name.value);
}
