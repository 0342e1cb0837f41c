//! `[otlp]`: the collector that spans are sent to.

use url::Url;

use super::grants::HttpOrigin;
use super::reader::Table;
use super::secret::{Secret, secret};

/// Where OTLP over HTTP takes traces, behind the endpoint's own path.
const TRACES_PATH: &str = "/v1/traces";

/// The collector, and what goes to it.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpConfig {
    /// Scheme, host and port.
    pub origin: HttpOrigin,
    /// Of requests.
    pub path: String,
    /// The whole value of the header `Authorization`.
    pub authorization: Option<Secret>,
    /// Whether calls of plugins carry the trace along.
    pub propagate: bool,
    /// What this Hookbay is called there.
    pub service_name: String,
}

/// Reads `[otlp]`; without the table there are no traces.
pub(super) fn read(table: Option<Table<'_>>) -> Option<OtlpConfig> {
    let mut table = table?;
    let endpoint = endpoint(&mut table);
    let path = table.path_of("authorization");
    let authorization = table.take("authorization");
    let authorization = authorization.and_then(|value| secret(&path, value, table.reading()));
    let propagate = table.boolean("propagate").unwrap_or(false);
    let service_name = table.string("service_name");
    table.finish();
    let (origin, path) = endpoint?;
    Some(OtlpConfig {
        origin,
        path,
        authorization,
        propagate,
        service_name: service_name.unwrap_or_else(|| "hookbay".to_owned()),
    })
}

fn endpoint(table: &mut Table<'_>) -> Option<(HttpOrigin, String)> {
    if !table.has("endpoint") {
        table.problem(
            "endpoint",
            "is missing: an address such as http://127.0.0.1:4318",
        );
    }
    let text = table.string("endpoint")?;
    let split = Url::parse(&text).ok().and_then(|url| {
        let is_plain = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let origin: HttpOrigin = url.origin().ascii_serialization().parse().ok()?;
        let path = format!("{}{TRACES_PATH}", url.path().trim_end_matches('/'));
        is_plain.then_some((origin, path))
    });
    if split.is_none() {
        table.problem(
            "endpoint",
            "must be an address such as http://127.0.0.1:4318, without user and query",
        );
    }
    split
}
