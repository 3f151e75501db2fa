//! What each metric means: the `# HELP` lines of the page.

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram};

/// Name and meaning. Histograms of `_seconds` and `_microseconds` are in those units.
const HELP: &[(&str, &str)] = &[
    (
        "chancery_access_logins_over_quota_total",
        "Logins that were refused because the identity has as many tokens as it may have.",
    ),
    ("chancery_access_logins_total", "Logins by outcome."),
    (
        "chancery_access_unauthenticated_total",
        "Requests whose certificate or token was not accepted.",
    ),
    ("chancery_acme_accounts_created_total", "ACME accounts that were made."),
    (
        "chancery_acme_accounts_removed_total",
        "ACME accounts that nobody used any more and that are removed.",
    ),
    ("chancery_acme_orders_created_total", "ACME orders that were made."),
    ("chancery_acme_orders_deleted_total", "ACME orders that were over and are deleted."),
    (
        "chancery_acme_orders_finished_total",
        "ACME orders that became valid or invalid at finalization.",
    ),
    (
        "chancery_acme_orders_put_off_total",
        "Tries to make an order's certificate that failed for what is away, and are made again later.",
    ),
    (
        "chancery_acme_rate_limited_total",
        "Accounts and orders that were refused because there are too many, by limit.",
    ),
    (
        "chancery_acme_validations_postponed_total",
        "Challenges that had no turn to be looked at and are tried again later.",
    ),
    (
        "chancery_acme_validations_total",
        "Challenges that were looked at, by type and what was found.",
    ),
    ("chancery_api_request_duration_seconds", "Time from a request to its answer, by route."),
    ("chancery_api_requests_total", "Requests by route, method and status."),
    ("chancery_audit_checkpoints_total", "Checkpoints of the audit log that were signed."),
    ("chancery_audit_failures_total", "Events that could not be written; their requests failed."),
    ("chancery_audit_files_total", "Files of the audit log that were closed for the next."),
    ("chancery_audit_lines_total", "Lines written to the audit log."),
    (
        "chancery_audit_mark_failures_total",
        "Times that the store did not take the mark of the audit log.",
    ),
    (
        "chancery_audit_mismatch",
        "1 if the audit log is not as it was written, as far as verifying it while it is written has found.",
    ),
    (
        "chancery_audit_refusals_left_out_total",
        "Refused requests without a line in the audit log, since their client had too many.",
    ),
    (
        "chancery_audit_verified_timestamp_seconds",
        "When all of the audit log was last found as it was written, in seconds since 1970.",
    ),
    (
        "chancery_audit_verified_bytes_total",
        "Bytes of the audit log that were read to verify it while it is written.",
    ),
    ("chancery_audit_write_seconds", "Time to write and flush a group of audit lines."),
    ("chancery_backup_last_success_timestamp_seconds", "When the last backup was made."),
    ("chancery_backups_total", "Backups by outcome."),
    ("chancery_ca_certificates_total", "Certificates signed by the private CA."),
    ("chancery_ca_crls_total", "CRLs signed by the private CA."),
    ("chancery_ca_ocsp_answers_total", "OCSP answers by whether they were kept, signed or failed."),
    ("chancery_ca_prepare_seconds", "Time to build and lint a certificate."),
    ("chancery_ca_revocations_total", "Certificates that the private CA revoked."),
    (
        "chancery_compute_refused_total",
        "Expensive calculations that were refused because too many waited.",
    ),
    (
        "chancery_issuance_certificates_expiring",
        "Valid certificates that end within 1d, 7d and 30d, by tenant; counted every ten minutes.",
    ),
    (
        "chancery_issuance_certificates_unreplaced",
        "Those of them that are not revoked and have no later certificate for each of their names.",
    ),
    (
        "chancery_gate_operations_total",
        "Operations of the API for secrets, sessions and administration, by operation and outcome. ACME is not counted.",
    ),
    ("chancery_issuance_certificates_valid", "Certificates that have not ended, by tenant."),
    ("chancery_ca_ssh_certificates_total", "Certificates for SSH that were signed."),
    ("chancery_issuance_issue_seconds", "Time from a request for a certificate to its outcome."),
    ("chancery_issuance_requests_total", "Requests for certificates by outcome."),
    ("chancery_issuance_revocations_total", "Certificates that were revoked."),
    (
        "chancery_keys_module_initialisations_total",
        "How often the PKCS#11 module was initialised anew, by outcome.",
    ),
    ("chancery_keys_queue_depth", "Operations that wait for a session of the token."),
    (
        "chancery_keys_queue_wait_seconds",
        "Time that an operation waited for a session of the token.",
    ),
    ("chancery_keys_sessions", "Open sessions of the token, by whether they are idle or busy."),
    ("chancery_keys_sessions_lost_total", "Sessions of the token that were given up, by cause."),
    ("chancery_keys_signature_seconds", "Time from a request for a signature to the signature."),
    ("chancery_keys_signatures_total", "Signatures by backend and outcome."),
    ("chancery_keys_token_sign_seconds", "Time that the token takes for a signature, by key."),
    ("chancery_keys_token_up", "Whether the token can be used: 1 or 0."),
    (
        "chancery_policy_decisions_reused_total",
        "Permissions that were used again, as their policies allow, without asking them.",
    ),
    ("chancery_policy_decisions_total", "Decisions of all policies together, by outcome."),
    ("chancery_policy_evaluation_microseconds", "Time of an evaluation, by binding."),
    ("chancery_policy_evaluations_total", "Evaluations by binding, mode and outcome."),
    ("chancery_policy_failing", "1 for a binding that has lately passed its deadline every time."),
    ("chancery_policy_failures_total", "Evaluations that ended without a decision, by cause."),
    ("chancery_policy_log_lines_dropped_total", "Lines of policies beyond their budget."),
    ("chancery_policy_queue_decisions", "Decisions that wait for a thread."),
    ("chancery_policy_reloads_total", "Attempts to load the policies anew, by outcome."),
    ("chancery_seal_keys_made_total", "Sealing keys that were made for tenants, by cause."),
    (
        "chancery_revocation_crl_next_update_timestamp_seconds",
        "When the CRL of a client CA that is in use is out of date.",
    ),
    (
        "chancery_revocation_crl_this_update_timestamp_seconds",
        "When the CRL of a client CA that is in use was made.",
    ),
    (
        "chancery_revocation_fetches_total",
        "CRLs and OCSP answers of client CAs that were fetched or not, by kind; of files, failures only.",
    ),
    (
        "chancery_revocation_unknown_accepted_total",
        "Uses of client certificates that counted although their revocation status is not known.",
    ),
    (
        "chancery_secrets_conflicts_total",
        "Writes of secrets that met another and were tried again.",
    ),
    ("chancery_server_answers_refused_total", "Answers for which there was no room."),
    (
        "chancery_server_bodies_refused_total",
        "Bodies of requests that were too slow or found no room, by reason.",
    ),
    ("chancery_server_connections", "Open connections, by port."),
    (
        "chancery_server_connections_displaced_total",
        "Connections that made room for another one in a full table, by port and why it was them.",
    ),
    (
        "chancery_server_connections_ended_total",
        "Connections that the gateway ended, by port and reason.",
    ),
    (
        "chancery_server_connections_refused_total",
        "Connections that got no place, by port and reason.",
    ),
    (
        "chancery_server_connections_verified",
        "Open connections with a verified client certificate, by port.",
    ),
    ("chancery_store_commits_total", "Commits by outcome."),
    (
        "chancery_store_damaged_records_total",
        "Damaged records that listings and housekeeping passed over.",
    ),
    ("chancery_store_group_commits", "Commits in one durable write."),
    ("chancery_store_group_seconds", "Time of one durable write."),
    ("chancery_store_recoveries_total", "Times that the store was repaired when it was opened."),
    (
        "chancery_task_last_success_timestamp_seconds",
        "When a task that the gateway does by itself last went well, by task.",
    ),
    (
        "chancery_task_lease_owned",
        "1 if this one of several gateways does the tasks of the whole installation, else 0.",
    ),
    ("chancery_task_runs_total", "Runs of what the gateway does by itself, by task and outcome."),
    (
        "chancery_tls_client_ca_expiry_timestamp_seconds",
        "When a client CA's certificate ends, by file.",
    ),
    ("chancery_tls_credential_expiry_timestamp_seconds", "When the server's own certificate ends."),
    ("chancery_tls_handshake_seconds", "Time of a TLS handshake."),
    ("chancery_tls_handshakes_total", "TLS handshakes by outcome."),
    (
        "chancery_upstream_continued_total",
        "Issuances that went on with an order which an earlier try had finalized at another CA.",
    ),
    ("chancery_upstream_failures_total", "Issuances that another CA refused or failed."),
    ("chancery_upstream_issue_seconds", "Time of an issuance by another CA."),
    (
        "chancery_view_refused_total",
        "Questions that records in memory did not answer, since they may be out of date, by kind.",
    ),
    (
        "chancery_view_reloads_total",
        "Times that records in memory were read anew, since changes were missed, by kind.",
    ),
];

/// A label and its values.
type Values = (&'static str, &'static [&'static str]);

/// Counters with labels of which all values are known, with each label and its values.
const LABELLED: &[(&str, &[Values])] = &[
    ("chancery_acme_orders_finished_total", &[("status", &["valid", "invalid"])]),
    (
        "chancery_acme_rate_limited_total",
        &[(
            "limit",
            &[
                "new-accounts-per-address",
                "pending-orders-per-account",
                "pending-orders-per-address",
                "refused-accounts",
                "refused-orders-per-account",
                "refused-orders-per-address",
            ],
        )],
    ),
    ("chancery_backups_total", &[("outcome", &["made", "given-up", "failed"])]),
    (
        "chancery_ca_ocsp_answers_total",
        &[("outcome", &["signed", "kept", "malformed", "internal", "try-later", "unauthorized"])],
    ),
    ("chancery_issuance_requests_total", &[("result", &["issued", "refused"])]),
    ("chancery_keys_module_initialisations_total", &[("outcome", &["ok", "failed"])]),
    (
        "chancery_keys_signatures_total",
        &[
            ("backend", &["software", "pkcs11"]),
            (
                "outcome",
                &[
                    "ok",
                    "unknown-key",
                    "ambiguous",
                    "unsupported",
                    "busy",
                    "timeout",
                    "unavailable",
                    "mismatch",
                    "failed",
                ],
            ),
        ],
    ),
    ("chancery_policy_reloads_total", &[("outcome", &["taken", "refused"])]),
    (
        "chancery_revocation_fetches_total",
        &[("kind", &["crl", "ocsp"]), ("outcome", &["ok", "failed"])],
    ),
    ("chancery_revocation_fetches_total", &[("kind", &["file"]), ("outcome", &["failed"])]),
    (
        "chancery_seal_keys_made_total",
        &[("cause", &["first", "uses", "age", "uncounted", "asked", "repair"])],
    ),
    ("chancery_server_bodies_refused_total", &[("reason", &["too-slow", "no-room"])]),
    ("chancery_store_commits_total", &[("outcome", &["ok", "conflict", "full", "failed"])]),
    (
        "chancery_tls_handshakes_total",
        &[("outcome", &["timed-out", "closed", "failed", "certificate-refused"])],
    ),
];

/// Counters with labels of which the configuration, policies or requests have the values. Those of failures begin where
/// the values are known: with a port, a binding, a client CA, a token or a view.
const LABELLED_ELSEWHERE: &[&str] = &[
    "chancery_access_unauthenticated_total",
    "chancery_acme_validations_total",
    "chancery_api_requests_total",
    "chancery_gate_operations_total",
    "chancery_keys_sessions_lost_total",
    "chancery_policy_decisions_total",
    "chancery_policy_evaluations_total",
    "chancery_policy_failures_total",
    "chancery_policy_log_lines_dropped_total",
    "chancery_revocation_unknown_accepted_total",
    "chancery_server_connections_displaced_total",
    "chancery_server_connections_ended_total",
    "chancery_server_connections_refused_total",
    "chancery_task_runs_total",
    "chancery_view_refused_total",
    "chancery_view_reloads_total",
];

/// The counters without labels.
fn plain() -> impl Iterator<Item = &'static str> {
    let is_labelled = |name: &&str| {
        LABELLED.iter().any(|(labelled, _)| labelled == name) || LABELLED_ELSEWHERE.contains(name)
    };
    let counters = HELP.iter().map(|(name, _)| *name).filter(|name| name.ends_with("_total"));
    counters.filter(move |name| !is_labelled(name))
}

/// Has every counter of which the labels are known on the page, at 0: what begins with its first event does not rise for
/// a query for how much it rose.
fn begin() {
    for name in plain() {
        counter!(name).increment(0);
    }
    for &(name, labels) in LABELLED {
        let mut sets: Vec<Vec<Label>> = vec![vec![]];
        for &(label, values) in labels {
            let with = |set: Vec<Label>| {
                values.iter().map(move |value| {
                    let one = Label::from_static_parts(label, value);
                    set.iter().cloned().chain([one]).collect()
                })
            };
            sets = sets.into_iter().flat_map(with).collect();
        }
        for set in sets {
            counter!(name, set).increment(0);
        }
    }
}

/// Tells the recorder; to be called once it is installed.
pub(super) fn describe() {
    for &(name, help) in HELP {
        // The recorder keeps the text by name, whatever the kind.
        if name.ends_with("_total") {
            describe_counter!(name, help);
        } else if name.ends_with("_timestamp_seconds") {
            describe_gauge!(name, help);
        } else if name.ends_with("seconds") || name.ends_with("_commits") {
            describe_histogram!(name, help);
        } else {
            describe_gauge!(name, help);
        }
    }
    begin();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The sources below a folder, one behind the other.
    fn sources(folder: &Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("help.rs")
            {
                found.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn all_sources() -> String {
        let mut found = String::new();
        for room in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
            sources(&room.unwrap().path().join("src"), &mut found);
        }
        found
    }

    #[test]
    fn a_counter_without_labels_is_known_as_one_and_values_of_labels_are_those_of_the_sources() {
        let text = all_sources();
        let plain: BTreeSet<_> = plain().collect();
        for (name, _) in HELP.iter().filter(|(name, _)| name.ends_with("_total")) {
            let quoted = format!("\"{name}\"");
            let mut behind = text.split(&quoted).skip(1).map(str::trim_start);
            let is_plain = behind.any(|behind| behind.starts_with(')'));
            assert_eq!(plain.contains(name), is_plain, "{name}");
        }
        for (name, labels) in LABELLED {
            for (label, values) in *labels {
                for word in values.iter().chain([label]) {
                    assert!(text.contains(&format!("\"{word}\"")), "{name}: {word}");
                }
            }
        }
    }

    #[test]
    fn every_metric_is_explained_and_there_is_no_other() {
        let text = all_sources();
        let is_name = |word: &&str| {
            word.starts_with("chancery_")
                && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
        };
        let quoted = text.split('"').filter(is_name);
        let found: BTreeSet<_> = quoted.map(ToOwned::to_owned).collect();
        let explained: BTreeSet<_> = HELP.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(explained, found);
    }
}
