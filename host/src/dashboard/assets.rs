//! Our own files, compiled in: styles, scripts, the icon.

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use sha2::{Digest as _, Sha256};

/// A file that browsers load.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset {
        name: "hookbay.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../../assets/hookbay.css"),
    },
    Asset {
        name: "hookbay.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("../../assets/hookbay.js"),
    },
    Asset {
        name: "json.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("../../assets/json.js"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        content: include_str!("../../assets/icon.svg"),
    },
];

/// `GET /assets/{file}`: kept by browsers, and asked for again by its digest. They hold
/// nothing that not everybody may see.
pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response<Body> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", digest([asset.content].into_iter()));
    let known = headers.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(asset.content))
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let tag = HeaderValue::try_from(tag).expect("hex is the value of a header");
    headers.insert(header::ETAG, tag);
    response
}

/// What all files are together; pages name them with it.
pub(super) fn version() -> &'static str {
    static VERSION: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| digest(ASSETS.iter().map(|asset| asset.content)));
    &VERSION
}

fn digest<'a>(contents: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for content in contents {
        hasher.update(content);
    }
    hex::encode(&hasher.finalize()[..8])
}
