//! What every answer tells a browser not to do with it.
//!
//! Whoever answers with a page of its own says more, or something else, and is not
//! overruled.

use axum::Router;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, Response};
use axum::middleware;

/// A year: how long a browser that has seen TLS here asks for nothing else.
const TLS_ONLY: (HeaderName, &str) = (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
/// Of JSON, text and bytes, which nothing may be loaded or run by.
const EVERYWHERE: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];
/// What operators see is nobody else's, nor for any cache between.
const PRIVATE: [(HeaderName, &str); 2] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// The private address, its answers with all of it.
pub(crate) fn private(routes: Router, is_encrypted: bool) -> Router {
    let secure = move |mut response: Response<Body>| async move {
        let headers = response.headers_mut();
        add(headers, &EVERYWHERE);
        add(headers, &PRIVATE);
        if is_encrypted {
            add(headers, &[TLS_ONLY]);
        }
        response
    };
    routes.layer(middleware::map_response(secure))
}

/// The public address: senders are no browsers, and their answers stay small.
pub(crate) fn public(routes: Router, is_encrypted: bool) -> Router {
    let secure = move |mut response: Response<Body>| async move {
        let headers = response.headers_mut();
        add(headers, &EVERYWHERE[..1]);
        if is_encrypted {
            add(headers, &[TLS_ONLY]);
        }
        response
    };
    routes.layer(middleware::map_response(secure))
}

fn add(headers: &mut HeaderMap, wanted: &[(HeaderName, &'static str)]) {
    for (name, value) in wanted {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}
