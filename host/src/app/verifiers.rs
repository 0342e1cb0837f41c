//! Brings the door's questions to verifier plugins: the one place that knows both.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::config::{Limits, Secret};
use crate::dispatch::{PluginState, SharedBoard};
use crate::ingest::scheme::key::Credential;
use crate::ingest::verifier::{self, Statement, Verifiers};
use crate::ingest::verify::{Rejection, Verified};
use crate::plugin::{self, Loaded, NoVerdict, PluginHost, SourceSecret};

/// The verifiers of this host, as they are active when they are asked.
pub(super) struct ActiveVerifiers {
    pub(super) board: SharedBoard,
    pub(super) host: Arc<PluginHost>,
}

/// One verifier, wherever it comes from.
pub(crate) struct OneVerifier {
    /// Where it runs.
    pub(crate) host: PluginHost,
    /// The verifier.
    pub(crate) loaded: Loaded,
    /// What it may use.
    pub(crate) limits: Limits,
}

impl Verifiers for ActiveVerifiers {
    fn verify<'a>(
        &'a self,
        asked: verifier::Ask<'a>,
    ) -> BoxFuture<'a, Result<Statement, Rejection>> {
        Box::pin(async move {
            let (loaded, limits) = self.active(&asked)?;
            ask(&self.host, &loaded, limits, asked).await
        })
    }
}

impl ActiveVerifiers {
    fn active(&self, ask: &verifier::Ask<'_>) -> Result<(Arc<Loaded>, Limits), Rejection> {
        let name = ask.verifier;
        let missing = |why: String| no_verdict(NoVerdict::new("verifier_missing", why));
        let board = self.board.load();
        let Some(entry) = board.entries.get(name) else {
            return Err(missing(format!("there is no plugin `{name}`")));
        };
        match &entry.active {
            Some(_) if entry.is_paused => {
                let why = format!("the verifier `{name}` is paused");
                Err(no_verdict(NoVerdict::new("verifier_paused", why)))
            }
            Some(active) => Ok((Arc::clone(active), entry.settings.limits)),
            None => {
                let state = match entry.state() {
                    // On another host, which is of no use here.
                    PluginState::Active => PluginState::Missing,
                    state => state,
                };
                let state = state.as_str();
                Err(missing(format!("the verifier `{name}` is {state}")))
            }
        }
    }
}

impl Verifiers for OneVerifier {
    fn verify<'a>(
        &'a self,
        asked: verifier::Ask<'a>,
    ) -> BoxFuture<'a, Result<Statement, Rejection>> {
        Box::pin(ask(&self.host, &self.loaded, self.limits, asked))
    }
}

async fn ask(
    host: &PluginHost,
    loaded: &Loaded,
    limits: Limits,
    asked: verifier::Ask<'_>,
) -> Result<Statement, Rejection> {
    let request = asked.request;
    let headers = request.headers.iter();
    let secrets = asked.secrets.iter().map(secret);
    let ask = plugin::Ask {
        source: asked.source.to_string(),
        method: request.method.to_owned(),
        url: request.url.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect(),
        body: asked.body,
        received_at: asked.received_at,
        secrets: secrets.collect(),
    };
    let verdict = host.verify(loaded, ask, limits).await;
    let genuine = verdict.map_err(no_verdict)?.map_err(|forged| {
        let (code, detail) = (forged.code, forged.detail);
        Rejection::ByVerifier { code, detail }
    })?;
    let said = loaded.manifest.verifies.as_ref();
    Ok(Statement {
        verified: Verified {
            secret: Some(genuine.secret),
            signed_at: genuine.signed_at_ms.map(Timestamp::from_millis),
            coverage: verifier::coverage(said.is_some_and(|said| said.covers_body)),
        },
        kind: genuine.kind,
        delivery_id: genuine.delivery_id,
        credential_headers: said
            .map(|said| said.credential_headers.clone())
            .unwrap_or_default(),
    })
}

fn no_verdict(NoVerdict { code, message }: NoVerdict) -> Rejection {
    Rejection::NoVerdict { code, why: message }
}

fn secret(credential: &Credential) -> SourceSecret {
    match credential {
        Credential::Text(text) => SourceSecret::Text(text.clone()),
        Credential::Named(values) => {
            let text = |(name, value): (&String, &Credential)| match value {
                Credential::Text(text) => Some((name.clone(), text.clone())),
                // A table in a table is no value of any scheme.
                Credential::Named(_) => None::<(String, Secret)>,
            };
            SourceSecret::Named(values.iter().filter_map(text).collect())
        }
    }
}
