//! What a row says of a plugin that does not run as it should.

use serde_json::{Value, json};

use super::{Plugin, trouble};

fn noted(plugin: Value) -> Option<String> {
    let plugin: Plugin = serde_json::from_value(plugin).expect("a plugin");
    trouble(&plugin)
}

#[test]
fn each_trouble_is_told_once() {
    for (plugin, expected) in [
        (json!({"error": null, "candidate": null}), None),
        // Nothing is active: what is wrong with the file is what is wrong.
        (
            json!({"error": "is not a component", "candidate": {"problem": "is not a component"}}),
            Some("is not a component"),
        ),
        (
            json!({"error": "has tripped", "candidate": {"problem": "is not a component"}}),
            Some("has tripped; is not a component"),
        ),
        (
            json!({
                "error": null,
                "candidate": {"problem": "is held"},
                "missing_grants": ["config.a", "config.b"],
            }),
            Some("is held; missing grants: config.a, config.b"),
        ),
    ] {
        assert_eq!(noted(plugin.clone()).as_deref(), expected, "{plugin}");
    }
}
