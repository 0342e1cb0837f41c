//! What `wit-bindgen` generates from `wit/`: the contract's types, its imports and
//! the macro that exports a component. Nothing is added here; `component` and
//! `imports` are the only users.

#![allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "generated code"
)]

wit_bindgen::generate!({
    world: "plugin",
    path: "wit",
    // For `crate::export!`, which expands in the author's crate.
    pub_export_macro: true,
});

pub mod verifier {
    wit_bindgen::generate!({
        world: "verifier",
        path: "wit",
        // The same for `crate::export_verifier!`.
        pub_export_macro: true,
        export_macro_name: "export_verifier",
    });
}
