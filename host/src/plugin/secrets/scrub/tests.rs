//! Every way in which a secret comes back, and what is left as it is.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{Scrubber, Secret};

/// Has a character for each kind of escape.
const AWKWARD: &str = "p+/ä\"\\?<&😀~ü";

fn scrubber(secrets: &[(&str, &str)]) -> Scrubber {
    let secrets: Vec<(&str, Secret)> = secrets
        .iter()
        .map(|(name, value)| (*name, Secret::new(*value)))
        .collect();
    Scrubber::new(secrets.iter().map(|(name, secret)| (*name, secret)))
}

#[track_caller]
fn check(secrets: &[(&str, &str)], text: &str, expected: &str) {
    let scrubber = scrubber(secrets);
    let scrubbed = scrubber.scrub(text.as_bytes());
    assert_eq!(String::from_utf8_lossy(&scrubbed), expected, "{text}");
}

/// Percent encoding of all bytes but those in `left`.
fn percent_encoded(text: &str, left: &str, is_upper: bool) -> String {
    let encode = |byte: u8| match (left.contains(char::from(byte)), is_upper) {
        (true, _) => char::from(byte).to_string(),
        (false, true) => format!("%{byte:02X}"),
        (false, false) => format!("%{byte:02x}"),
    };
    text.bytes().map(encode).collect()
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn json_encoded(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// JSON in ASCII alone, as Python and others write it.
fn ascii_json(text: &str, is_upper: bool) -> String {
    let encode = |unit: u16| match is_upper {
        true => format!("\\u{unit:04X}"),
        false => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().map(encode).collect()
}

/// As pages of errors have it: every character that could mean something as its number, in one
/// of the ways that template engines write it.
fn html_encoded(text: &str, number: fn(char) -> String) -> String {
    let encode = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_string(),
        false => number(c),
    };
    text.chars().map(encode).collect()
}

/// The named escapes alone, `&` first.
fn html_named(text: &str) -> String {
    let mut named = text.replace('&', "&amp;");
    for (char, name) in [('<', "lt"), ('>', "gt"), ('"', "quot"), ('\'', "apos")] {
        named = named.replace(char, &format!("&{name};"));
    }
    named
}

#[test]
fn a_secret_is_found_in_each_form() {
    for secret in ["hunter2-hunter2", "12345678", AWKWARD, "two words+more"] {
        for encoded in [
            secret.to_owned(),
            json_encoded(secret),
            json_encoded(secret).replace('/', "\\/"),
            json_encoded(secret).replace('<', "\\u003c"),
            ascii_json(secret, false),
            ascii_json(secret, true),
            // JSON within JSON.
            json_encoded(&json_encoded(secret)),
            hex::encode(secret),
            hex::encode_upper(secret),
            form_encoded(secret),
            percent_encoded(secret, "", true),
            percent_encoded(secret, "", false),
            percent_encoded(secret, "abcdefghijklmnopqrstuvwxyz0123456789-~/", true),
            html_named(secret),
            html_encoded(secret, |c| format!("&#{};", u32::from(c))),
            html_encoded(secret, |c| format!("&#{:04};", u32::from(c))),
            html_encoded(secret, |c| format!("&#x{:x};", u32::from(c))),
            html_encoded(secret, |c| format!("&#X{:X};", u32::from(c))),
            // A page within a page.
            html_named(&html_encoded(secret, |c| format!("&#{};", u32::from(c)))),
            // An address within an address.
            percent_encoded(&percent_encoded(secret, "", true), "", false),
        ] {
            check(
                &[("TOKEN", secret)],
                &format!("before {encoded} behind"),
                "before [secret TOKEN] behind",
            );
        }
    }
}

#[test]
fn base64_shows_nothing_of_a_secret_wherever_it_begins() {
    for secret in ["12345678", "123456789", "1234567890", AWKWARD] {
        for (before, behind) in ["", "u", "us", "use", "user:"]
            .iter()
            .flat_map(|before| ["", "x", "xy", "xyz", "\" and more"].map(|behind| (before, behind)))
        {
            for engine in [&STANDARD, &URL_SAFE] {
                let padded = engine.encode(format!("{before}{secret}{behind}"));
                check_base64(secret, &padded, before.len(), behind.len());
                check_base64(
                    secret,
                    padded.trim_end_matches('='),
                    before.len(),
                    behind.len(),
                );
            }
        }
    }
}

/// Whether only characters are left that hold no bit of the secret.
#[track_caller]
fn check_base64(secret: &str, text: &str, n_before: usize, n_behind: usize) {
    let scrubber = scrubber(&[("S", secret)]);
    let scrubbed = String::from_utf8(scrubber.scrub(text.as_bytes()).into_owned()).unwrap();
    let (left, right) = scrubbed
        .split_once("[secret S]")
        .unwrap_or_else(|| panic!("`{text}` became `{scrubbed}`"));
    let n_right = right.trim_end_matches('=').len();
    assert!(left.len() <= n_before * 8 / 6, "{text}: {scrubbed}");
    assert!(n_right <= (n_behind * 8).div_ceil(6), "{text}: {scrubbed}");
}

#[test]
fn base64_is_found_within_escapes() {
    let secret = "???>>>~~~";
    let encoded = STANDARD.encode(secret);
    assert!(encoded.contains('/') && encoded.contains('+'), "{encoded}");
    for text in [encoded.replace('/', "\\/"), form_encoded(&encoded)] {
        check(&[("S", secret)], &format!("a={text}&"), "a=[secret S]&");
    }
}

#[test]
fn base64_is_found_in_lines() {
    let secret = "a secret that is longer than one line of base64";
    let encoded = STANDARD.encode(secret);
    for width in [4, 7, 64] {
        for end in ["\n", "\r\n"] {
            let lines: Vec<&str> = encoded
                .as_bytes()
                .chunks(width)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            let text = format!("<{end}{}{end}>", lines.join(end));
            check(&[("S", secret)], &text, &format!("<{end}[secret S]{end}>"));
        }
    }
}

#[test]
fn what_overlaps_goes_as_a_whole() {
    let two = [("A", "abcdefgh"), ("B", "efghijkl")];
    check(&two, "-abcdefghijkl-", "-[secret A]-");
    check(&two, "abcdefghabcdefgh", "[secret A][secret A]");
    let nested = [("LONG", "xx12345678yy"), ("SHORT", "12345678")];
    check(&nested, "xx12345678yy", "[secret LONG]");
    check(&nested, "x12345678y", "x[secret SHORT]y");
    check(&[("S", "aaaaaaaa")], &"a".repeat(1000), "[secret S]");
}

#[test]
fn what_is_no_secret_stays_the_same_bytes() {
    let scrubber = scrubber(&[("S", "12345678")]);
    for text in [
        b"".as_slice(),
        b"1234567",
        b"2345678 %31%32 \\u0031",
        b"100% \\ %zz %2 \\u00 \\ud800 \\x \\",
        b"a & b; &#; &#x; &#xd800; &#49 &nbsp; &&#4294967296;&",
        b"\xff\xfe%ff\0",
    ] {
        assert!(matches!(scrubber.scrub(text), Cow::Borrowed(same) if same == text));
    }
    let none = Scrubber::new(std::iter::empty());
    assert!(matches!(none.scrub(b"12345678"), Cow::Borrowed(_)));
    // Only the secret goes, whatever escapes stand around it.
    check(
        &[("S", "12345678")],
        r#"{"a":"\"%41\u00e9","b":"\u0031234567\u0038\n","c":"\\"}"#,
        r#"{"a":"\"%41\u00e9","b":"[secret S]\n","c":"\\"}"#,
    );
}

#[test]
fn a_secret_that_ends_within_a_character_takes_it_along() {
    let secret = Secret::new(*b"1234567\xc3");
    let scrubber = Scrubber::new([("S", &secret)].into_iter());
    let scrubbed = scrubber.scrub(b"-1234567\\u00e9-");
    assert_eq!(scrubbed.as_ref(), b"-[secret S]-");
}
