//! Whether the policies load, and let the gateway have the certificates that it needs to start.

use std::sync::Arc;

use anyhow::{Context, Result};
use chancery_identity::Clock;
use chancery_issuance::{IssuanceRequest, Issuers, Requester, certificate_facts};
use chancery_keys::KeyType;
use chancery_keys::software::{self, SoftwareSigner};
use chancery_policy::{CertificateTemplate, Lookups, PolicyHost, Verdict};

use super::Findings;
use crate::commands::with_policies_in;
use crate::config::Config;
use crate::request::Wanted;
use crate::{credential, ocsp};

pub(super) async fn look(config: &Config, found: &mut Findings<'_>) {
    let host = with_policies_in(config, &config.policy_directory, of_a_new_gateway(), |host| {
        Ok(host.clone())
    });
    let host = match host {
        Ok(host) => host,
        Err(error) => return found.fault("policy.directory", format!("{error:#}")),
    };
    for unasked in host.summary().unasked {
        found.note(unasked.to_string());
    }
    look_at_profiles(config, &host, found).await;
    let names = &config.server.names;
    let own = (credential::wanted(names), None, "server.names".to_owned());
    let mut needed = vec![own];
    let profiles: Vec<_> = std::iter::once(&config.ca)
        .chain(&config.issuers)
        .filter(|ca| ca.ocsp_validity.is_some())
        .map(|ca| (ca.name.as_str(), ocsp::profile(&ca.name)))
        .collect();
    for (ca, profile) in &profiles {
        let setting = if *ca == Issuers::PRIVATE { "ca" } else { "issuers" };
        needed.push((ocsp::wanted(profile, names), Some(*ca), format!("{setting}.ocsp_hours")));
    }
    for (wanted, ca, setting) in needed {
        let (requester, profile) = (wanted.requester, wanted.profile.to_owned());
        match issuer(&host, wanted).await {
            Ok(issuer) if ca.is_none_or(|ca| ca == issuer) => {}
            Ok(issuer) => found.fault(
                &setting,
                format!(
                    "the certificate policies choose the issuer `{issuer}` for the profile `{profile}`, which has to \
                     be issued by `{}`",
                    ca.unwrap_or_default()
                ),
            ),
            Err(error) => found.fault(
                &setting,
                format!(
                    "the certificate policies do not allow `internal:{requester}` the profile `{profile}` for the \
                     names of the gateway: {error:#}"
                ),
            ),
        }
    }
}

/// Whether the certificate policies know the profiles that ACME's directory offers: an order for one that they do not
/// know is taken, validated, and refused at its end. Whether they allow it depends on names, which nobody has yet.
async fn look_at_profiles(config: &Config, host: &PolicyHost, found: &mut Findings<'_>) {
    for profile in config.acme.profiles.keys() {
        let names = &config.server.names;
        let wanted =
            Wanted { tenant: config.acme.tenant.clone(), profile, ..credential::wanted(names) };
        let requester = Requester::AcmeAccount { id: "check".to_owned() };
        let denial = match asked(host, wanted, requester).await {
            Ok(verdict) => verdict.decision.err(),
            Err(error) => return found.fault("acme.profiles", format!("{error:#}")),
        };
        if denial.is_some_and(|denial| denial.code == UNKNOWN_PROFILE) {
            found.fault(
                "acme.profiles",
                format!("the certificate policies know no profile `{profile}`, so no order for it can be issued"),
            );
        }
    }
}

/// How the policies that ship with the gateway say that there is no such profile.
const UNKNOWN_PROFILE: &str = "unknown-profile";

/// The issuer that the policies choose for a certificate.
async fn issuer(host: &PolicyHost, wanted: Wanted<'_>) -> Result<String> {
    let requester = Requester::Internal(wanted.requester);
    match asked(host, wanted, requester).await?.decision {
        Ok(template) => Ok(template.issuer.unwrap_or_else(|| Issuers::PRIVATE.to_owned())),
        Err(denial) => anyhow::bail!("{}: {}", denial.code, denial.audit),
    }
}

/// What the policies say of a certificate that somebody wants.
async fn asked(
    host: &PolicyHost,
    wanted: Wanted<'_>,
    requester: Requester,
) -> Result<Verdict<CertificateTemplate>> {
    let (signer, name) = (SoftwareSigner::new(), "own".parse()?);
    let key = software::generate(KeyType::EcdsaP256).context("making a key")?;
    signer.insert_pkcs8("own".parse()?, key)?;
    let request = wanted.request(&signer, &name, Clock::system().now()).await?;
    let request = IssuanceRequest { requester, ..request };
    Ok(host.decide_certificate(&certificate_facts(&request, None)?).await)
}

/// Answers as of a gateway that has issued nothing and has no groups: with those of a real one, nobody denies the
/// gateway itself.
fn of_a_new_gateway() -> Lookups {
    Lookups {
        group: Arc::new(|_, _, _| Ok(false)),
        data: Arc::new(|_, _, _| Ok(None)),
        issued: Arc::new(|_, _, _| Ok(0)),
    }
}
