//! A running gateway, as its administrators reach it: over its own API, with a client certificate. The
//! variables are those of OpenBao's and Vault's own tools.

mod unreachable;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use reqwest::{Certificate, Client, Identity, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use zeroize::Zeroizing;

use self::unreachable::Given;

/// Many certificates take their time to be revoked.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Where the gateway is and who asks.
#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    /// The gateway.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = variable("BAO_ADDR", "VAULT_ADDR"),
        default_value = "https://127.0.0.1:8443",
        value_parser = unreachable::address
    )]
    address: Url,
    /// The root certificate of the gateway (PEM).
    #[arg(long, global = true, value_name = "FILE", env = variable("BAO_CACERT", "VAULT_CACERT"), value_parser = file())]
    ca_cert: Option<PathBuf>,
    /// Your client certificate with its chain (PEM).
    #[arg(long, global = true, value_name = "FILE", env = variable("BAO_CLIENT_CERT", "VAULT_CLIENT_CERT"), value_parser = file())]
    client_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, global = true, value_name = "FILE", env = variable("BAO_CLIENT_KEY", "VAULT_CLIENT_KEY"), value_parser = file())]
    client_key: Option<PathBuf>,
    /// The tenant, if it is not your certificate's.
    #[arg(long, global = true, value_name = "TENANT", env = variable("BAO_NAMESPACE", "VAULT_NAMESPACE"))]
    namespace: Option<String>,
}

/// Takes the name of a file, an empty one too: shells write `VAULT_CLIENT_CERT=` for what is not set.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// What was given, if it is not empty.
fn given(file: Option<&PathBuf>) -> Option<&Path> {
    file.map(PathBuf::as_path).filter(|file| !file.as_os_str().is_empty())
}

/// The gateway, ready to be asked.
pub(crate) struct Remote {
    client: Client,
    given: Given,
    namespace: Option<String>,
}

/// The variable that an option is read from: that of OpenBao's tools if it says something, else that of Vault's. One
/// that is set and empty says nothing.
fn variable(bao: &'static str, vault: &'static str) -> &'static str {
    let value = |name| std::env::var_os(name);
    let says = |name| value(name).is_some_and(|value| !value.is_empty());
    match (says(bao), says(vault)) {
        (true, _) => bao,
        (false, true) => vault,
        // A name that is not set, since the parser would take the empty text for a value.
        (false, false) if value(vault).is_none() => vault,
        (false, false) if value(bao).is_none() => bao,
        (false, false) => "(empty)",
    }
}

impl RemoteArgs {
    /// The same with this certificate and key, where none are given.
    pub(crate) fn or_own(self, certificate: &Path, key: &Path) -> Self {
        match (given(self.client_cert.as_ref()), given(self.client_key.as_ref())) {
            (None, None) => {
                let (client_cert, client_key) = (certificate.to_owned(), key.to_owned());
                Self { client_cert: Some(client_cert), client_key: Some(client_key), ..self }
            }
            _ => self,
        }
    }

    /// Where your client certificate is, if that is given.
    pub(crate) fn client_cert(&self) -> Option<&Path> {
        given(self.client_cert.as_ref())
    }

    /// Reads certificate and key.
    ///
    /// # Errors
    /// Says which file or flag is missing or wrong.
    pub(crate) fn open(&self) -> Result<Remote> {
        let (Some(certificate), Some(key)) =
            (given(self.client_cert.as_ref()), given(self.client_key.as_ref()))
        else {
            bail!(
                "the gateway knows you by your client certificate: give --client-cert and \
                 --client-key, or set VAULT_CLIENT_CERT and VAULT_CLIENT_KEY"
            );
        };
        let certificates = read(certificate)?;
        let private = Zeroizing::new(read(key)?);
        let pem = Zeroizing::new([&certificates, &b"\n"[..], &private].concat());
        let identity = Identity::from_pem(&pem).map_err(|_| {
            let wrong = unreachable::identity((certificate, &certificates), (key, &private));
            anyhow::anyhow!(wrong)
        })?;
        let mut client = Client::builder().identity(identity).https_only(true).timeout(TIMEOUT);
        if let Some(root) = given(self.ca_cert.as_ref()) {
            let roots = Certificate::from_pem_bundle(&read(root)?)
                .with_context(|| format!("{}: no certificates in PEM", root.display()))?;
            ensure!(
                !roots.is_empty(),
                "{}: no certificate in PEM (--ca-cert, VAULT_CACERT)",
                root.display()
            );
            client = client.tls_certs_only(roots);
        }
        let client = client.build().map_err(|_| {
            anyhow::anyhow!(
                "the certificate {} and the key {} cannot be used together: is the key that of the certificate?",
                certificate.display(),
                key.display()
            )
        })?;
        let given = Given {
            address: self.address.clone(),
            root: given(self.ca_cert.as_ref()).map(|root| root.display().to_string()),
            certificate: certificate.display().to_string(),
        };
        Ok(Remote { client, given, namespace: self.namespace.clone() })
    }
}

impl Remote {
    /// Lists: `data` of the answer, which is null if nothing is there.
    pub(crate) async fn list(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        let list = Method::from_bytes(b"LIST").context("the method LIST")?;
        Ok(self.ask(list, path, query, None).await?.unwrap_or_default())
    }

    /// Reads.
    pub(crate) async fn read(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.call(Method::GET, path, query, None).await
    }

    /// Writes.
    pub(crate) async fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Deletes.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.call(Method::DELETE, path, &[], None).await
    }

    /// Reads what is no JSON, piece by piece.
    pub(crate) async fn fetch(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (shown, request) = self.request(Method::GET, path, &[])?;
        let mut answer = self.send(request, &shown).await?;
        if !answer.status().is_success() {
            let (status, text) = (answer.status(), answer.bytes().await.unwrap_or_default());
            return Err(refused(&shown, status, &text));
        }
        while let Some(piece) = answer.chunk().await.with_context(|| shown.clone())? {
            each(&piece)?;
        }
        Ok(())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value> {
        let found = self.ask(method.clone(), path, query, body).await?;
        found.with_context(|| format!("{method} {path}: there is no such thing"))
    }

    /// As [`call`](Self::call); none if there is no such thing.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Option<Value>> {
        let (shown, mut request) = self.request(method, path, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request, &shown).await?;
        let status = answer.status();
        let text = answer.bytes().await.with_context(|| shown.clone())?;
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(Some(value.get("data").cloned().unwrap_or_default()));
        }
        match (status, errors(&value).is_empty()) {
            (StatusCode::NOT_FOUND, true) => Ok(None),
            _ => Err(refused(&shown, status, &text)),
        }
    }

    async fn send(&self, request: RequestBuilder, shown: &str) -> Result<Response> {
        request.send().await.map_err(|error| match unreachable::explained(&error, &self.given) {
            Some(meaning) => anyhow::anyhow!(meaning),
            None => anyhow::Error::new(error).context(shown.to_owned()),
        })
    }

    /// A request, and how it is shown in errors.
    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<(String, RequestBuilder)> {
        let base = &self.given.address;
        let mut url = base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{base}: not the address of a gateway"))?
            .pop_if_empty()
            .push("v1")
            .extend(path.split('/'));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let shown = format!("{method} {url}");
        let mut request = self.client.request(method, url);
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        Ok((shown, request))
    }
}

/// What the gateway says is wrong.
fn errors(answer: &Value) -> Vec<&str> {
    let errors = answer.get("errors").and_then(Value::as_array);
    errors.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn refused(shown: &str, status: StatusCode, text: &[u8]) -> anyhow::Error {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    match errors(&value) {
        errors if errors.is_empty() => anyhow::anyhow!("{shown}: the gateway answered {status}"),
        errors => anyhow::anyhow!("{shown}: {}", errors.join(": ")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        remote: RemoteArgs,
    }

    #[test]
    fn an_empty_file_is_none() {
        let line = ["chancery", "--client-cert", "", "--client-key", ""];
        let RemoteArgs { client_cert, .. } = Line::parse_from(line).remote;
        assert_eq!(given(client_cert.as_ref()), None);
        let error = Line::parse_from(line).remote.open().err().unwrap().to_string();
        assert!(error.contains("set VAULT_CLIENT_CERT"), "{error}");
        let own = Line::parse_from(line).remote.or_own(Path::new("a.pem"), Path::new("a.key"));
        assert_eq!(own.client_cert(), Some(Path::new("a.pem")));
    }
}
