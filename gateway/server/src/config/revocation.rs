//! How it is found out what client CAs have revoked: `[clients.cas.revocation]`.

use std::path::Path;
use std::time::Duration;

use chancery_revocation::{Settings, Source, WhenUnknown};

use super::document;
use super::validate::{Check, DAY};

/// How many CRLs one client CA may have.
const MOST_CRLS: usize = 64;

impl Check<'_> {
    pub(super) fn revocation(&mut self, given: document::Revocation) -> Settings {
        let key = |name: &str| format!("clients.cas.revocation.{name}");
        if given.crls.is_empty() && given.ocsp.is_none() {
            let what = "names neither crls nor ocsp, so that nothing could ever be known";
            self.refuse::<()>("clients.cas.revocation", what);
        }
        if given.crls.len() > MOST_CRLS {
            let what = format!("names {} CRLs; {MOST_CRLS} are allowed", given.crls.len());
            self.refuse::<()>(&key("crls"), what);
        }
        let base = self.path(Path::new(""));
        let mut crls: Vec<Source> = vec![];
        for text in &given.crls {
            match Source::parse(text, &base) {
                Ok(source) if crls.contains(&source) => {
                    self.refuse::<()>(&key("crls"), format!("`{source}` stands twice"));
                }
                Ok(source) => crls.push(source),
                Err(error) => {
                    self.refuse::<()>(&key("crls"), error.to_string());
                }
            }
        }
        let ocsp = given.ocsp.and_then(|text| match text.parse() {
            Ok(responder) => Some(responder),
            Err(error) => self.refuse(&key("ocsp"), format!("{error}")),
        });
        let refresh = self.within(&key("refresh_seconds"), given.refresh_seconds, 1..=7 * DAY);
        let grace = self.within(&key("grace_seconds"), given.grace_seconds, 0..=30 * DAY);
        let mib = self.within(&key("crl_mib"), given.crl_mib, 1..=256);
        let wait = self.within(&key("ocsp_wait_ms"), given.ocsp_wait_ms, 100..=10_000);
        Settings {
            crls,
            ocsp,
            refresh: Duration::from_secs(refresh),
            grace: Duration::from_secs(grace),
            when_unknown: match given.when_unknown {
                document::WhenUnknown::Refuse => WhenUnknown::Refuse,
                document::WhenUnknown::Accept => WhenUnknown::Accept,
            },
            largest_crl: usize::try_from(mib << 20).unwrap_or(usize::MAX),
            ocsp_wait: Duration::from_millis(wait),
        }
    }
}
