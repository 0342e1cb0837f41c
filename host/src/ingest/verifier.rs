//! Proofs that a verifier plugin checks: what the door asks it, and what it takes for an
//! answer.
//!
//! No guest code is known here: who answers is passed in (`app`), runs on threads of its
//! own, and is given a time in which to do so.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::name::{PluginName, SourceName};

use super::scheme::key::Credential;
use super::scheme::timestamp::Tolerance;
use super::scheme::{Coverage, Proof};
use super::source::Source;
use super::verify::{Rejection, Request, Verified};

/// A proof that a plugin checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByVerifier {
    /// The plugin.
    pub verifier: PluginName,
    /// How far the time of signing may be off, where there is one.
    pub tolerance: Tolerance,
}

/// Asks verifier plugins.
pub trait Verifiers: Send + Sync {
    /// What a verifier says of a request. A [`Rejection`] that is no verdict says why it
    /// says nothing.
    fn verify<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Statement, Rejection>>;
}

/// A request that is to be proven.
pub struct Ask<'a> {
    /// The plugin.
    pub verifier: &'a PluginName,
    /// The source it came to.
    pub source: &'a SourceName,
    /// That source's secrets.
    pub secrets: &'a [Credential],
    /// The request as its sender signed it.
    pub request: Request<'a>,
    /// Its body once more, shared.
    pub body: Bytes,
    /// When its last byte was read.
    pub received_at: Timestamp,
}

/// What a verifier says of a genuine request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// How it was proven.
    pub verified: Verified,
    /// What happened, unless the source says where that stands.
    pub kind: Option<String>,
    /// The id of the delivery, likewise.
    pub delivery_id: Option<String>,
    /// Headers that are a credential by themselves, in lower case.
    pub credential_headers: Vec<String>,
}

/// A verdict, or why there is none.
pub(super) type Said = Result<Statement, Rejection>;

/// What the source's verifier says of a request, if it has one.
pub(super) async fn ask(
    verifiers: &dyn Verifiers,
    source: &Source,
    request: Request<'_>,
    body: Bytes,
    received_at: Timestamp,
) -> Option<Said> {
    let Proof::Verifier(by) = &source.config.provider.proof else {
        return None;
    };
    let ask = Ask {
        verifier: &by.verifier,
        source: &source.config.name,
        secrets: &source.config.secrets,
        request,
        body,
        received_at,
    };
    Some(by.ask(verifiers, ask).await)
}

impl ByVerifier {
    /// What the verifier says, if it was signed in time.
    ///
    /// # Errors
    /// The [`Rejection`], which may be none of the verifier's.
    pub async fn ask(
        &self,
        verifiers: &dyn Verifiers,
        ask: Ask<'_>,
    ) -> Result<Statement, Rejection> {
        let received_at = ask.received_at;
        let statement = verifiers.verify(ask).await?;
        if let Some(signed_at) = statement.verified.signed_at {
            self.tolerance.check(signed_at, received_at)?;
        }
        Ok(statement)
    }
}

impl Statement {
    /// What is known of a request before anything is read out of it.
    pub(super) fn of(verified: Verified) -> Self {
        Self {
            verified,
            kind: None,
            delivery_id: None,
            credential_headers: Vec::new(),
        }
    }
}

/// How much of the body is covered, by what a verifier says of its scheme.
pub fn coverage(covers_body: bool) -> Coverage {
    if covers_body {
        Coverage::Body
    } else {
        Coverage::Nothing
    }
}
