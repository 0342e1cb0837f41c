//! What a verifier says of itself.

use serde::{Deserialize, Serialize};

use crate::plugin::bindings::verifier::exports::hookbay::plugin::verification as wit;

use super::{Manifest, ManifestError, Wants, check_length, check_list, check_texts};

/// What a verifier says of its scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifies {
    /// Whether a request is genuine only with exactly this body.
    pub covers_body: bool,
    /// Headers that are a credential by themselves, in lower case.
    pub credential_headers: Vec<String>,
}

impl Manifest {
    /// Reads what a verifier's `describe` returned.
    ///
    /// # Errors
    /// [`ManifestError`] names what is too long.
    pub(in crate::plugin) fn of_verifier(about: wit::About) -> Result<Self, ManifestError> {
        check_texts(&about.name, &about.version, &about.description)?;
        let mut credential_headers = about.credential_headers;
        check_list("a list of headers", credential_headers.len())?;
        for header in &mut credential_headers {
            check_length("the name of a header", header)?;
            header.make_ascii_lowercase();
        }
        Ok(Self {
            name: about.name,
            version: about.version,
            description: about.description,
            triggers: Vec::new(),
            wants: Wants::default(),
            verifies: Some(Verifies {
                covers_body: about.covers_body,
                credential_headers,
            }),
        })
    }
}
