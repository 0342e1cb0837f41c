//! The contract's generated bindings, version 0.1 (`wit/`, package
//! `hookbay:plugin@0.1.0`): of plugins, and in `verifier` of verifiers.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub(super) mod verifier {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "verifier",
        with: { "hookbay:plugin/oracle.hidden": crate::plugin::oracle::Hidden },
        imports: { default: trappable },
        exports: { default: async },
    });
}
