//! The contract in `wit/`, as Rust.

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod generated {
    /// What guests may import; the other worlds share it, so that there is one type of each.
    pub(crate) mod host {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "host",
            additional_derives: [serde::Serialize, serde::Deserialize],
        });
    }
    pub(crate) mod access {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "access-policy",
            with: {
                "chancery:policy/types": super::host::chancery::policy::types,
                "chancery:policy/log": super::host::chancery::policy::log,
                "chancery:policy/lookup-types": super::host::chancery::policy::lookup_types,
                "chancery:policy/groups": super::host::chancery::policy::groups,
                "chancery:policy/data-sets": super::host::chancery::policy::data_sets,
                "chancery:policy/issuance-counts": super::host::chancery::policy::issuance_counts,
            },
        });
    }
    pub(crate) mod certificate {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "certificate-policy",
            with: {
                "chancery:policy/types": super::host::chancery::policy::types,
                "chancery:policy/log": super::host::chancery::policy::log,
                "chancery:policy/lookup-types": super::host::chancery::policy::lookup_types,
                "chancery:policy/groups": super::host::chancery::policy::groups,
                "chancery:policy/data-sets": super::host::chancery::policy::data_sets,
                "chancery:policy/issuance-counts": super::host::chancery::policy::issuance_counts,
            },
        });
    }
}

pub(crate) use generated::access::exports::chancery::policy::access;
pub(crate) use generated::access::{AccessPolicy, AccessPolicyPre};
pub(crate) use generated::certificate::exports::chancery::policy::certificate;
pub(crate) use generated::certificate::{CertificatePolicy, CertificatePolicyPre};
pub(crate) use generated::host::chancery::policy::types::{self, Description, SettingsError};
pub(crate) use generated::host::chancery::policy::{
    data_sets, groups, issuance_counts, log, lookup_types,
};
