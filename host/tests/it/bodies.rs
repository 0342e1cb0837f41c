//! Bodies as senders write them.

use serde_json::{Value, json};

/// A push of so many commits to `main`, as GitHub writes it.
pub(crate) fn push_body(repository: &str, commits: usize) -> Vec<u8> {
    let commit = |n: usize| json!({ "id": format!("{n:040x}"), "message": format!("Commit {n}") });
    let commits: Vec<Value> = (0..commits).map(commit).collect();
    let push = json!({
        "ref": "refs/heads/main",
        "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "after": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5",
        "repository": { "id": 186853002, "full_name": repository },
        "pusher": { "name": "Codertocat", "email": "codertocat@example.com" },
        "sender": { "login": "Codertocat" },
        "created": false, "deleted": false, "forced": false,
        "compare": "https://github.com/compare/6113728f27ae...59b20b8d5c6f",
        "commits": commits,
    });
    push.to_string().into_bytes()
}
