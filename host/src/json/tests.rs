//! What is read out of JSON bodies, and what is refused.

use super::{Pointer, check, find_once, items, keys, pick, pick_any, scalar};

#[test]
fn pointers_find_values() {
    let body =
        br#"{"a":{"b/c":[1,"two",{"~d":true}]},"e":null,"n":-3,"f":1.5,"":"empty","a2":"x"}"#;
    for (pointer, expected) in [
        ("/a/b~1c/0", Some("1")),
        ("/a/b~1c/1", Some("two")),
        ("/a/b~1c/2/~0d", Some("true")),
        ("/a/b~1c/3", None),
        ("/a/b~1c/01", None),
        ("/a", None),
        ("/e", None),
        ("/n", Some("-3")),
        ("/f", Some("1.5")),
        ("/", Some("empty")),
        ("/missing", None),
        ("/a2/deeper", None),
    ] {
        let pointer: Pointer = pointer.parse().unwrap();
        assert_eq!(
            pick(body, &pointer).unwrap().as_deref(),
            expected,
            "{pointer:?}"
        );
    }
}

#[test]
fn pointers_are_read_and_written() {
    for good in ["/", "/a", "/a/b", "/a~1b/~0~01", "//", "/é"] {
        let pointer: Pointer = good.parse().unwrap();
        assert_eq!(pointer.to_string(), good);
    }
    for bad in ["", "a", "a/b", "#/a", "/~", "/~2", "/a~"] {
        assert!(bad.parse::<Pointer>().is_err(), "{bad}");
    }
}

#[test]
fn any_value_has_its_text() {
    let body = br#" { "o" : { "b" : [ 1 , "a \" [ b" ] } , "e" : [ ] ,
        "n" : null , "t" : "\u00e9 x" , "big" : 123456789012345678901234567890 , "f" : 1.50 } "#;
    for (pointer, any, plain) in [
        ("/o", Some(r#"{"b":[1,"a \" [ b"]}"#), None),
        ("/o/b/1", Some(r#"a " [ b"#), Some(r#"a " [ b"#)),
        ("/e", Some("[]"), None),
        ("/n", None, None),
        ("/t", Some("é x"), Some("é x")),
        (
            "/big",
            Some("123456789012345678901234567890"),
            Some("123456789012345678901234567890"),
        ),
        ("/f", Some("1.50"), Some("1.50")),
        ("/gone", None, None),
        ("/n/x", None, None),
    ] {
        let parsed: Pointer = pointer.parse().unwrap();
        let found = pick_any(body, &parsed).unwrap();
        assert_eq!(found.as_deref(), any, "{pointer}");
        let found = pick(body, &parsed).unwrap();
        assert_eq!(found.as_deref(), plain, "{pointer}");
    }
}

#[test]
fn what_is_not_json_is_said_so() {
    let pointer: Pointer = "/a".parse().unwrap();
    for bad in [
        &b""[..],
        b"{",
        b"{\"a\":1}x",
        b"{'a':1}",
        b"{\"a\":\"\xff\"}",
        b"nul",
        b"[1,]",
        b"{\"a\":01}",
    ] {
        assert!(check(bad).is_err(), "{bad:?}");
        assert!(pick(bad, &pointer).is_err(), "{bad:?}");
        assert!(pick_any(bad, &pointer).is_err(), "{bad:?}");
    }
    for good in [&b"1"[..], b" {} ", b"[]", b"null", "\"é\"".as_bytes()] {
        assert!(check(good).is_ok(), "{good:?}");
        assert_eq!(pick(good, &pointer), Ok(None), "{good:?}");
    }
    let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
    assert!(check(&deep).is_ok());
}

#[test]
fn what_proves_a_sender_stands_there_once() {
    let pointer: Pointer = "/a/b".parse().unwrap();
    for (body, found) in [
        (r#"{"a":{"b":"x"},"c":1,"c":2}"#, Ok(Some("\"x\""))),
        (r#"{"a":{"b": 1.50 }}"#, Ok(Some("1.50"))),
        (r#"{"a":{"c":1}}"#, Ok(None)),
        (r#"{"a":{"b":1,"b":1}}"#, Err(())),
        (r#"{"a":{"b":1},"a":{"b":1}}"#, Err(())),
        (r#"{"a":{"b":1},"a":2}"#, Err(())),
        (r#"{"a":{"b":1},"\u0061":2}"#, Err(())),
        ("{", Err(())),
    ] {
        let once = find_once(body.as_bytes(), &pointer).map_err(|_| ());
        assert_eq!(once, found, "{body}");
    }
    assert_eq!(scalar("\"a\\u00e9\"").unwrap().as_deref(), Some("aé"));
    assert_eq!(scalar("1130").unwrap().as_deref(), Some("1130"));
    for nothing in ["null", "{}", "[1]", ""] {
        assert_eq!(scalar(nothing), Ok(None), "{nothing}");
    }
}

#[test]
fn lists_and_objects_are_taken_apart() {
    assert_eq!(
        items(r#" [ {"a": 1} ,2,"x"] "#).unwrap(),
        [r#"{"a": 1}"#, "2", "\"x\""]
    );
    assert_eq!(items("{}").unwrap(), Vec::<&str>::new());
    assert!(items("[1").is_err());
    assert_eq!(keys(br#"{"b":{"c":1},"a":[]}"#).unwrap(), ["b", "a"]);
    assert_eq!(keys(b"[1]").unwrap(), Vec::<String>::new());
    assert!(keys(b"{").is_err());
}
