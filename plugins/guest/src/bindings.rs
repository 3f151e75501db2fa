//! Generated from `wit/`.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, unsafe_op_in_unsafe_fn)]

pub mod access {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "access-policy",
        pub_export_macro: true,
        default_bindings_module: "chancery_guest::bindings::access",
        generate_all,
    });
}

pub mod certificate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "certificate-policy",
        pub_export_macro: true,
        default_bindings_module: "chancery_guest::bindings::certificate",
        with: {
            "chancery:policy/types@0.1.0": super::access::chancery::policy::types,
        },
    });
}
