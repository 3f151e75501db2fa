//! The example configuration is valid, and each wrong value is reported with its line and what is wanted.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chancery_revocation::WhenUnknown;

use super::*;

mod defaults;

const EXAMPLE: &str = include_str!("../../../../chancery.example.toml");

/// Self-signed, for `roots` settings; any certificate does.
const ROOT_PEM: &str = include_str!("../../tests/data/root.pem");
const LEAF_PEM: &str = include_str!("../../tests/data/leaf.pem");
const SIGNER_PEM: &str = include_str!("../../tests/data/signer.pem");

/// The fingerprint that the example pins.
const PINNED: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The example with its files in a directory of their own, where they exist.
struct Installed {
    directory: tempfile::TempDir,
    text: String,
}

impl Installed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path();
        for (name, content) in [
            ("root.key", "k"),
            ("passphrase", "p"),
            ("pin", "1234\n"),
            ("libsofthsm2.so", ""),
            ("clients.pem", ROOT_PEM),
            ("leaf.pem", LEAF_PEM),
            ("policy-signer.pem", SIGNER_PEM),
            ("upstream-roots.pem", ROOT_PEM),
        ] {
            let path = etc.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::create_dir(etc.join("policies")).unwrap();
        let text = EXAMPLE
            .replace("/etc/chancery", &etc.display().to_string())
            .replace("/var/lib/chancery", &etc.join("state").display().to_string());
        Self { directory, text }
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("chancery.toml")
    }

    fn parse(&self, text: &str) -> Result<Config, ConfigError> {
        Config::parse(&self.file(), text)
    }

    /// The message for the example with `from` replaced by `to`.
    fn message(&self, from: &str, to: &str) -> String {
        assert!(self.text.contains(from), "{from} is not in the example");
        let text = self.text.replacen(from, to, 1);
        self.parse(&text).expect_err(&format!("{from} -> {to} is accepted")).to_string()
    }
}

#[test]
fn the_example_is_valid() {
    let installed = Installed::new();
    let config = installed.parse(&installed.text).unwrap();
    assert_eq!(config.acme.http01_port, 80);
    assert_eq!(config.hsm.as_ref().unwrap().tokens[0].pin.as_str(), "1234");
    assert!(!format!("{config:?}").contains("1234"), "the PIN shows in Debug output");
}

#[test]
fn tokens_are_named_by_uris() {
    let installed = Installed::new();
    let etc = installed.directory.path().display();
    let (before, rest) = installed.text.split_once("module = ").unwrap();
    let after = rest.split_once("\nsessions = ").unwrap().1;
    let uri = |token: &str| {
        format!("pkcs11:token={token}?module-path={etc}/libsofthsm2.so&pin-source=file:{etc}/pin")
    };
    let text =
        format!("{before}uris = [\"{}\", \"{}\"]\nsessions = {after}", uri("one"), uri("two"));
    let hsm = installed.parse(&text).unwrap().hsm.unwrap();
    let tokens: Vec<_> = hsm.tokens.iter().map(|token| token.token.value()).collect();
    assert_eq!(tokens, ["one", "two"]);
    assert_eq!(hsm.tokens[1].pin.as_str(), "1234");
}

#[test]
fn a_key_that_does_not_exist_is_refused_in_every_table() {
    let installed = Installed::new();
    let tables: Vec<_> = installed
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with('['))
        .map(|(index, line)| (index, line.to_owned()))
        .collect();
    assert_eq!(tables.len(), 19);
    for (index, table) in tables {
        let mut lines: Vec<_> = installed.text.lines().collect();
        lines.insert(index + 1, "no_such_key = 1");
        let message = installed.parse(&lines.join("\n")).unwrap_err().to_string();
        let place =
            format!("{}:{}: unknown key `no_such_key`", installed.file().display(), index + 2);
        assert!(message.starts_with(&place), "{table}: {message}");
    }
}

#[test]
fn a_misspelt_key_is_answered_with_the_nearest() {
    let installed = Installed::new();
    let message = installed.message("listen =", "listne =");
    assert!(message.ends_with("unknown key `listne`; did you mean `listen`?"), "{message}");
    let message = installed.message("[telemetry]", "[telemetri]");
    assert!(message.ends_with("unknown key `telemetri`; did you mean `telemetry`?"), "{message}");
}

#[test]
fn each_value_wrong_in_turn_is_named_with_its_line_and_what_is_wanted() {
    let installed = Installed::new();
    let etc = installed.directory.path().display().to_string();
    let roots = |name: &str| format!("roots = [\"{etc}/{name}\"]");
    let cases: &[(&str, &str, &str)] = &[
        (
            "listen = \"0.0.0.0:8443\"",
            "listen = \"0.0.0.0\"",
            "server.listen: `0.0.0.0` is not an address",
        ),
        (
            "http = \"0.0.0.0:8080\"",
            "http = \"here:80\"",
            "server.http: `here:80` is not an address",
        ),
        ("http = \"0.0.0.0:8080\"", "http = \"0.0.0.0:8443\"", "server.http: is the same address"),
        ("http://pki.example.com", "https://pki.example.com", "server.public_http: "),
        ("names = [\"chancery.example.com\"]", "names = []", "server.names: needs at least one"),
        ("names = [\"chancery.example.com\"]", "names = [\"a b\"]", "server.names: `a b`"),
        (
            "drain_seconds = 30",
            "drain_seconds = 4000",
            "server.drain_seconds: 4000 is not between 0 and 3600",
        ),
        (
            "handshake_seconds = 10",
            "handshake_seconds = 0",
            "server.handshake_seconds: 0 is not between",
        ),
        ("connections = 10000", "connections = 0", "server.connections: 0 is not between"),
        (
            "tenant = \"default\"",
            "tenant = \"nobody\"",
            "acme.tenant: `nobody` is not the id of one of [[tenants]]",
        ),
        (
            "tenant = \"default\"                     # left out",
            "tenant = \"nobody\" # left out",
            "administration.tenant: `nobody` is not the id of one of [[tenants]]",
        ),
        (
            "tenants = [\"default\"]                  # for whom",
            "tenants = [\"nobody\"] # for whom",
            "ssh.tenants: `nobody` is not the id of one of [[tenants]]",
        ),
        (
            "tenants = [\"default\"]                  # for whom",
            "tenants = [] # for whom",
            "ssh.tenants: name the tenants",
        ),
        ("root_key_file =", "# root_key_file =", "seal: set exactly one of"),
        ("# passphrase_file", "passphrase_file", "seal: set exactly one of"),
        ("/root.key", "/absent.key", "seal.root_key_file: "),
        ("key_days = 365", "key_days = 4000", "seal.key_days: 4000 is not between 0 and 3650"),
        ("/libsofthsm2.so", "/absent.so", "pkcs11.module: "),
        ("token = \"chancery\"", "", "pkcs11.token: set exactly one of"),
        (
            "token = \"chancery\"",
            "token = \"a\"\nserial = \"b\"",
            "pkcs11.token: set exactly one of",
        ),
        ("/pin\"", "/absent\"", "pkcs11.pin_file: "),
        ("pin_file = ", "pin_env = \"X\"\npin_file = ", "pkcs11.pin_file: set exactly one of"),
        ("sessions = 8", "sessions = 0", "pkcs11.sessions: 0 is not between 1 and 256"),
        (
            "wait_seconds = 30",
            "wait_seconds = 100000",
            "pkcs11.wait_seconds: 100000 is not between",
        ),
        (
            "module = ",
            "uris = [\"pkcs11:token=t?module-path=/m.so\"]\nmodule = ",
            "pkcs11.module: the uris say this",
        ),
        (
            "module = ",
            "uris = [\"pkcs11:token=t?module-path=/m.so\"]\nmodule = ",
            "pkcs11.uris.0: it has no pin-source",
        ),
        ("queue = 256", "queue = 0", "pkcs11.queue: 0 is not between"),
        ("deadline_ms = 2000", "deadline_ms = 1", "pkcs11.deadline_ms: 1 is not between"),
        ("keys = \"pkcs11\"", "keys = \"paper\"", "ca.keys: `paper` is neither"),
        (
            "key_type = \"ecdsa-p256\"",
            "key_type = \"rsa-1024\"",
            "ca.key_type: `rsa-1024` is not a key type",
        ),
        ("root_name = \"Chancery Root CA\"", "root_name = \"\"", "ca.root_name: must have 1 to 64"),
        (
            "issuing_name = \"Chancery Issuing CA\"",
            "issuing_name = \"Chancery Root CA\"",
            "ca.issuing_name: must differ",
        ),
        ("root_days = 7300", "root_days = 0", "ca.root_days: 0 is not between"),
        ("root_days = 7300", "root_days = 30", "ca.issuing_days: the issuing CA cannot outlive"),
        ("issuing_days = 1825", "issuing_days = 0", "ca.issuing_days: 0 is not between"),
        ("crl_hours = 24", "crl_hours = 0", "ca.crl_hours: 0 is not between"),
        ("parent = \"own-root\"", "parent = \"none\"", "ca.parent: `none` is neither"),
        ("mount = \"ssh\"", "mount = \"pki\"", "ssh.mount: `pki` is another mount already"),
        ("ttl_minutes = 60", "ttl_minutes = 1441", "ssh.ttl_minutes: 1441 is not between"),
        ("max_ttl_hours = 24", "max_ttl_hours = 0", "ssh.max_ttl_hours: 0 is not between"),
        ("[policy]", "[[issuers]]\nname = \"ssh\"\n[policy]", "issuers.name: `ssh` is taken"),
        ("[policy]", "[[issuers]]\nname = \"A\"\n[policy]", "issuers.name: `A` is not a name"),
        ("crl_shards = 1", "crl_shards = 1025", "ca.crl_shards: 1025 is not between"),
        ("delta_crl_hours = 6", "delta_crl_hours = 25", "ca.delta_crl_hours: 25 is not between"),
        ("keep_expired_days = 400", "keep_expired_days = 1", "ca.keep_expired_days: 1 is not"),
        ("ocsp_hours = 24", "ocsp_hours = 241", "ca.ocsp_hours: 241 is not between"),
        ("/policies\"", "/absent\"", "policy.directory: "),
        (
            "dns = \"127.0.0.1:53\"",
            "dns = \"127.0.0.1\"",
            "acme.dns: `127.0.0.1` is not an address",
        ),
        ("http01_port = 80", "http01_port = 0", "acme.http01_port: 0 is not between"),
        ("validations = 256", "validations = 3", "acme.limits.validations: 3 is not between"),
        ("connect_seconds = 3", "connect_seconds = 11", "acme.limits.connect_seconds: 11 is not"),
        ("order_hours = 12", "order_hours = 0", "acme.limits.order_hours: 0 is not between"),
        ("per_account = 100", "per_account = 10001", "acme.limits.pending_orders_per_account: "),
        ("refused_hours = 1", "refused_hours = 0", "acme.limits.refused_hours: 0 is not between"),
        ("idle_account_days = 400", "idle_account_days = 0", "acme.limits.idle_account_days: 0"),
        ("turn_seconds = 30", "turn_minutes = 1", "unknown key `turn_minutes`"),
        ("http01_port = 80", "http01_port = 70000", "invalid value: integer `70000`"),
        ("tls_alpn01_port = 443", "tls_alpn01_port = 0", "acme.tls_alpn01_port: 0 is not between"),
        ("10.0.0.0/8", "10.0.0.0/80", "acme.allowed_networks: `10.0.0.0/80` is not a network"),
        ("\"https://example.com/terms\"", "\"ftp://x\"", "acme.terms_of_service: "),
        ("website = \"https://example.com\"", "website = \"x\"", "acme.website: "),
        (
            "default_profile = \"tls-server\"",
            "default_profile = \"x\"",
            "acme.default_profile: `x` is not among",
        ),
        ("mounts = [\"secret\"]", "mounts = [\"a/b\"]", "secrets.mounts: `a/b` cannot be a mount"),
        ("mounts = [\"secret\"]", "mounts = [\"sys\"]", "secrets.mounts: `sys` cannot be a mount"),
        (
            "token_ttl_seconds = 3600",
            "token_ttl_seconds = 0",
            "secrets.token_ttl_seconds: 0 is not",
        ),
        (
            "tokens_per_identity = 1000",
            "tokens_per_identity = 2000000",
            "secrets.tokens_per_identity: 2000000 is not between 0 and 1000000",
        ),
        (
            "token_max_ttl_seconds = 86400",
            "token_max_ttl_seconds = 60",
            "secrets.token_max_ttl_seconds: 60 is not between 3600",
        ),
        ("role = \"ansible\"", "role = \"a b\"", "secrets.bearer_roles.role: `a b` is not a role"),
        (
            "tenant = \"default\"                     # whose logins",
            "tenant = \"other\" # whose logins",
            "secrets.bearer_roles.tenant: there is no tenant `other`",
        ),
        (
            "networks = [\"10.1.0.0/16\"]",
            "networks = []",
            "secrets.bearer_roles.networks: name at least one network",
        ),
        (
            "networks = [\"10.1.0.0/16\"]",
            "networks = [\"0.0.0.0/0\"]",
            "secrets.bearer_roles.networks: `0.0.0.0/0` is everywhere",
        ),
        (
            "ttl_seconds = 900",
            "ttl_seconds = 3601",
            "secrets.bearer_roles.ttl_seconds: 3601 is not between 1 and 3600",
        ),
        (
            "max_ttl_seconds = 3600 ",
            "max_ttl_seconds = 60 ",
            "secrets.bearer_roles.max_ttl_seconds: 60 is not between 900",
        ),
        ("trust_own_ca = true", "trust_own_ca = 1", "invalid type: integer `1`"),
        ("/clients.pem", "/absent.pem", "clients.cas.file: "),
        ("/clients.pem", "/pin", "clients.cas.file: "),
        ("/clients.pem", "/leaf.pem", "is not a CA's: its basic constraints"),
        ("roots = []", &roots("pin"), "clients.roots: "),
        // The same CA for everybody and for some.
        ("roots = []", &roots("clients.pem"), "clients.cas: the client CA `"),
        (BOUND, "tenants = [] #", "clients.cas.tenants: name the tenants"),
        (BOUND, "tenants = [\"Default\"] #", "clients.cas.tenants: `Default` is the id of none"),
        (
            "trust_domains = [\"prod.example\"]       #",
            "trust_domains = [\"prod.exmaple\"] #",
            "clients.cas.trust_domains: `prod.exmaple` is no trust domain of the tenants",
        ),
        (
            "dns_suffixes = [\"example.com\"]         #",
            "dns_suffixes = [\"ample.com\"] #",
            "clients.cas.dns_suffixes: `ample.com` is neither",
        ),
        ("crls = [\"/", "crls = [\"ftp://a/\", \"/", "clients.cas.revocation.crls: `ftp://a/`"),
        (
            "crls = [\"",
            "crls = [\"http://crl.example.com/clients.crl\", \"",
            "clients.cas.revocation.crls: `http://crl.example.com/clients.crl` stands twice",
        ),
        ("ocsp = \"http:", "ocsp = \"ldap:", "clients.cas.revocation.ocsp: `ldap://ocsp"),
        (
            "refresh_seconds = 3600 ",
            "refresh_seconds = 0 ",
            "clients.cas.revocation.refresh_seconds: 0 is not between 1 and 604800",
        ),
        ("grace_seconds = 0", "grace_seconds = 9999999", "clients.cas.revocation.grace_seconds: "),
        ("when_unknown = \"refuse\"", "when_unknown = \"ask\"", "unknown variant `ask`"),
        ("crl_mib = 64", "crl_mib = 0", "clients.cas.revocation.crl_mib: 0 is not between"),
        ("ocsp_wait_ms = 2000", "ocsp_wait_ms = 1", "clients.cas.revocation.ocsp_wait_ms: 1 is"),
        (
            "ocsp_hours = 24",
            "clients = { tenants = [\"b\"] }\nocsp_hours = 24",
            "ca.clients.tenants: `b` is the id of none",
        ),
        ("id = \"default\"", "id = \"Default\"", "tenants.id: `Default` is not a tenant id"),
        (
            "[[tenants]]",
            "[[tenants]]\nid = \"default\"\n[[tenants]]",
            "tenants.id: `default` stands twice",
        ),
        (
            "[[tenants]]",
            "[[tenants]]\nid = \"b\"\ntrust_domains = [\"prod.example\"]\n[[tenants]]",
            "tenants.trust_domains: `prod.example` stands in the tenants `b` and `default`",
        ),
        (
            "[[tenants]]",
            "[[tenants]]\nid = \"b\"\ndns_suffixes = [\"example.com\"]\n[[tenants]]",
            "tenants.dns_suffixes: `example.com` stands in the tenants `b` and `default`",
        ),
        (
            "[[tenants]]",
            &format!(
                "[[tenants]]\nid = \"b\"\npinned = [{{ fingerprint = \"{PINNED}\", name = \"x\" }}]\n[[tenants]]"
            ),
            &format!(
                "tenants.pinned.fingerprint: `{PINNED}` stands in the tenants `b` and `default`"
            ),
        ),
        (
            "trust_domains = [\"prod.example\"]\n",
            "trust_domains = [\"a/b\"]\n",
            "tenants.trust_domains: `a/b`",
        ),
        (
            "dns_suffixes = [\"example.com\"]\n",
            "dns_suffixes = [\"Example.com\"]\n",
            "tenants.dns_suffixes: `Example.com`",
        ),
        (
            "fingerprint = \"e3b0",
            "fingerprint = \"xx\", name=\"x\" },{ fingerprint = \"e3b0",
            "tenants.pinned.fingerprint: ",
        ),
        ("name = \"breakglass\"", "name = \"\"", "tenants.pinned.name: is empty"),
        (
            "trusted_groups = []",
            "trusted_groups = [\"no such group\"]",
            "files.trusted_groups: `no such group` is neither a group",
        ),
        (
            "trusted_users = []",
            "trusted_users = [\"no such user\"]",
            "files.trusted_users: `no such user` is neither a user",
        ),
        (
            "secret_readers = \"owner\"",
            "secret_readers = \"friends\"",
            "files.secret_readers: `friends` is neither",
        ),
        ("log = \"info\"", "log = \"a=b=c\"", "telemetry.log: `a=b=c`"),
        (
            "log = \"info\"",
            "log = \"verbose\"",
            "telemetry.log: `verbose` is no level: write error",
        ),
        (
            "log = \"info\"",
            "log = \"warning\"",
            "telemetry.log: `warning` is no level: write error",
        ),
        ("format = \"json\"", "format = \"xml\"", "telemetry.format: `xml` is neither"),
        (
            "name = \"chancery.example.com/audit\"",
            "name = \"my log\"",
            "audit.name: `my log` is no name",
        ),
        ("rotate_mib = 1024", "rotate_mib = 1048577", "audit.rotate_mib: 1048577"),
        ("rotate_hours = 0", "rotate_hours = 9000", "audit.rotate_hours: 9000"),
        ("checkpoint_seconds = 300", "checkpoint_seconds = 0", "audit.checkpoint_seconds: 0"),
        (
            "verify_kib_per_second = 1024",
            "verify_kib_per_second = 1048577",
            "audit.verify_kib_per_second: 1048577",
        ),
        ("repeat_seconds = 10", "repeat_seconds = 86401", "telemetry.repeat_seconds: 86401"),
        ("http://127.0.0.1:4317", "nowhere", "telemetry.otlp_endpoint: "),
        ("name = \"public\"", "name = \"Public\"", "upstreams.name: `Public` is not a name"),
        ("name = \"public\"", "name = \"private\"", "upstreams.name: `private` is not a name"),
        (
            "https://acme.example.net",
            "http://acme.example.net",
            "upstreams.directory_url: must be an https",
        ),
        (
            "mailto:pki@example.com",
            "pki@example.com",
            "upstreams.contact: `pki@example.com` is not",
        ),
        ("/upstream-roots.pem", "/absent.pem", "upstreams.roots: "),
    ];
    for (from, to, expected) in cases {
        let message = installed.message(from, to);
        assert!(message.contains(expected), "{from} -> {to}: {message}");
        let first = message.lines().next().unwrap();
        let place = first.strip_prefix(&format!("{etc}/chancery.toml:")).expect(first);
        let line = place.split(':').next().unwrap();
        assert!(line.parse::<usize>().is_ok(), "no line in: {first}");
    }
}

/// The line that a table begins with, and what stands in it.
const BOUND: &str = "tenants = [\"default\"]                  # whose";

#[test]
fn a_client_ca_vouches_for_what_its_table_names() {
    let installed = Installed::new();
    let config = installed.parse(&installed.text).unwrap();
    let [ca] = config.clients.cas.as_slice() else { panic!("{:?}", config.clients) };
    let VouchesFor::Only(binding) = &ca.rule.vouches_for else { panic!("{ca:?}") };
    assert_eq!(binding.tenants, ["default".parse().unwrap()].into());
    assert_eq!(binding.trust_domains, ["prod.example".to_owned()].into());
    assert_eq!(binding.dns_suffixes, ["example.com".to_owned()].into());
    assert!(!ca.rule.allow_no_extended_key_usage);
    assert_eq!(config.ca.clients, ClientRule::everybody());
}

#[test]
fn what_a_client_ca_has_revoked_is_asked_where_its_table_says_so() {
    let installed = Installed::new();
    let config = installed.parse(&installed.text).unwrap();
    let settings = config.clients.cas[0].revocation.clone().unwrap();
    assert_eq!(settings.crls.len(), 2);
    assert!(settings.crls[0].to_string().ends_with("/clients.crl"), "a file may come later");
    assert!(settings.ocsp.is_some());
    assert_eq!(settings.when_unknown, WhenUnknown::Refuse);
    assert_eq!(settings.largest_crl, 64 << 20);
    // The defaults are those of the example.
    let start = installed.text.find("refresh_seconds = 3600 ").unwrap();
    let end = installed.text.find("# Tenants, and which").unwrap();
    let short = format!("{}{}", &installed.text[..start], &installed.text[end..]);
    assert_eq!(installed.parse(&short).unwrap().clients.cas[0].revocation, Some(settings));
    let start = installed.text.find("[clients.cas.revocation]").unwrap();
    let none = format!("{}{}", &installed.text[..start], &installed.text[end..]);
    assert_eq!(installed.parse(&none).unwrap().clients.cas[0].revocation, None);
    let empty =
        format!("{}[clients.cas.revocation]\n{}", &installed.text[..start], &installed.text[end..]);
    let message = installed.parse(&empty).unwrap_err().to_string();
    assert!(message.contains("clients.cas.revocation: names neither crls nor ocsp"), "{message}");
}

#[test]
fn a_client_ca_is_not_left_unbound_while_there_are_several_tenants() {
    let installed = Installed::new();
    let etc = installed.directory.path().display();
    let start = installed.text.find("\n[[clients.cas]]").unwrap();
    let end = installed.text.find("# Tenants, and which").unwrap();
    let roots = format!("roots = [\"{etc}/clients.pem\"]");
    let simple = format!("{}{}", &installed.text[..start], &installed.text[end..]);
    let simple = simple.replace("roots = []", &roots);
    let one = installed.parse(&simple).unwrap();
    assert_eq!(one.clients.cas[0].rule, ClientRule::everybody());

    let second = "[[tenants]]\nid = \"b\"\ndns_suffixes = [\"b.example\"]\n";
    let message = installed.parse(&format!("{simple}\n{second}")).unwrap_err().to_string();
    assert!(message.contains("clients.roots: there are several tenants"), "{message}");
    let bound = installed.text.clone() + second;
    installed.parse(&bound).unwrap();
    // Of a tenant that pins certificates a CA may vouch for these alone.
    let pins = bound.replace(BOUND, "tenants = [\"default\"] #");
    let pins = pins.replacen("trust_domains = [\"prod.example\"]       #", "#", 1);
    let pins = pins.replacen("dns_suffixes = [\"example.com\"]         #", "#", 1);
    installed.parse(&pins).unwrap();
    let nobody = pins.replace("pinned = [{", "# [{");
    let message = installed.parse(&nobody).unwrap_err().to_string();
    assert!(message.contains("clients.cas.tenants: nothing counts"), "{message}");
}

#[test]
fn one_tenant_administers_the_installation() {
    let installed = Installed::new();
    let line = "[administration]\ntenant = \"default\" ";
    let administers = |text: &str| installed.parse(text).unwrap().administration.to_string();
    assert_eq!(administers(&installed.text), "default");
    let unsaid = installed.text.replace(line, "[administration] ");
    let one = unsaid.replace("id = \"default\"", "id = \"a\"");
    let one = one
        .replace("[\"default\"] ", "[\"a\"] ")
        .replace("tenant = \"default\" ", "tenant = \"a\" ");
    assert_eq!(administers(&one), "a", "the only one");
    let second = "[[tenants]]\nid = \"b\"\ndns_suffixes = [\"b.example\"]\n";
    assert_eq!(administers(&format!("{one}\n{second}")), "default", "nobody");
    let named = one.replace("[administration] ", "[administration]\ntenant = \"b\" ");
    assert_eq!(administers(&format!("{named}\n{second}")), "b");
    // The CA for SSH is that tenant's, unless it is said whose.
    let ssh = "tenants = [\"default\"]                  # for whom";
    let of_ssh = |text: &str| installed.parse(text).unwrap().ssh.unwrap().tenants;
    let unsaid = installed.text.replace(ssh, "# ");
    assert_eq!(of_ssh(&format!("{unsaid}\n{second}")), [TenantId::default_tenant()].into());
    let said = installed.text.replace(ssh, "tenants = [\"b\"] # ");
    assert_eq!(of_ssh(&format!("{said}\n{second}")), ["b".parse().unwrap()].into());
}

#[test]
fn an_issuer_s_client_certificates_can_be_bound_or_be_nobody_s() {
    let installed = Installed::new();
    let with = |table: &str| {
        let text = installed.text.replace(
            "# Certificates for SSH",
            &format!("[[issuers]]\nname = \"more\"\n[issuers.clients]\n{table}\n# SSH"),
        );
        installed.parse(&text).unwrap().issuers.remove(0).clients
    };
    let bound = with("tenants = [\"default\"]\ndns_suffixes = [\"team.example.com\"]");
    let VouchesFor::Only(binding) = &bound.vouches_for else { panic!("{bound:?}") };
    assert_eq!(binding.dns_suffixes, ["team.example.com".to_owned()].into());
    assert!(binding.trust_domains.is_empty());
    assert!(!bound.is_nobody());
    assert!(with("tenants = []").is_nobody());
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    for name in ["root.key", "pin"] {
        let installed = Installed::new();
        let path = installed.directory.path().join(name);
        set(&path, 0o440);
        let message = installed.parse(&installed.text).unwrap_err().to_string();
        assert!(message.contains("mode 0440"), "{message}");
        assert!(message.contains(&format!("chmod go-rwx {}", real(&path))), "{message}");
        let shared =
            installed.text.replace("secret_readers = \"owner\"", "secret_readers = \"group\"");
        installed.parse(&shared).unwrap();
        set(&path, 0o444);
        assert!(installed.parse(&shared).unwrap_err().to_string().contains("mode 0444"));
        installed.parse(&shared.replace("\"group\"", "\"everybody\"")).unwrap();
    }
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn real(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}

#[test]
fn files_that_others_may_change_are_refused() {
    let installed = Installed::new();
    let at = |name: &str| installed.directory.path().join(name);
    std::fs::create_dir_all(at("state/audit")).unwrap();
    std::fs::write(at("state/audit/audit.jsonl"), "").unwrap();
    for (name, key) in [
        ("root.key", "seal.root_key_file"),
        ("pin", "pkcs11.pin_file"),
        ("libsofthsm2.so", "pkcs11.module"),
        ("clients.pem", "clients.cas.file"),
        ("policy-signer.pem", "tenants.policy_signers"),
        ("upstream-roots.pem", "upstreams.roots"),
        ("policies", "policy.directory"),
        ("state", "server.directory"),
        ("state/audit", "audit.file"),
        ("state/audit/audit.jsonl", "audit.file"),
    ] {
        let path = at(name);
        let before = std::fs::metadata(&path).unwrap().permissions().mode();
        set(&path, 0o666);
        let message = installed.parse(&installed.text).unwrap_err().to_string();
        let expected = format!(": {key}: {} has mode 0666", real(&path));
        assert!(message.contains(&expected), "{expected}: {message}");
        assert!(message.contains(&format!("chmod go-w {}", real(&path))), "{message}");
        set(&path, before);
    }
    installed.parse(&installed.text).unwrap();
}

#[test]
fn a_configuration_that_others_may_change_is_refused() {
    let installed = Installed::new();
    let file = installed.file();
    std::fs::write(&file, &installed.text).unwrap();
    set(&file, 0o644);
    Config::load(&file).unwrap();
    set(&file, 0o646);
    let message = Config::load(&file).unwrap_err().to_string();
    assert!(message.contains(&format!("chmod go-w {}", real(&file))), "{message}");
}

#[test]
fn all_problems_are_told_at_once() {
    let installed = Installed::new();
    let text = installed
        .text
        .replace("crl_hours = 24", "crl_hours = 0")
        .replace("http01_port = 80", "http01_port = 0");
    let message = installed.parse(&text).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 2, "{message}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let message = Config::load(Path::new("/no/such/chancery.toml")).unwrap_err().to_string();
    assert!(message.starts_with("/no/such/chancery.toml: cannot read"), "{message}");
}

proptest::proptest! {
    #[test]
    fn never_panics_on_arbitrary_text(text in "(\\[[a-z]{0,8}\\]|[a-z_]{1,9} = [0-9\"a-z\\[\\]]{0,9}|\\n){0,12}") {
        let _ = Config::parse(Path::new("f.toml"), &text);
    }
}
