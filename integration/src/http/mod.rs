//! A small blocking HTTP/1.1 client over rustls, which sends whatever it is told to send: paths and
//! headers go out byte for byte, where a proper client would tidy or refuse them.

mod client;
mod connection;

use std::fs;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

pub use client::Client;
pub use connection::Connection;

/// A client certificate with its chain and key.
#[derive(Debug)]
pub struct Credential {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credential {
    /// Reads PEM files.
    #[must_use]
    pub fn read(chain: &Path, key: &Path) -> Self {
        Self::from_pem(
            &fs::read_to_string(chain).expect("the certificate can be read"),
            &fs::read_to_string(key).expect("the key can be read"),
        )
    }

    /// Takes PEM texts.
    #[must_use]
    pub fn from_pem(chain: &str, key: &str) -> Self {
        Self {
            chain: certificates(chain),
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key as PEM"),
        }
    }

    /// The same certificate and key, with these certificates (PEM) behind the first.
    #[must_use]
    pub fn with_chain(mut self, pem: &str) -> Self {
        self.chain.extend(certificates(pem));
        self
    }

    /// The certificate itself, as DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        self.chain.first().expect("a chain has a certificate")
    }
}

impl Clone for Credential {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The certificates in a PEM text, in its order.
#[must_use]
pub fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("certificates as PEM")
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }

    /// Fails unless the status is this one.
    #[track_caller]
    #[must_use = "an answer is more than its status"]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// The path and query of a URL.
#[must_use]
pub fn target(url: &str) -> String {
    let rest = url.split_once("//").expect("a URL has a scheme").1;
    rest.find('/').map_or_else(|| "/".to_owned(), |start| rest[start..].to_owned())
}
