//! Why a gateway cannot be asked: in terms of what was given, and with what to do.

use std::error::Error;
use std::path::Path;

use reqwest::Url;

/// What was given to reach the gateway.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) address: Url,
    pub(super) root: Option<String>,
    pub(super) certificate: String,
}

/// The address of a gateway.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let wanted =
        "the address of a gateway (--address, VAULT_ADDR) is like https://gateway.example:8443";
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Ok(url),
        Ok(url) if url.scheme() == "http" => {
            Err(format!("{wanted}: its API is at the TLS port only, and not at http://"))
        }
        Ok(_) => Err(format!("{wanted}: it begins with https://")),
        Err(error) => Err(format!("{wanted}: {error}")),
    }
}

/// What is wrong with a certificate and its key, of which the library says little.
pub(super) fn identity(certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> String {
    let has = |content: &[u8], label: &str| String::from_utf8_lossy(content).contains(label);
    let (certificate, key) = ((certificate.0.display(), certificate.1), (key.0.display(), key.1));
    if !has(certificate.1, "-----BEGIN CERTIFICATE-----") {
        return format!(
            "{}: no certificate in PEM (--client-cert, VAULT_CLIENT_CERT)",
            certificate.0
        );
    }
    if !has(key.1, "PRIVATE KEY-----") {
        return format!("{}: no private key in PEM (--client-key, VAULT_CLIENT_KEY)", key.0);
    }
    format!("{} and {}: a certificate and the key for it, in PEM, are needed", certificate.0, key.0)
}

/// What the library says about a connection, and what it means.
pub(super) fn explained(error: &(dyn Error + 'static), given: &Given) -> Option<String> {
    let mut said = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        said.push_str(&error.to_string());
        said.push('\n');
        cause = error.source();
    }
    meaning(&said, given)
}

fn meaning(said: &str, given: &Given) -> Option<String> {
    let Given { address, root, certificate } = given;
    let has = |any: &[&str]| any.iter().any(|word| said.contains(word));
    // Alerts are the gateway's words about this side; the others are this side's about the gateway.
    if has(&["fatal alert: CertificateExpired"]) {
        return Some(format!(
            "the gateway refuses your certificate {certificate}, because it has expired: have a new one issued \
             (docs/operating/recovery.md, if it is the only administrator's)"
        ));
    }
    if has(&["fatal alert"]) {
        return Some(format!(
            "the gateway ended the handshake; if it refuses your certificate {certificate}, its log says why"
        ));
    }
    if has(&["UnknownIssuer"]) {
        let now = root
            .as_deref()
            .map_or_else(|| "none is given".to_owned(), |file| format!("given: {file}"));
        return Some(format!(
            "the certificate of {address} leads to no root that is trusted here: give the gateway's root by \
             --ca-cert or VAULT_CACERT ({now})"
        ));
    }
    if has(&["NotValidForName"]) {
        return Some(format!(
            "the certificate of the gateway is not for the host of {address}: use one of server.names"
        ));
    }
    if has(&["InvalidContentType", "corrupt message"]) {
        return Some(format!("there is no TLS at {address}: is that the gateway's plain port?"));
    }
    if has(&["Connection refused"]) {
        return Some(format!(
            "nothing answers at {address}: does the gateway run (--address, VAULT_ADDR)?"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        let address = address("https://gateway.example:8443").unwrap();
        Given { address, root: Some("root.pem".to_owned()), certificate: "own.pem".to_owned() }
    }

    #[test]
    fn an_address_is_https_and_has_a_host() {
        for wrong in ["127.0.0.1:18443", "localhost:8443", "http://gateway.example", "https:", ""] {
            let refused = address(wrong).unwrap_err();
            assert!(refused.contains("VAULT_ADDR"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn what_the_library_says_is_told_with_what_to_do() {
        for (said, wanted) in [
            ("invalid peer certificate: UnknownIssuer", "VAULT_CACERT (given: root.pem)"),
            ("received fatal alert: CertificateExpired", "own.pem, because it has expired"),
            ("received fatal alert: BadCertificate", "own.pem, its log says why"),
            ("received corrupt message of type InvalidContentType", "plain port"),
            ("tcp connect error\nConnection refused (os error 111)", "does the gateway run"),
        ] {
            assert!(meaning(said, &given()).unwrap().contains(wanted), "{said}");
        }
        assert_eq!(meaning("something else", &given()), None);
    }

    #[test]
    fn the_file_that_lacks_its_part_is_named() {
        let (cert, key) = (Path::new("c.pem"), Path::new("k.pem"));
        let certificate = b"-----BEGIN CERTIFICATE-----".as_slice();
        assert!(identity((cert, b"x"), (key, b"x")).starts_with("c.pem: no certificate"));
        assert!(identity((cert, certificate), (key, b"x")).starts_with("k.pem: no private key"));
    }
}
