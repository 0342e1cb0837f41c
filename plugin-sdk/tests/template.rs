//! What templates become, and what is no template.

use hookbay_plugin::{
    Failure,
    template::{Template, Values},
    testing,
};
use serde_json::json;

#[track_caller]
fn check(text: &str, expected: &str) {
    let body = json!({
        "order": {"id": "A<7>", "total": 84.9, "n": 3, "paid": true, "note": null, "lines": [{"sku": "x"}]},
        "a/b": {"~": "odd"},
    });
    let mut event = testing::json_event("shop", "order.paid", &body);
    event.delivery_id = None;
    let template = Template::parse(text).expect("a template");
    let filled = template.fill(&Values::of(&event), |text| text.replace('<', "&lt;"));
    assert_eq!(filled, expected);
}

#[test]
fn placeholders_are_filled_in() {
    check("", "");
    check("no placeholder", "no placeholder");
    check(
        "{kind} of {source} ({provider}), {id}",
        "order.paid of shop (shop), event-1",
    );
    check("{/order/n}{/order/total} {/order/paid}", "384.9 true");
    check("{/order/lines}", r#"[{"sku":"x"}]"#);
    check("{/order/lines/0/sku} { /order/n }", "x 3");
    check("{/a~1b/~0}", "odd");
}

#[test]
fn what_comes_from_outside_is_made_harmless_and_the_operators_text_is_not() {
    check("<b> {/order/id} {/nothing|<none>}", "<b> A&lt;7> <none>");
}

#[test]
fn a_missing_value_is_said_or_replaced() {
    check("{/order/note} {/x/y}", "(no /order/note) (no /x/y)");
    check("{delivery_id}", "(no delivery_id)");
    check("{/x|}{delivery_id|by hand}", "by hand");
}

#[test]
fn braces_are_doubled() {
    check("{{kind}} {{{kind}}}", "{kind} {order.paid}");
}

#[test]
fn a_body_that_is_not_json_has_no_values() {
    let event = testing::event("shop", "order", "a=1");
    let template = Template::parse("{kind} {/a}").unwrap();
    assert_eq!(
        template.fill(&Values::of(&event), str::to_owned),
        "order (no /a)"
    );
}

#[test]
fn what_is_no_template_is_explained() {
    for (text, problem) in [
        ("a {kind", "`{kind` has no closing brace; `{{` is a brace"),
        ("a } b", "`} b` closes nothing; `}}` is a brace"),
        (
            "{order}",
            "`{order}` is no placeholder; there are `{kind}`,",
        ),
        ("{}", "`{}` is no placeholder;"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert!(error.to_string().starts_with(problem), "{text}: {error}");
        assert!(matches!(Failure::from(error), Failure::Permanent { .. }));
    }
}
