//! The OpenAPI document of the admin API, made from the functions that answer, and an
//! interactive page over it that needs nothing from anywhere else.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Components, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Schema};
use utoipa::{Modify, OpenApi as _};

use crate::http::Problem;
use crate::trigger::KindPattern;

use super::access::{Routes, reads};
use super::{
    Admin, audit, backup, events, export, journals, operations, plugins, quarantine, runs, samples,
    schema, sources, stats, stream, tokens,
};

/// Nothing but our own files, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// Every function that answers under `/api/v1`.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Hookbay",
        description = "Events, runs, plugins and sources of one Hookbay, and what steers them."
    ),
    paths(
        events::list,
        events::show,
        events::body,
        events::erase,
        export::export,
        events::replay,
        runs::list,
        runs::show,
        runs::retry,
        runs::cancel,
        journals::show,
        operations::replay,
        operations::retry,
        operations::list,
        operations::show,
        operations::cancel,
        sources::list,
        sources::pause,
        sources::resume,
        sources::inject_event,
        sources::forget_secret,
        quarantine::list,
        quarantine::show,
        quarantine::body,
        quarantine::release,
        quarantine::release_all,
        samples::list,
        samples::send,
        stats::show,
        stream::show,
        plugins::list,
        plugins::show,
        plugins::rescan::show_rescan,
        plugins::kv::list,
        plugins::rescan::rescan,
        plugins::pause,
        plugins::resume,
        plugins::roll_back,
        plugins::unpin,
        plugins::forget,
        tokens::list,
        tokens::create,
        tokens::revoke,
        audit::list,
        backup::make,
    ),
    components(schemas(
        Problem,
        KindPattern,
        export::LineJson,
        schema::JsonTime,
        schema::RetriedState,
        schema::Time,
        schema::StepLength,
        schema::Window,
    )),
    modifiers(&EveryOperation),
    security(("token" = []))
)]
struct Document;

/// What holds for every operation.
struct EveryOperation;

impl Modify for EveryOperation {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        // They are read one by one: others are refused by name.
        for name in ["EventFilter", "RunFilter", "QuarantineFilter"] {
            if let Some(RefOr::T(Schema::Object(filter))) = components.schemas.get_mut(name) {
                filter.additional_properties =
                    Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                complete(operation);
            }
        }
    }
}

/// Adds what any operation may be answered with.
fn complete(operation: &mut Operation) {
    // A header that is left out is not there; none is null.
    for parameter in operation.parameters.iter_mut().flatten() {
        let is_header = parameter.parameter_in == ParameterIn::Header;
        if let (true, Some(RefOr::T(Schema::Object(text)))) = (is_header, &mut parameter.schema) {
            text.schema_type = SchemaType::Type(Type::String);
        }
    }
    let is_path = |parameter: &Parameter| parameter.parameter_in == ParameterIn::Path;
    let has_path = operation.parameters.iter().flatten().any(is_path);
    let mut answers = vec![
        (400, "A parameter or the body is wrong"),
        (401, "No valid token was shown"),
        (403, "The token's scope is too small"),
        (
            503,
            "The database does not answer, or too much is asked for",
        ),
    ];
    if has_path {
        answers.push((404, "There is none of this name"));
    }
    if let Some(body) = &mut operation.request_body {
        answers.push((413, "The body is too large"));
        if body.content.contains_key("application/json") {
            answers.push((415, "The body is not JSON"));
        } else {
            // No bytes are bytes too.
            body.required = Some(Required::False);
        }
    }
    for (status, description) in answers {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", problem)
            .build();
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_string())
            .or_insert(RefOr::T(response));
    }
}

/// The document.
pub(super) fn document() -> OpenApi {
    let mut document = Document::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document
}

/// The document and the page.
pub(super) fn routes(routes: Routes<Arc<Admin>>) -> Routes<Arc<Admin>> {
    let text = document().to_json().unwrap_or_default();
    let json: Arc<str> = text.into();
    let answer = move || {
        let json = Arc::clone(&json);
        async move { file("application/json", json.as_ref().to_owned()) }
    };
    routes
        .route("/openapi.json", reads(get(answer)))
        .route("/docs", reads(get(redirect)))
        .route(
            "/docs/",
            reads(get(async || {
                file("text/html; charset=utf-8", include_str!("docs/index.html"))
            })),
        )
        .route(
            "/docs/docs.js",
            reads(get(async || {
                file(
                    "text/javascript; charset=utf-8",
                    include_str!("docs/docs.js"),
                )
            })),
        )
        .route(
            "/docs/docs.css",
            reads(get(async || {
                file("text/css; charset=utf-8", include_str!("docs/docs.css"))
            })),
        )
}

/// Relative, so that it holds behind a proxy that puts something before the path.
async fn redirect() -> Response<Body> {
    let to = [(header::LOCATION, "docs/")];
    (StatusCode::TEMPORARY_REDIRECT, to).into_response()
}

fn file(content_type: &'static str, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::document;

    #[test]
    fn no_parameter_can_be_null() {
        let document: Value = serde_json::to_value(document()).unwrap();
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let parameters = operations.filter_map(|operation| operation["parameters"].as_array());
        for parameter in parameters.flatten() {
            let schema = parameter["schema"].to_string();
            assert!(!schema.contains("null"), "{}: {schema}", parameter["name"]);
        }
    }
}
