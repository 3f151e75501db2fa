//! Validates tls-alpn-01 challenges (RFC 8737), also for IP addresses (RFC 8738).

use std::net::IpAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use chancery_x509::ParsedCertificate;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::dial::Host;
use super::{Task, Validator};
use crate::failure::{Failure, FailureKind};
use crate::identifier::Identifier;

/// `id-pe-acmeIdentifier` (RFC 8737 §6.1). Drafts had 1.3.6.1.5.5.7.1.30.1, which is not accepted.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

impl Validator {
    /// tls-alpn-01 (RFC 8737 §3): a handshake for the protocol `acme-tls/1` shows a certificate for
    /// just this name with the digest of the key authorization.
    pub(super) async fn tls_alpn01(&self, task: &Task) -> Result<(), Failure> {
        let (host, name) = match &task.identifier {
            Identifier::Dns(name) => (Host::Name(name.clone()), name.clone()),
            Identifier::Ip(address) => (Host::Address(*address), reverse_name(*address)),
        };
        let tls = |what: String| Failure::new(FailureKind::Tls, format!("{host}: {what}"));
        let server_name = ServerName::try_from(name)
            .map_err(|_| tls("the name cannot be sent as server name".to_owned()))?;
        let stream = self.dial(&host, self.tls_alpn01_port).await?;
        let stream =
            TlsConnector::from(self.acme_tls.clone())
                .connect(server_name, stream)
                .await
                .map_err(|error| tls(format!("the handshake for acme-tls/1 failed: {error}")))?;
        let (_, session) = stream.get_ref();
        if session.alpn_protocol() != Some(b"acme-tls/1") {
            return Err(tls("the server did not agree to the protocol acme-tls/1".to_owned()));
        }
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .ok_or_else(|| tls("the server showed no certificate".to_owned()))?;
        check(certificate, task)
            .map_err(|what| Failure::new(FailureKind::IncorrectResponse, format!("{host}: {what}")))
    }
}

fn check(certificate: &[u8], task: &Task) -> Result<(), String> {
    let certificate = ParsedCertificate::from_der(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    if certificate.names() != [task.identifier.general_name()] || certificate.other_names() > 0 {
        return Err(format!(
            "the certificate must have exactly one alternative name, {}",
            task.identifier
        ));
    }
    let extension = certificate
        .extension(ACME_IDENTIFIER)
        .ok_or("the certificate has no acmeIdentifier extension (1.3.6.1.5.5.7.1.31)")?;
    if !extension.critical {
        return Err("the acmeIdentifier extension is not critical".to_owned());
    }
    // An OCTET STRING of 32 bytes.
    let digest = digest(&SHA256, task.key_authorization().as_bytes());
    let expected = [&[0x04, 0x20], digest.as_ref()].concat();
    verify_slices_are_equal(extension.value, &expected)
        .map_err(|_| "the acmeIdentifier is not the digest of the key authorization".to_owned())
}

/// The server name for an address (RFC 8738 §6, RFC 3596 §2.5).
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles: Vec<String> = address
                .octets()
                .into_iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4])
                .map(|nibble| format!("{nibble:x}"))
                .collect();
            format!("{}.ip6.arpa", nibbles.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_in_reverse() {
        assert_eq!(reverse_name("192.0.2.1".parse().unwrap()), "1.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse_name("2001:db8::1".parse().unwrap()),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }
}
