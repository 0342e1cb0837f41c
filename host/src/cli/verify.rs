//! `hookbay verify`: says whether captured requests are genuine and, if not, exactly why.
//!
//! The same check as at the door, on the same bytes; nothing is asked of a running host.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use super::send::recipient;
use super::table::print;
use super::{CommandError, text};
use crate::app::verifiers::OneVerifier;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, provider};
use crate::ingest::scheme::key::{Credential, KeyError, Keyring};
use crate::ingest::scheme::{Proof, Provider};
use crate::ingest::verifier::Ask;
use crate::ingest::verify::diagnosis::{Case, explain};
use crate::ingest::verify::{Rejection, Request, Verified, verify};
use crate::name::SourceName;

mod by_plugin;
mod captured;
mod measure;

use captured::{Captured, read};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// By whose convention it is signed, such as github, stripe or generic
    #[arg(value_name = "PROVIDER")]
    provider: String,
    /// The captured request as JSON, or several in lines: method, url, headers, body or
    /// body_base64; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The secret: text, or a JSON object where the scheme needs more than one value
    #[arg(long, value_name = "SECRET", group = "given")]
    secret: Option<String>,
    /// A file with the secret
    #[arg(long, value_name = "FILE", group = "given")]
    secret_file: Option<PathBuf>,
    /// The configured source whose provider and secrets are used
    #[arg(long, value_name = "NAME", group = "given")]
    source: Option<String>,
    /// When it was received, in seconds since 1970 or RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
    /// What the sender knows instead of scheme and host in the request's url
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Print each verdict as a line of JSON
    #[arg(long)]
    json: bool,
    /// Verify the first request N times, after N/10 to warm up, and print how long it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    repeat: Option<u32>,
}

/// Whose requests these are, and by what they are checked.
struct Bench {
    provider: Provider,
    credentials: Vec<Credential>,
    at: Timestamp,
    public_url: Option<String>,
    /// What a verifier is told that the request came to.
    source: SourceName,
    /// Where a plugin verifies.
    verifier: Option<OneVerifier>,
}

/// What was found of one request.
struct Verdict {
    is_genuine: bool,
    /// Position of the secret, from 1.
    secret: Option<usize>,
    code: &'static str,
    text: String,
    hint: Option<String>,
}

pub(crate) async fn run(config_path: Option<&Path>, args: Args) -> Result<(), CommandError> {
    let captured = read(&args.request)?;
    let bench = bench(config_path, &args).await?;
    if let (Some(n_times), Some(first)) = (args.repeat, captured.first()) {
        let timings = measure::timings(&bench, first, n_times).await?;
        print(&format!("{timings}\n"))?;
        return Ok(());
    }
    let siblings: Vec<Provider> = provider::names().filter_map(provider::named).collect();
    let mut n_bad = 0_usize;
    let n_all = captured.len();
    for (number, captured) in captured.into_iter().enumerate() {
        let verdict = bench.verdict(captured, &siblings).await?;
        n_bad += usize::from(!verdict.is_genuine);
        let line = if args.json {
            format!("{}\n", verdict.json())
        } else if n_all > 1 {
            format!("{}: {}", number + 1, verdict.lines())
        } else {
            verdict.lines()
        };
        print(&line)?;
    }
    match n_bad {
        0 => Ok(()),
        _ if n_all == 1 => Err(CommandError::Said),
        _ => Err(CommandError::Failed(format!(
            "{n_bad} of {n_all} are not genuine"
        ))),
    }
}

/// What was given is bad, and says nothing about a request: exit code 1 is a verdict here.
fn unusable(error: CommandError) -> CommandError {
    match error {
        CommandError::Failed(reason) => CommandError::Usage(reason),
        other => other,
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected seconds since 1970, or RFC 3339".to_owned())
}

async fn bench(config_path: Option<&Path>, args: &Args) -> Result<Bench, CommandError> {
    let catalogued = provider::named(&args.provider);
    // The configuration is needed for a source, a provider or a verifier of one's own, and
    // only then.
    let is_enough = |provider: &Provider| !matches!(provider.proof, Proof::Verifier(_));
    let config = if args.source.is_some() || !catalogued.as_ref().is_some_and(is_enough) {
        Some(Config::load(config_path)?)
    } else {
        None
    };
    let at = args.at.unwrap_or_else(|| Clock::system().now());
    if let (Some(name), Some(config)) = (&args.source, &config) {
        let source = config
            .sources
            .iter()
            .find(|source| source.name.as_str() == name);
        let source = source
            .ok_or_else(|| CommandError::Usage(format!("no source `{name}` is configured")))?;
        if source.provider.name != args.provider {
            let theirs = &source.provider.name;
            return Err(CommandError::Usage(format!(
                "source `{name}` has the provider `{theirs}`, not `{}`",
                args.provider
            )));
        }
        let configured = Some(source.public_url.clone()).filter(|url| !url.is_empty());
        return Ok(Bench {
            provider: source.provider.clone(),
            credentials: source.secrets.clone(),
            at,
            public_url: args.public_url.clone().or(configured),
            source: source.name.clone(),
            verifier: verifier(config, &source.provider).await?,
        });
    }
    let own = config
        .as_ref()
        .and_then(|config| config.providers.get(&args.provider).cloned());
    let provider = own
        .or(catalogued)
        .ok_or_else(|| unusable(recipient::unknown(&args.provider)))?;
    let credentials = match (&args.secret, &args.secret_file) {
        (Some(secret), _) => listed(secret.as_bytes()),
        (None, Some(file)) => vec![recipient::read_secret(file).map_err(unusable)?],
        (None, None) if provider.proof.needs_secret() => {
            let problem = "no secret to check with; pass --secret, --secret-file or --source";
            return Err(CommandError::Usage(problem.to_owned()));
        }
        (None, None) => Vec::new(),
    };
    let verifier = match &config {
        Some(config) => verifier(config, &provider).await?,
        None => None,
    };
    Ok(Bench {
        provider,
        credentials,
        at,
        public_url: args.public_url.clone(),
        source: "bench"
            .parse()
            .map_err(|error| CommandError::Failed(format!("{error}")))?,
        verifier,
    })
}

/// The plugin that verifies for a provider, if one does.
async fn verifier(
    config: &Config,
    provider: &Provider,
) -> Result<Option<OneVerifier>, CommandError> {
    match &provider.proof {
        Proof::Verifier(by) => Ok(Some(by_plugin::start(config, &by.verifier).await?)),
        _ => Ok(None),
    }
}

/// A secret, or a JSON list of several.
fn listed(text: &[u8]) -> Vec<Credential> {
    let list = serde_json::from_slice::<Vec<Value>>(text).ok();
    let list = list.and_then(|list| {
        let all: Option<Vec<_>> = list.into_iter().map(recipient::named_credential).collect();
        all.filter(|all| !all.is_empty())
    });
    list.unwrap_or_else(|| vec![recipient::credential(text)])
}

impl Bench {
    async fn verdict(
        &self,
        captured: Captured,
        siblings: &[Provider],
    ) -> Result<Verdict, CommandError> {
        let headers = captured.headers();
        let body = captured.body()?;
        let url = captured.url_for(self.public_url.as_deref());
        let method = captured.method.to_ascii_uppercase();
        let request = Request {
            method: &method,
            url: &url,
            headers: &headers,
            body: &body,
        };
        match self.verified(request, &body.clone().into()).await {
            Ok(verified) => Ok(self.said(&request, verified, siblings)),
            Err(error) => Ok(Verdict::unusable_secret(&error.to_string())),
        }
    }

    /// Asks whoever checks the provider's proof.
    async fn verified(
        &self,
        request: Request<'_>,
        body: &Bytes,
    ) -> Result<Result<Verified, Rejection>, KeyError> {
        if let (Proof::Verifier(by), Some(verifier)) = (&self.provider.proof, &self.verifier) {
            let ask = Ask {
                verifier: &by.verifier,
                source: &self.source,
                secrets: &self.credentials,
                request,
                body: body.clone(),
                received_at: self.at,
            };
            let statement = by.ask(verifier, ask).await;
            return Ok(statement.map(|statement| statement.verified));
        }
        let keys = Keyring::new(&self.provider.secret, &self.credentials);
        let keys = keys.map_err(|(_, error)| error)?;
        Ok(verify(&self.provider.proof, &keys, &request, self.at))
    }

    fn said(
        &self,
        request: &Request<'_>,
        verified: Result<Verified, Rejection>,
        siblings: &[Provider],
    ) -> Verdict {
        match verified {
            Ok(verified) => Verdict {
                is_genuine: true,
                secret: verified.secret.map(|position| position + 1),
                code: "genuine",
                text: format!("the proof covers {}", verified.coverage),
                hint: None,
            },
            Err(rejection) => {
                let case = Case {
                    provider: &self.provider,
                    credentials: &self.credentials,
                    request,
                    now: self.at,
                };
                Verdict::rejected(&rejection, explain(&case, &rejection, siblings))
            }
        }
    }
}

impl Verdict {
    fn rejected(rejection: &Rejection, hint: String) -> Self {
        Self {
            is_genuine: false,
            secret: None,
            code: rejection.code(),
            text: rejection.to_string(),
            hint: Some(hint),
        }
    }

    fn unusable_secret(error: &str) -> Self {
        Self {
            is_genuine: false,
            secret: None,
            code: "unusable_secret",
            text: format!("the secret {error}"),
            hint: None,
        }
    }

    fn lines(&self) -> String {
        let mut lines = match (self.is_genuine, self.secret) {
            (true, Some(position)) => format!("genuine, by secret {position}; {}\n", self.text),
            (true, None) => format!("taken unchecked; {}\n", self.text),
            (false, _) => format!(
                "not genuine ({}): {}\n",
                self.code,
                text::harmless(&self.text)
            ),
        };
        if let Some(hint) = &self.hint {
            lines.push_str(&format!("  {}\n", text::harmless(hint)));
        }
        lines
    }

    fn json(&self) -> Value {
        json!({
            "genuine": self.is_genuine,
            "secret": self.secret,
            "code": self.code,
            "message": self.text,
            "hint": self.hint,
        })
    }
}
