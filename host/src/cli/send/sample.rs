//! The samples that the binary carries: payloads as a provider sends them, about things that
//! do not exist.

/// GitHub's samples by the event's name in its header.
const GITHUB: [(&str, &str); 4] = [
    ("push", include_str!("../../../samples/github/push.json")),
    (
        "pull_request",
        include_str!("../../../samples/github/pull_request.json"),
    ),
    (
        "issues",
        include_str!("../../../samples/github/issues.json"),
    ),
    ("ping", include_str!("../../../samples/github/ping.json")),
];

/// Its kind and id are replaced with those of the delivery.
const ORDER: &str = include_str!("../../../samples/generic/order.json");
const ORDER_KIND: &str = "order.created";
const ORDER_ID: &str = "evt_6f0c2d91";

const READING: &str = include_str!("../../../samples/none/reading.json");

/// The kind that is sent where the command names none.
pub(super) fn default_kind(provider: &str) -> &'static str {
    match provider {
        "github" => "push",
        "generic" => ORDER_KIND,
        _ => "reading",
    }
}

/// The sample of a kind.
///
/// # Errors
/// There is none; says which there are.
pub(super) fn body(provider: &str, kind: &str, id: &str) -> Result<Vec<u8>, String> {
    match provider {
        "github" => GITHUB
            .iter()
            .find(|(name, _)| *name == kind)
            .map(|(_, sample)| sample.as_bytes().to_vec())
            .ok_or_else(|| {
                let known: Vec<&str> = GITHUB.iter().map(|(name, _)| *name).collect();
                let known = known.join("`, `");
                format!("there is no sample of `{kind}`, only of `{known}`; pass --body FILE")
            }),
        "generic" => Ok(ORDER
            .replacen(&quoted(ORDER_KIND), &quoted(kind), 1)
            .replacen(&quoted(ORDER_ID), &quoted(id), 1)
            .into_bytes()),
        _ => Ok(READING.as_bytes().to_vec()),
    }
}

/// A text as JSON writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{GITHUB, body, default_kind};

    #[test]
    fn samples_are_json() {
        for (provider, kind) in [
            ("generic", "order.paid \"now\""),
            ("none", "reading"),
            ("github", default_kind("github")),
        ]
        .into_iter()
        .chain(GITHUB.map(|(kind, _)| ("github", kind)))
        {
            let sample = body(provider, kind, "id-1").unwrap();
            let sample: Value = serde_json::from_slice(&sample).unwrap();
            if provider == "generic" {
                assert_eq!(
                    (&sample["type"], &sample["id"]),
                    (&kind.into(), &"id-1".into())
                );
            }
        }
    }

    #[test]
    fn an_unknown_kind_names_the_known() {
        let problem = body("github", "star", "id-1").unwrap_err();
        assert!(problem.contains("`push`, `pull_request`"), "{problem}");
    }
}
