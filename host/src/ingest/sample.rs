//! The catalogue's samples as bodies to send: what a provider's first webhooks look like.

use crate::config::provider::{self, Sample};

/// What a sample of a provider is, filled in.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) kind: String,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: String,
    /// Further headers.
    pub(crate) headers: Vec<(String, String)>,
}

/// Stands in a sample for the delivery's id.
const ID: &str = "{{id}}";
/// Stands in a sample that serves any kind.
const KIND: &str = "{{kind}}";

/// The sample of a kind, else the first of those that go on from it, as `issues.opened` does
/// from `issues`; without a kind the provider's first. `body` is sent instead of the sample's.
///
/// # Errors
/// There is none of this kind; says which there are.
pub(crate) fn filled(
    provider: &str,
    kind: Option<&str>,
    id: &str,
    body: Option<Vec<u8>>,
) -> Result<Filled, String> {
    let entry = provider::entry(provider);
    let samples = entry
        .as_ref()
        .map(|entry| &entry.samples[..])
        .unwrap_or_default();
    let find = |fits: &dyn Fn(&Sample) -> bool| samples.iter().find(|sample| fits(sample));
    let going_on = |kind: &str| {
        let stem = format!("{kind}.");
        find(&|sample| sample.kind.starts_with(&stem)).filter(|_| body.is_none())
    };
    let sample = match kind {
        Some(kind) => find(&|sample| sample.kind == kind)
            .or_else(|| going_on(kind))
            .or_else(|| find(&|sample| sample.body.contains(KIND))),
        None => samples.first(),
    };
    if let (None, None) = (sample, &body) {
        return Err(unknown(provider, kind, samples));
    }
    // One that serves any kind is of the kind that is asked for.
    let own = sample.filter(|sample| !sample.body.contains(KIND));
    let own = own.map(|sample| sample.kind.as_str());
    let first = samples.first().map(|sample| sample.kind.as_str());
    let kind = own.or(kind).or(first).unwrap_or("event").to_owned();
    let typed = sample.and_then(|sample| sample.content_type.clone());
    let usual = entry
        .as_ref()
        .and_then(|entry| entry.content_types.first().cloned());
    Ok(Filled {
        body: match (body, sample) {
            (Some(body), _) => body,
            (None, Some(sample)) => fill(sample, &kind, id),
            (None, None) => Vec::new(),
        },
        content_type: typed
            .or(usual)
            .unwrap_or_else(|| "application/json".to_owned()),
        headers: sample
            .map(|sample| sample.headers.clone().into_iter().collect())
            .unwrap_or_default(),
        kind,
    })
}

/// Every sample of a provider, filled in with an id of its own.
pub(crate) fn all(provider: &str) -> Vec<Filled> {
    let entry = provider::entry(provider);
    let samples = entry.map(|entry| entry.samples).unwrap_or_default();
    let id = || uuid::Uuid::new_v4().to_string();
    let filled = samples
        .iter()
        .filter_map(|sample| filled(provider, Some(&sample.kind), &id(), None).ok());
    filled.collect()
}

fn fill(sample: &Sample, kind: &str, id: &str) -> Vec<u8> {
    let inner = |text: &str| {
        let quoted = serde_json::Value::from(text).to_string();
        quoted[1..quoted.len() - 1].to_owned()
    };
    let body = sample
        .body
        .replace(ID, &inner(id))
        .replace(KIND, &inner(kind));
    body.into_bytes()
}

fn unknown(provider: &str, kind: Option<&str>, samples: &[Sample]) -> String {
    let known: Vec<&str> = samples.iter().map(|sample| sample.kind.as_str()).collect();
    match kind {
        Some(kind) if !known.is_empty() => format!(
            "there is no sample of `{kind}`, only of `{}`; pass --body FILE",
            known.join("`, `")
        ),
        Some(_) | None => format!("there is no sample of `{provider}`; pass --body FILE"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::filled;
    use crate::config::provider;

    #[test]
    fn every_provider_has_samples_of_its_content_type() {
        for name in provider::names() {
            let entry = provider::entry(name).unwrap();
            assert!(!entry.samples.is_empty(), "{name}");
            for sample in &entry.samples {
                let filled = filled(name, Some(&sample.kind), "id \"1\"", None).unwrap();
                assert_eq!(filled.kind, sample.kind);
                if filled.content_type.contains("json") {
                    let json = serde_json::from_slice::<Value>(&filled.body);
                    assert!(json.is_ok(), "{name} {}", sample.kind);
                }
            }
        }
    }

    #[test]
    fn ids_and_kinds_are_filled_in() {
        let order = filled("generic", Some("order.paid \"now\""), "id-1", None).unwrap();
        let order: Value = serde_json::from_slice(&order.body).unwrap();
        assert_eq!(order["type"], "order.paid \"now\"");
        assert_eq!(order["id"], "id-1");
        let own = filled("github", Some("star"), "id-1", Some(b"{}".to_vec())).unwrap();
        assert_eq!(
            (own.kind.as_str(), own.body.as_slice()),
            ("star", &b"{}"[..])
        );
    }

    #[test]
    fn the_beginning_of_a_kind_finds_its_first_sample() {
        let kind = |kind| filled("github", Some(kind), "id-1", None).unwrap().kind;
        assert_eq!(kind("pull_request"), "pull_request.opened");
        assert_eq!(kind("pull_request.closed"), "pull_request.closed");
        assert!(filled("github", Some("pull"), "id-1", None).is_err());
    }

    #[test]
    fn an_unknown_kind_names_the_known() {
        let problem = filled("github", Some("fork"), "id-1", None).unwrap_err();
        assert!(
            problem.contains("`push`, `pull_request.opened`"),
            "{problem}"
        );
        assert!(
            filled("mine", None, "id-1", None)
                .unwrap_err()
                .contains("--body")
        );
    }
}
