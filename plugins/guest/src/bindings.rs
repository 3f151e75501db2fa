//! Generated from `wit/`.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unsafe_op_in_unsafe_fn)]

/// What every policy may import; the other worlds share it, so that there is one type of each.
pub mod host {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "host",
        generate_all,
    });
}

pub mod access {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "access-policy",
        pub_export_macro: true,
        default_bindings_module: "chancery_guest::bindings::access",
        with: {
            "chancery:policy/types@0.9.0": super::host::chancery::policy::types,
            "chancery:policy/log@0.9.0": super::host::chancery::policy::log,
            "chancery:policy/lookup-types@0.9.0": super::host::chancery::policy::lookup_types,
            "chancery:policy/groups@0.9.0": super::host::chancery::policy::groups,
            "chancery:policy/data-sets@0.9.0": super::host::chancery::policy::data_sets,
            "chancery:policy/issuance-counts@0.9.0": super::host::chancery::policy::issuance_counts,
        },
    });
}

pub mod certificate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "certificate-policy",
        pub_export_macro: true,
        default_bindings_module: "chancery_guest::bindings::certificate",
        with: {
            "chancery:policy/types@0.9.0": super::host::chancery::policy::types,
            "chancery:policy/log@0.9.0": super::host::chancery::policy::log,
            "chancery:policy/lookup-types@0.9.0": super::host::chancery::policy::lookup_types,
            "chancery:policy/groups@0.9.0": super::host::chancery::policy::groups,
            "chancery:policy/data-sets@0.9.0": super::host::chancery::policy::data_sets,
            "chancery:policy/issuance-counts@0.9.0": super::host::chancery::policy::issuance_counts,
        },
    });
}
