//! The contract's generated bindings, version 0.1 (`wit/`, package
//! `hookbay:plugin@0.1.0`): of plugins, and in `verifier` of verifiers.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: { default: async | trappable },
    exports: { default: async },
});

pub(super) mod wasi_http {
    wasmtime::component::bindgen!({
        path: "wasi-http",
        world: "hookbay:wasi-http/outgoing",
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:http/types.fields": crate::plugin::wasi_http::fields::Fields,
            "wasi:http/types.outgoing-request": crate::plugin::wasi_http::request::Outgoing,
            "wasi:http/types.request-options": crate::plugin::wasi_http::request::Timeouts,
            "wasi:http/types.outgoing-body": crate::plugin::wasi_http::body::Outlet,
            "wasi:http/types.future-incoming-response": crate::plugin::wasi_http::Answer,
            "wasi:http/types.incoming-response": crate::plugin::wasi_http::response::Incoming,
            "wasi:http/types.incoming-body": crate::plugin::wasi_http::response::Inlet,
            "wasi:http/types.future-trailers": crate::plugin::wasi_http::response::Trailers,
        },
        imports: {
            "wasi:http/types.[method]future-incoming-response.get": async | trappable,
            default: trappable,
        },
    });
}

pub(super) mod verifier {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "verifier",
        with: { "hookbay:plugin/oracle.hidden": crate::plugin::oracle::Hidden },
        imports: { default: trappable },
        exports: { default: async },
    });
}
