//! What a binding has to pass, once its plugin is loaded, before its set comes into force: the plugin
//! says properly what it is, does not go back to an older version unasked, and decides its own golden cases as
//! they say. And what the documents have to pass: to be signed where that is required.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use chancery_identity::TenantId;

use super::documents::{Read, with_a_say};
use super::error::{LoadError, Subject};
use super::signature::Signers;
use super::signed::{DocumentSignatures, SIGNATURES};
use crate::binding::{Binding, Known, Sources, WrongSetting};
use crate::cases::Cases;
use crate::component::{Installed, Program, Versions};

/// A tenant that takes signed policies and has none: nobody is asked, and everything is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unasked {
    /// Which.
    pub tenant: TenantId,
    /// Documents that somebody of its signers signed, and that are not there any more.
    pub gone: BTreeSet<String>,
}

impl std::fmt::Display for Unasked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "no document has a say for the tenant `{}`, which takes signed policies: everything is denied there",
            self.tenant
        )?;
        if self.gone.is_empty() {
            return Ok(());
        }
        let gone = self.gone.iter().map(String::as_str).collect::<Vec<_>>();
        write!(f, "; signed, and not there any more: {}", gone.join(", "))
    }
}

/// What is asked of bindings.
pub(crate) struct Admission<'a> {
    /// Where signatures and cases are.
    pub(crate) sources: &'a Sources<'a>,
    pub(crate) signers: &'a Signers,
    /// What the documents may refer to.
    pub(crate) known: &'a Known,
    pub(crate) before: &'a Versions,
}

impl Admission<'_> {
    /// Says which version the binding has now, or why it may not come into force.
    pub(crate) fn admit(
        &self,
        binding: &Binding,
        program: &Program,
    ) -> Result<Installed, LoadError> {
        let subject = || Box::new(Subject::of(binding));
        let refuse = |reason: String| LoadError::Plugin { subject: subject(), reason };
        let installed = Installed::of(&program.description).map_err(refuse)?;
        self.check_references(binding, program)?;
        self.check_version(binding, &installed).map_err(refuse)?;
        self.check_cases(binding, program)?;
        Ok(installed)
    }

    /// What the settings refer to.
    fn check_references(&self, binding: &Binding, program: &Program) -> Result<(), LoadError> {
        let schema = &program.description.settings_schema;
        let checked = self.known.check_settings(schema, &binding.settings);
        checked.map_err(|WrongSetting { path, message }| LoadError::Settings {
            subject: Box::new(Subject::of(binding)),
            path,
            message,
        })
    }

    /// Makes sure that the documents that have a say in what is decided for a tenant are signed as the tenant wants.
    ///
    /// Gives those for whom nobody is asked, and so everything is denied.
    pub(crate) fn check_signatures(&self, read: &Read) -> Result<Vec<Unasked>, LoadError> {
        let mut unasked = Vec::new();
        if self.signers.is_empty() {
            return Ok(unasked);
        }
        let signatures = self.signatures();
        for (tenant, keys) in self.signers {
            let needed = with_a_say(tenant, &read.bindings, &read.groups);
            // Nothing is allowed where nobody is asked.
            if needed.is_empty() {
                let signed = signatures.as_ref().ok();
                let gone = signed.map(|signed| signed.gone(&read.digests, keys));
                let tenant = tenant.clone();
                unasked.push(Unasked { tenant, gone: gone.unwrap_or_default() });
                continue;
            }
            let verified = signatures.as_ref().map_err(Clone::clone).and_then(|signatures| {
                let verified = signatures.verify(&read.digests, &needed, keys);
                verified.map(drop).map_err(|error| error.to_string())
            });
            verified.map_err(|reason| LoadError::Unsigned {
                directory: self.sources.directory.to_owned(),
                tenant: tenant.clone(),
                reason: match read.bindings.values().find(|one| one.signature.is_some()) {
                    Some(_) => format!("{reason} (`plugin.signature` covers the component only)"),
                    None => reason,
                },
            })?;
        }
        Ok(unasked)
    }

    fn signatures(&self) -> Result<DocumentSignatures, String> {
        let text = match self.sources.read_text(Path::new(SIGNATURES)) {
            Err(error) if error.cause().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {
                return Err(format!("there is no {SIGNATURES}"));
            }
            text => text.map_err(|error| error.to_string())?,
        };
        DocumentSignatures::parse(Path::new(SIGNATURES), &text).map_err(|error| error.to_string())
    }

    /// The same plugin may get newer under a binding. To go back is often a mistake, or somebody who
    /// wants an old hole back.
    fn check_version(&self, binding: &Binding, now: &Installed) -> Result<(), String> {
        match self.before.get(&binding.name) {
            Some(before)
                if before.plugin == now.plugin
                    && before.version > now.version
                    && !binding.allow_downgrade =>
            {
                Err(format!(
                    "it is version {} of {}, and {} was in force: set `plugin.allow_downgrade = \
                     true` if that is meant",
                    now.version, now.plugin, before.version
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_cases(&self, binding: &Binding, program: &Program) -> Result<(), LoadError> {
        let Some(file) = &binding.self_test else { return Ok(()) };
        let path = self.sources.directory.join(file);
        let text = self.sources.read_text(file)?;
        let cases = Cases::parse(&path, &text, program.case_kind())?;
        let outcomes = cases.run(program, &binding.limits);
        match outcomes.into_iter().find(|outcome| !outcome.difference.is_empty()) {
            None => Ok(()),
            Some(failed) => Err(LoadError::SelfTest {
                subject: Box::new(Subject::of(binding)),
                case: failed.name,
                file: file.clone(),
                line: failed.line,
                difference: failed.difference.replace('\n', "; "),
            }),
        }
    }
}
