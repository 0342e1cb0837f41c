//! The fake host's `http`: checks a request against the manifest, records it, and
//! looks up what the test answers. Nothing leaves the process.

use super::with_sandbox;
use crate::testing::{Sandbox, http as kit};

pub(crate) use crate::bindings::hookbay::plugin::http::{
    BasicPair, Credential, Error, HeaderValue, Request, RequestHeader, Response, ResponseHeader,
    SecretValue,
};

pub(crate) fn fetch(request: &Request) -> Result<Response, Error> {
    let (sent, answers) = with_sandbox("http", |sandbox| {
        check(sandbox, request)?;
        let sent = kit::Request::new(request, &sandbox.idempotency_key);
        sandbox.requests.push(sent.clone());
        let answers = sandbox.host.routes.find(&sent);
        Ok((sent, answers))
    })?;
    // Outside of the sandbox, so that the test's own code may use anything.
    answers.next(&sent).into_result()
}

/// What a host refuses whatever is at the endpoint: deny by default.
fn check(sandbox: &Sandbox, request: &Request) -> Result<(), Error> {
    let endpoint = &request.endpoint;
    let endpoints = &sandbox.manifest.endpoints;
    if !endpoints.iter().any(|want| want.name == *endpoint) {
        return Err(Error::Denied(format!(
            "endpoint `{endpoint}` is not in the manifest"
        )));
    }
    for header in &request.headers {
        if let Some(name) = secrets(&header.value).find(|name| !sandbox.wants_secret(name)) {
            return Err(Error::Denied(format!(
                "secret `{name}` is not in the manifest"
            )));
        }
    }
    if !request.path.starts_with('/') {
        return Err(Error::Invalid(format!(
            "path `{}` does not begin with `/`",
            request.path
        )));
    }
    let is_method = |method: &str| !method.is_empty() && method.bytes().all(is_capital);
    if !is_method(&request.method) {
        return Err(Error::Invalid(format!("method `{}`", request.method)));
    }
    Ok(())
}

fn is_capital(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// The secrets that a header names.
fn secrets<'a>(value: &'a HeaderValue) -> impl Iterator<Item = &'a str> {
    let of_pair = |credential: &'a Credential| match credential {
        Credential::Secret(name) => Some(name.as_str()),
        Credential::Text(_) => None,
    };
    let found = match value {
        HeaderValue::Plain(_) => [None, None],
        HeaderValue::Secret(value) => [Some(value.secret.as_str()), None],
        HeaderValue::Basic(pair) => [of_pair(&pair.user), of_pair(&pair.password)],
    };
    found.into_iter().flatten()
}
