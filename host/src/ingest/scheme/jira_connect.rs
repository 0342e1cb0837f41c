//! The query string hash (`qsh`) by which Atlassian Connect binds a token to a request.
//!
//! <https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/#creating-a-query-string-hash>.
//! The path counts from the app's base address: that must be the root of the host.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::ingest::verify::Request;
use crate::ingest::verify::request::pairs;

use crate::hash::Hash;

/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The hash of method, path and sorted query.
pub(super) fn hash(request: &Request<'_>) -> Vec<u8> {
    Hash::Sha256.plain(std::iter::once(canonical(request).as_bytes()))
}

fn canonical(request: &Request<'_>) -> String {
    let path = match request.path().trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.replace('&', "%26"),
    };
    let encoded = |bytes: &[u8]| percent_encode(bytes, UNRESERVED).to_string();
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs(request.query().unwrap_or_default().as_bytes()) {
        // The token itself may stand there.
        if *name != *b"jwt" {
            parameters
                .entry(encoded(&name))
                .or_default()
                .push(encoded(&value));
        }
    }
    let written = parameters.iter_mut().map(|(name, values)| {
        values.sort_unstable();
        format!("{name}={}", values.join(","))
    });
    let written: Vec<String> = written.collect();
    format!("{}&{path}&{}", request.method, written.join("&"))
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use crate::event::Headers;
    use crate::ingest::verify::Request;

    /// The first three are the examples of the page above.
    #[test]
    fn requests_have_one_canonical_form() {
        for (url, expected) in [
            (
                "https://h/path/to/service?zee_last=param&repeated=parameter+1&first=param&repeated=parameter+2&repeated=Parameter+2",
                "GET&/path/to/service&first=param&repeated=Parameter%202,parameter%201,parameter%202&zee_last=param",
            ),
            ("https://h/path?jwt=a.b.c&a=x%2Fy", "GET&/path&a=x%2Fy"),
            ("https://h", "GET&/&"),
            ("https://h/a&b/", "GET&/a%26b&"),
        ] {
            let headers = Headers::default();
            let request = Request {
                method: "GET",
                url,
                headers: &headers,
                body: b"",
            };
            assert_eq!(canonical(&request), expected);
        }
    }
}
