//! What is signed: the signature base (RFC 9421 section 2.5).

use hookbay_plugin::verifier::{Reason, Rejection, Request};

use crate::Signature;

/// The signature base of a request, by what the signature says that it covers.
pub(crate) fn of(request: &Request, signature: &Signature<'_>) -> Result<String, Rejection> {
    let mut base = String::new();
    for component in &signature.components {
        let value = match component.strip_prefix('@') {
            Some(_) => derived(request, component)?,
            None => field(request, component)?,
        };
        if value.contains(['\r', '\n']) {
            return Err(missing(component, "has more than one line"));
        }
        for part in ["\"", component, "\": ", &value, "\n"] {
            base.push_str(part);
        }
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(signature.text);
    Ok(base)
}

/// A component that is no header (section 2.2).
fn derived(request: &Request, component: &str) -> Result<String, Rejection> {
    let unknown = || {
        missing(
            component,
            "is not known here: set the source's `public_url`",
        )
    };
    let url = request.url.as_str();
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    Ok(match component {
        "@method" => request.method.clone(),
        "@target-uri" => scheme.map(|_| url.to_owned()).ok_or_else(unknown)?,
        "@authority" => {
            let scheme = scheme.ok_or_else(unknown)?;
            let default = if scheme == "https" { ":443" } else { ":80" };
            let authority = authority.to_ascii_lowercase();
            authority
                .strip_suffix(default)
                .unwrap_or(&authority)
                .to_owned()
        }
        "@scheme" => scheme.ok_or_else(unknown)?.to_ascii_lowercase(),
        "@request-target" => match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        },
        "@path" => path.to_owned(),
        "@query" => format!("?{}", query.unwrap_or_default()),
        _ => return Err(missing(component, "is not supported by this verifier")),
    })
}

/// All values of a header, joined (section 2.1).
fn field(request: &Request, name: &str) -> Result<String, Rejection> {
    let mut values = Vec::new();
    for header in request.headers.iter().filter(|header| header.name == name) {
        let value = str::from_utf8(&header.value).map_err(|_| missing(name, "is not text"))?;
        values.push(value.trim_matches([' ', '\t']));
    }
    if values.is_empty() {
        return Err(missing(name, "is signed and missing"));
    }
    Ok(values.join(", "))
}

fn missing(component: &str, what: &str) -> Rejection {
    Rejection::new(Reason::MissingField, format!("`{component}` {what}"))
}
