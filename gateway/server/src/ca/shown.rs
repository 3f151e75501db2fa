//! What a ceremony is about, for those who watch it. It goes to standard error, since the result may go to standard
//! output.

use std::fmt::Write as _;
use std::net::IpAddr;

use chancery_ca::offline::Preview;
use chancery_x509::{CertificateRequest, NameConstraints, ParsedCertificate, Subtree};

/// Shows a certificate that was signed.
pub(super) fn certificate(der: &[u8]) {
    if let Ok(certificate) = ParsedCertificate::from_der(der) {
        show(&of_certificate(&certificate));
    }
}

/// Shows what is to be certified.
pub(super) fn request(request: &CertificateRequest) {
    show(&of_request(request));
}

/// Shows a certificate that would be signed.
pub(super) fn preview(preview: &Preview) {
    show(&of_preview(preview));
}

fn of_preview(preview: &Preview) -> String {
    let Preview { subject, not_before, not_after, key, path_length, name_constraints } = preview;
    let below = path_length.map_or_else(|| "no limit".to_owned(), |length| length.to_string());
    let NameConstraints { permitted, excluded } = name_constraints;
    let names = |said: &str, names: &[Subtree]| {
        names.iter().map(|name| format!("{said} {}", subtree(name))).collect::<Vec<_>>()
    };
    let constraints = [names("permit", permitted), names("exclude", excluded)].concat().join(", ");
    let constraints = if constraints.is_empty() { "none".to_owned() } else { constraints };
    format!(
        "  subject      {}\n  serial       none yet\n  valid        {not_before} to {not_after}\n  \
         key          {key}\n  CAs below    {below}\n  constraints  {}\n",
        shown(Some(subject)),
        shown(Some(&constraints))
    )
}

/// As it is written in `--permit` and `--exclude`.
fn subtree(subtree: &Subtree) -> String {
    match subtree {
        Subtree::Dns(name) => format!("dns:{name}"),
        Subtree::Email(name) => format!("email:{name}"),
        Subtree::Uri(name) => format!("uri:{name}"),
        Subtree::Ip { address, mask } => {
            let length: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
            let v4 = <[u8; 4]>::try_from(address.as_slice()).map(IpAddr::from);
            let address =
                v4.or_else(|_| <[u8; 16]>::try_from(address.as_slice()).map(IpAddr::from));
            address.map_or_else(|_| "ip:?".to_owned(), |address| format!("ip:{address}/{length}"))
        }
    }
}

fn of_certificate(certificate: &ParsedCertificate) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("subject", &shown(certificate.subject_common_name()));
    line("serial", &certificate.serial().to_string());
    line("valid", &format!("{} to {}", certificate.not_before(), certificate.not_after()));
    let key = certificate.public_key();
    line("key", &key.map_or_else(ToString::to_string, |key| key.algorithm().to_string()));
    line("key id", certificate.subject_key_id().unwrap_or("none"));
    let below = certificate.path_length().map(|length| length.to_string());
    line("CAs below", below.as_deref().unwrap_or("no limit"));
    let constrained = certificate.has_extension(NAME_CONSTRAINTS);
    line("constraints", if constrained { "name constraints, critical" } else { "none" });
    text
}

/// Its identifier (RFC 5280 §4.2.1.10).
const NAME_CONSTRAINTS: &str = "2.5.29.30";

fn of_request(request: &CertificateRequest) -> String {
    let key = request.public_key();
    let fingerprint = key.fingerprint().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    format!(
        "  subject      {}\n  key          {}\n  key SHA-256  {}\n",
        shown(request.common_name()),
        key.algorithm(),
        fingerprint
    )
}

/// A name that others chose, without what a terminal would take for commands.
fn shown(name: Option<&str>) -> String {
    name.map_or_else(|| "no common name".to_owned(), |name| name.escape_debug().take(200).collect())
}

fn show(text: &str) {
    // If standard error is closed, nobody reads it.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_shown_with_what_witnesses_compare() {
        let text = include_str!("../../tests/data/root.pem");
        let certificate = ParsedCertificate::from_pem(text).unwrap();
        let told = of_certificate(&certificate);
        for wanted in [
            certificate.serial().to_string(),
            certificate.not_after().to_string(),
            certificate.subject_key_id().unwrap_or("none").to_owned(),
            shown(certificate.subject_common_name()),
        ] {
            assert!(told.contains(&wanted), "{wanted}: {told}");
        }
    }

    #[test]
    fn names_hold_nothing_that_a_terminal_obeys() {
        assert_eq!(shown(Some("a\u{1b}[2J")), "a\\u{1b}[2J");
        assert_eq!(shown(None), "no common name");
    }
}
