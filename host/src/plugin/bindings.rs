//! The contract's generated bindings, version 0.1 (`wit/`, package
//! `hookbay:plugin@0.1.0`).

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});
