//! Limits the certificate that policy proposed to the validated names and the requested validity.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_ca::ProposedCertificate;
use chancery_identity::{CertificateNames, TenantId, Tenants};
use chancery_policy::CertificateTemplate;
use chancery_x509::{
    ExtendedKeyUsage, ExtraExtension, GeneralName, KeyUsage, KeyUsages, Subject, SubjectAttribute,
};
use jiff::Timestamp;

use crate::{IssuanceRequest, IssueError, dates};

/// What policy proposed, cut down to what may be certified: every name is one that the requester
/// has proved to control, and nothing is longer or other than was asked for.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) subject: Subject,
    pub(crate) names: BTreeSet<GeneralName>,
    pub(crate) profile: String,
    pub(crate) issuer: Option<String>,
    key_usages: KeyUsages,
    extended_key_usages: Vec<ExtendedKeyUsage>,
    extra: Vec<ExtraExtension>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Proposal {
    /// Takes what policy proposed for this request, with the length of validity that was asked for.
    pub(crate) fn accept(
        template: CertificateTemplate,
        request: &IssuanceRequest,
        requested: Option<Duration>,
        now: Timestamp,
    ) -> Result<Self, IssueError> {
        let names = template
            .names
            .iter()
            .map(|name| GeneralName::from_parts(&name.kind, &name.value).map_err(impossible))
            .collect::<Result<BTreeSet<_>, _>>()?;
        if names.is_empty() {
            return Err(IssueError::Template("it has no names".to_owned()));
        }
        let validated: BTreeSet<&GeneralName> =
            request.validated.iter().map(|validated| &validated.name).collect();
        let others: Vec<GeneralName> =
            names.iter().filter(|name| !validated.contains(name)).cloned().collect();
        if !others.is_empty() {
            return Err(IssueError::NamesNotValidated(others));
        }
        let extra = template
            .extensions
            .iter()
            .map(|one| {
                ExtraExtension::from_parts(&one.oid, one.critical, &one.value).map_err(impossible)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let subject = subject(template.subject)?;
        let among = |name: &str| {
            GeneralName::dns(name).is_ok_and(|name| names.contains(&name))
                || names.contains(&GeneralName::Email(name.to_owned()))
        };
        if let Some(name) = subject.get(SubjectAttribute::CommonName).filter(|name| !among(name)) {
            let reason = format!("its common name `{name}` is none of its DNS names and mailboxes");
            return Err(IssueError::Template(reason));
        }
        let (not_before, not_after) = dates::of(template.validity, request, requested, now)?;
        Ok(Self {
            subject,
            names,
            profile: template.profile,
            issuer: template.issuer,
            key_usages: parse::<KeyUsage, _>(&template.key_usages)?,
            extended_key_usages: parse::<ExtendedKeyUsage, _>(&template.extended_key_usages)?,
            extra,
            not_before,
            not_after,
        })
    }

    /// The gateway takes certificates of its own CA from clients of all tenants, so one that may be shown as
    /// a client certificate has no name that stands for somebody in another tenant than the requester's,
    /// whatever this tenant's policies say.
    pub(crate) fn check_tenant(
        &self,
        tenant: &TenantId,
        tenants: &Tenants,
    ) -> Result<(), IssueError> {
        let usages = &self.extended_key_usages;
        if !usages.is_empty() && !usages.contains(&ExtendedKeyUsage::ClientAuth) {
            return Ok(());
        }
        let mut names = CertificateNames { uris: vec![], dns: vec![] };
        for name in &self.names {
            match name {
                GeneralName::Uri(uri) => names.uris.push(uri.clone()),
                GeneralName::Dns(name) => names.dns.push(name.clone()),
                GeneralName::Ip(_) | GeneralName::Email(_) => {}
            }
        }
        match tenants.name_of_another(tenant, &names) {
            Some(name) => Err(IssueError::OfAnotherTenant(name)),
            None => Ok(()),
        }
    }

    /// What the private CA is asked to certify.
    pub(crate) fn for_private_ca(&self, request: &IssuanceRequest) -> ProposedCertificate {
        ProposedCertificate {
            public_key: request.csr.public_key().clone(),
            subject: self.subject.clone(),
            names: self.names.iter().cloned().collect(),
            key_usages: self.key_usages,
            extended_key_usages: self.extended_key_usages.clone(),
            extra: self.extra.clone(),
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }

    /// Another CA takes the request as it is, so that policy cannot have changed the names, and
    /// decides the dates.
    pub(crate) fn check_for_upstream(&self, request: &IssuanceRequest) -> Result<(), IssueError> {
        if request.csr.requested_names().map_err(impossible)? != self.names {
            return Err(IssueError::Template(
                "another CA issues for exactly the names in the request, and these are others"
                    .to_owned(),
            ));
        }
        let asked = |extra: &ExtraExtension| {
            request.csr.extensions().iter().any(|one| {
                ExtraExtension::from_parts(&one.oid, one.critical, &one.value).as_ref() == Ok(extra)
            })
        };
        if let Some(other) = self.extra.iter().find(|extra| !asked(extra)) {
            return Err(IssueError::Template(format!(
                "another CA issues for what is in the request, and {other} is not"
            )));
        }
        if self.subject.iter().any(|(kind, _)| kind != SubjectAttribute::CommonName) {
            return Err(IssueError::Template(
                "another CA decides about the subject itself, but for its common name".to_owned(),
            ));
        }
        if request.not_before.is_some() || request.not_after.is_some() {
            return Err(IssueError::Dates("the CA that policy chose decides them itself"));
        }
        Ok(())
    }
}

/// What values the attributes may have, and how often, is for the CA's lints to see.
fn subject(attributes: Vec<(String, String)>) -> Result<Subject, IssueError> {
    let known = attributes
        .into_iter()
        .map(|(name, value)| Ok((name.parse::<SubjectAttribute>().map_err(impossible)?, value)));
    Ok(Subject::new(known.collect::<Result<Vec<_>, IssueError>>()?))
}

fn impossible(error: impl std::fmt::Display) -> IssueError {
    IssueError::Template(error.to_string())
}

fn parse<T, C>(names: &[String]) -> Result<C, IssueError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    C: FromIterator<T>,
{
    names.iter().map(|name| name.parse().map_err(impossible)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Requester, ValidatedName};
    use chancery_identity::{RequestContext, TenantId};
    use chancery_policy::Name;
    use chancery_x509::CertificateRequest;
    use jiff::SignedDuration;

    const NOW: Timestamp = Timestamp::constant(1_700_000_000, 500_000_000);
    const DAY: Duration = Duration::from_hours(24);

    fn request(validated: &[&str]) -> IssuanceRequest {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let csr = params.serialize_request(&key).unwrap();
        IssuanceRequest {
            context: RequestContext::internal(TenantId::default_tenant(), NOW),
            requester: Requester::Internal("test"),
            csr: CertificateRequest::from_der(csr.der()).unwrap(),
            profile: None,
            validated: validated
                .iter()
                .map(|name| ValidatedName {
                    name: GeneralName::dns(name).unwrap(),
                    method: "http-01".to_owned(),
                })
                .collect(),
            order: None,
            not_before: None,
            not_after: None,
        }
    }

    fn template(names: &[&str]) -> CertificateTemplate {
        CertificateTemplate {
            subject: vec![],
            names: names
                .iter()
                .map(|&name| Name { kind: "dns".to_owned(), value: name.to_owned() })
                .collect(),
            key_usages: vec!["digital-signature".to_owned()],
            extended_key_usages: vec!["server-auth".to_owned()],
            validity: DAY,
            extensions: vec![],
            profile: "tls-server".to_owned(),
            issuer: None,
        }
    }

    fn accept(
        template: CertificateTemplate,
        request: &IssuanceRequest,
    ) -> Result<Proposal, IssueError> {
        let requested = dates::requested(request, NOW)?;
        Proposal::accept(template, request, requested, NOW)
    }

    #[test]
    fn a_plugin_cannot_add_names_that_were_not_validated() {
        let request = request(&["a.example"]);
        assert!(accept(template(&["a.example"]), &request).is_ok());
        for names in [&["a.example", "b.example"][..], &["*.a.example"], &["sub.a.example"]] {
            match accept(template(names), &request) {
                Err(IssueError::NamesNotValidated(others)) => {
                    assert!(!others.contains(&GeneralName::dns("a.example").unwrap()));
                }
                other => panic!("{names:?}: {other:?}"),
            }
        }
        // The same text of another kind is another name.
        let mut as_uri = template(&[]);
        as_uri.names =
            vec![Name { kind: "uri".to_owned(), value: "spiffe://a.example/".to_owned() }];
        assert!(accept(as_uri, &request).is_err());
    }

    #[test]
    fn case_makes_no_other_name() {
        assert!(accept(template(&["A.Example"]), &request(&["a.example"])).is_ok());
    }

    #[test]
    fn a_plugin_may_leave_names_out_but_not_all() {
        let request = request(&["a.example", "b.example"]);
        assert_eq!(accept(template(&["b.example"]), &request).unwrap().names.len(), 1);
        assert!(matches!(accept(template(&[]), &request), Err(IssueError::Template(_))));
    }

    #[test]
    fn the_common_name_is_one_of_the_dns_names() {
        let request = request(&["a.example", "b.example"]);
        for (name, allowed) in [("a.example", true), ("b.example", false), ("x y", false)] {
            let mut template = template(&["a.example"]);
            template.subject = vec![("CN".to_owned(), name.to_owned())];
            assert_eq!(accept(template, &request).is_ok(), allowed, "{name}");
        }
    }

    #[test]
    fn a_mailbox_may_be_the_common_name_and_other_attributes_come_from_policy() {
        let mut request = request(&["a.example"]);
        request.validated.push(ValidatedName {
            name: GeneralName::from_parts("email", "a@example.com").unwrap(),
            method: "identity".to_owned(),
        });
        let mut template = template(&[]);
        template.names = vec![Name { kind: "email".to_owned(), value: "a@example.com".to_owned() }];
        template.subject = vec![
            ("CN".to_owned(), "a@example.com".to_owned()),
            ("O".to_owned(), "Chancery".to_owned()),
        ];
        let proposal = accept(template.clone(), &request).unwrap();
        assert_eq!(proposal.subject.get(SubjectAttribute::Organization), Some("Chancery"));
        assert!(proposal.check_for_upstream(&request).is_err(), "another CA decides");
        template.subject.push(("serialNumber".to_owned(), "7".to_owned()));
        assert!(matches!(accept(template, &request), Err(IssueError::Template(_))));
    }

    #[test]
    fn extensions_are_of_the_allowed_set_and_another_ca_s_are_those_in_the_request() {
        let request = request(&["a.example"]);
        let with = |oid: &str, value: &[u8]| {
            let mut template = template(&["a.example"]);
            let value = value.to_vec();
            template.extensions =
                vec![chancery_policy::Extension { oid: oid.to_owned(), critical: false, value }];
            accept(template, &request)
        };
        let staple = with("1.3.6.1.5.5.7.1.24", &[0x30, 3, 2, 1, 5]).unwrap();
        assert_eq!(staple.extra, [ExtraExtension::MustStaple]);
        assert!(matches!(staple.check_for_upstream(&request), Err(IssueError::Template(_))));
        for (oid, value) in [("1.3.6.1.5.5.7.1.24", &[][..]), ("2.5.29.19", &[0x30, 0])] {
            assert!(matches!(with(oid, value), Err(IssueError::Template(_))), "{oid}");
        }
    }

    #[test]
    fn what_no_certificate_can_have_is_the_policy_s_fault() {
        let request = request(&["a.example"]);
        let broken = |change: &dyn Fn(&mut CertificateTemplate)| {
            let mut template = template(&["a.example"]);
            change(&mut template);
            assert!(matches!(accept(template, &request), Err(IssueError::Template(_))));
        };
        broken(&|template| template.key_usages = vec!["everything".to_owned()]);
        broken(&|template| template.extended_key_usages = vec!["any".to_owned()]);
        broken(&|template| template.validity = Duration::ZERO);
        broken(&|template| template.validity = Duration::MAX);
        broken(&|template| template.names.push(Name { kind: "dns".into(), value: "a b".into() }));
        broken(&|template| template.names.push(Name { kind: "other".into(), value: "a".into() }));
    }

    #[test]
    fn validity_counts_its_last_second_and_begins_a_minute_ago() {
        let proposal = accept(template(&["a.example"]), &request(&["a.example"])).unwrap();
        assert_eq!(proposal.not_before.as_second(), NOW.as_second() - 60);
        let length = proposal.not_after.duration_since(proposal.not_before);
        assert_eq!(length.as_secs(), 86_400 - 1);
        assert_eq!(proposal.not_after.subsec_nanosecond(), 0);
    }

    #[test]
    fn dates_that_are_asked_for_shorten_and_never_lengthen() {
        let mut request = request(&["a.example"]);
        let at = |hours: i64| NOW + SignedDuration::from_hours(hours);
        request.not_before = Some(at(1));
        request.not_after = Some(at(3));
        let proposal = accept(template(&["a.example"]), &request).unwrap();
        assert_eq!(proposal.not_before.as_second(), at(1).as_second());
        assert_eq!(proposal.not_after.as_second(), at(3).as_second());

        request.not_after = Some(at(100));
        let proposal = accept(template(&["a.example"]), &request).unwrap();
        assert_eq!(proposal.not_after.as_second(), at(25).as_second() - 1);
    }

    #[test]
    fn an_end_that_was_asked_for_is_the_end() {
        let at = |hours: i64| NOW + SignedDuration::from_hours(hours);
        let mut request = request(&["a.example"]);
        // Asked for to the second, as clients do.
        for end in [at(3), Timestamp::from_second(at(3).as_second()).unwrap()] {
            request.not_after = Some(end);
            let asked = dates::requested(&request, NOW).unwrap().unwrap();
            // A policy that allows what was asked for and no more.
            let exact = CertificateTemplate { validity: asked, ..template(&["a.example"]) };
            let proposal = accept(exact, &request).unwrap();
            assert_eq!(proposal.not_after.as_second(), at(3).as_second());
            assert_eq!(proposal.not_before.as_second(), NOW.as_second());
            // One that allows more leaves room for clocks that are behind.
            let proposal = accept(template(&["a.example"]), &request).unwrap();
            assert_eq!(proposal.not_after.as_second(), at(3).as_second());
            assert_eq!(proposal.not_before.as_second(), NOW.as_second() - 60);
        }
        // One that allows less decides.
        let short =
            CertificateTemplate { validity: Duration::from_hours(1), ..template(&["a.example"]) };
        let proposal = accept(short, &request).unwrap();
        let length = proposal.not_after.duration_since(proposal.not_before);
        assert_eq!(length.as_secs(), 3600 - 1);
    }

    #[test]
    fn impossible_dates_are_refused() {
        let at = |hours: i64| Some(NOW + SignedDuration::from_hours(hours));
        for (not_before, not_after) in
            [(None, at(-1)), (at(2), at(1)), (at(-1), None), (at(-1), at(1)), (at(-3), at(-2))]
        {
            let mut request = request(&["a.example"]);
            (request.not_before, request.not_after) = (not_before, not_after);
            let refused = accept(template(&["a.example"]), &request);
            assert!(matches!(refused, Err(IssueError::Dates(_))), "{not_before:?} {not_after:?}");
            // And so when they are ordered.
            let refused = dates::check(not_before, not_after, NOW);
            assert!(matches!(refused, Err(IssueError::Dates(_))), "{not_before:?} {not_after:?}");
        }
    }

    #[test]
    fn a_beginning_that_makes_no_certificate_is_the_request_s_fault() {
        let mut request = request(&["a.example"]);
        let short =
            || CertificateTemplate { validity: Duration::from_mins(2), ..template(&["a.example"]) };
        for not_before in [Timestamp::MAX, NOW - SignedDuration::from_mins(4)] {
            request.not_before = Some(not_before);
            let refused = accept(short(), &request);
            assert!(matches!(refused, Err(IssueError::Dates(_))), "{not_before}: {refused:?}");
        }
    }

    #[test]
    fn another_ca_gets_the_request_only_with_the_names_in_it() {
        let request = request(&["a.example", "b.example"]);
        let same = accept(template(&["a.example"]), &request).unwrap();
        assert!(same.check_for_upstream(&request).is_ok());
        let other = accept(template(&["b.example"]), &request).unwrap();
        assert!(matches!(other.check_for_upstream(&request), Err(IssueError::Template(_))));
        let mut dated = request;
        dated.not_after = Some(NOW + SignedDuration::from_hours(1));
        let proposal = accept(template(&["a.example"]), &dated).unwrap();
        assert!(matches!(proposal.check_for_upstream(&dated), Err(IssueError::Dates(_))));
    }
}
