//! Headers as proxies and forgers write them, and whose request that is.

use super::client;
use crate::ingest::address::Networks;

/// The proxies are in 10.0.0.0/8 and at 2001:db8:ffff::/48.
fn trusted() -> Networks {
    let networks = ["10.0.0.0/8", "2001:db8:ffff::/48"];
    networks.iter().map(|text| text.parse().unwrap()).collect()
}

#[track_caller]
fn check(peer: &str, forwarded: &[&str], x_forwarded_for: &[&str], expected: &str) {
    let bytes = |lines: &[&str]| -> Vec<Vec<u8>> {
        lines.iter().map(|line| line.as_bytes().to_vec()).collect()
    };
    let (forwarded, x_forwarded_for) = (bytes(forwarded), bytes(x_forwarded_for));
    let found = client(
        peer.parse().unwrap(),
        &trusted(),
        forwarded.iter().map(Vec::as_slice),
        x_forwarded_for.iter().map(Vec::as_slice),
    );
    assert_eq!(found.to_string(), expected);
}

#[test]
fn only_trusted_peers_are_believed() {
    for (peer, line, expected) in [
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("2001:db8:ffff::9", "2001:db8::1", "2001:db8::1"),
        ("2001:db8:fffe::9", "2001:db8::1", "2001:db8:fffe::9"),
    ] {
        check(peer, &[], &[line], expected);
        check(
            peer,
            &[&format!("for=\"[{line}]\"").replace("[203.0.113.7]", "203.0.113.7")],
            &[],
            expected,
        );
    }
    check("10.0.0.1", &[], &[], "10.0.0.1");
}

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    for (lines, expected) in [
        // The left is the sender's own fiction.
        (vec!["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
        (
            vec!["1.2.3.4, 203.0.113.7, 10.0.0.2, 10.0.0.3"],
            "203.0.113.7",
        ),
        (vec!["1.2.3.4", "203.0.113.7,10.0.0.2"], "203.0.113.7"),
        (vec!["203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        // All of them are proxies: the first is who began.
        (vec!["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        // What is no address ends the walk where it is.
        (vec!["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (vec!["203.0.113.7, "], "10.0.0.1"),
        (vec![""], "10.0.0.1"),
        (vec!["203.0.113.7,,10.0.0.2"], "10.0.0.2"),
        (vec!["203.0.113.7", "caf\u{e9}"], "10.0.0.1"),
        (vec!["203.0.113.7:4711"], "203.0.113.7"),
        (vec!["::ffff:203.0.113.7"], "203.0.113.7"),
        (vec!["::ffff:10.0.0.9, ::ffff:10.0.0.2"], "10.0.0.9"),
        (vec!["[2001:db8::1]:4711"], "2001:db8::1"),
        (vec!["[2001:db8::1]"], "2001:db8::1"),
        (vec!["2001:db8::1"], "2001:db8::1"),
        (vec!["1.2.3"], "10.0.0.1"),
        (vec!["203.0.113.7:x"], "10.0.0.1"),
        (vec!["[203.0.113.7]"], "10.0.0.1"),
        (vec!["[2001:db8::1"], "10.0.0.1"),
        (vec!["[2001:db8::1]x"], "10.0.0.1"),
    ] {
        check("10.0.0.1", &[], &lines, expected);
    }
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    for (lines, expected) in [
        (vec!["for=203.0.113.7"], "203.0.113.7"),
        (
            vec!["For=203.0.113.7;proto=https;by=10.0.0.1"],
            "203.0.113.7",
        ),
        (vec!["by=10.0.0.1; FOR=\"203.0.113.7:4711\""], "203.0.113.7"),
        (
            vec!["for=\"[2001:db8:cafe::17]:4711\""],
            "2001:db8:cafe::17",
        ),
        (
            vec!["for=\"[2001:db8:cafe::17]:_port\""],
            "2001:db8:cafe::17",
        ),
        (vec!["for=[2001:db8:cafe::17]"], "2001:db8:cafe::17"),
        (vec!["for=203.0.113.7:80"], "203.0.113.7"),
        (
            vec!["for=1.2.3.4, for=203.0.113.7 , for=10.0.0.2"],
            "203.0.113.7",
        ),
        (
            vec!["for=1.2.3.4", "for=203.0.113.7", "for=10.0.0.2"],
            "203.0.113.7",
        ),
        (vec!["for=203.0.113.7;;host=\"a,b;c\""], "203.0.113.7"),
        (vec!["for=203.0.113.7;host=\"a\\\"b\""], "203.0.113.7"),
        (vec!["for=\"203.0.113.\\7\""], "203.0.113.7"),
        // An element may be without `for`, or hide it.
        (vec!["for=203.0.113.7, proto=https"], "10.0.0.1"),
        (vec!["for=203.0.113.7, for=unknown"], "10.0.0.1"),
        (
            vec!["for=203.0.113.7, for=_gazonk, for=10.0.0.2"],
            "10.0.0.2",
        ),
        (vec!["for=1.2.3.4;for=203.0.113.7"], "10.0.0.1"),
        (vec![""], "10.0.0.1"),
        // A sender's open quote cannot swallow what a proxy adds.
        (vec!["for=1.2.3.4;x=\", for=203.0.113.7"], "10.0.0.1"),
        (vec!["for=1.2.3.4;x=\", for=\"[2001:db8::7]\""], "10.0.0.1"),
        (
            vec!["for=1.2.3.4;x=\", for=\"203.0.113.7\";by=\"10.0.0.1\""],
            "10.0.0.1",
        ),
        (vec!["for=1.2.3.4;x=\"", "for=203.0.113.7"], "203.0.113.7"),
        (vec!["for=1.2.3.4 for=203.0.113.7"], "10.0.0.1"),
        (vec!["for 203.0.113.7"], "10.0.0.1"),
        (vec!["=203.0.113.7"], "10.0.0.1"),
        (vec!["for="], "10.0.0.1"),
        (vec!["for=\"203.0.113.7"], "10.0.0.1"),
        (vec!["for=\"203.0.113.7\\"], "10.0.0.1"),
    ] {
        check("10.0.0.1", &lines, &[], expected);
    }
}

#[test]
fn two_headers_that_disagree_are_not_believed() {
    let line = "for=203.0.113.7, for=10.0.0.2";
    check(
        "10.0.0.1",
        &[line],
        &["1.2.3.4, 203.0.113.7"],
        "203.0.113.7",
    );
    check("10.0.0.1", &["for=1.2.3.4"], &["203.0.113.7"], "10.0.0.1");
    check("10.0.0.1", &["nonsense"], &["203.0.113.7"], "10.0.0.1");
}

#[test]
fn a_chain_without_end_is_not_followed() {
    let long = vec!["10.0.0.2"; 40].join(",");
    check(
        "10.0.0.1",
        &[],
        &[&format!("203.0.113.7,{long}")],
        "10.0.0.2",
    );
    let fits = vec!["10.0.0.2"; 31].join(",");
    check(
        "10.0.0.1",
        &[],
        &[&format!("203.0.113.7,{fits}")],
        "203.0.113.7",
    );
}

/// Bytes of a generator that needs no seed from outside; every slice of hostile syntax is
/// read without a panic, and never gives an address that is not written there.
#[test]
fn nothing_makes_it_panic_or_invent_an_address() {
    let alphabet = [
        "for=",
        "\"",
        ",",
        ";",
        "\\",
        "[",
        "]",
        ":",
        "=",
        " ",
        "10.0.0.2",
        "203.0.113.7",
        "::1",
        "\u{e9}",
        "_",
    ];
    let mut state = 0x2545_f491_u32;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    for _ in 0..20_000 {
        let length = next(12);
        let text: String = (0..length)
            .map(|_| alphabet[next(alphabet.len())])
            .collect();
        let lines = || std::iter::once(text.as_bytes());
        let none = || std::iter::empty();
        let peer = "10.0.0.1".parse().unwrap();
        for found in [
            client(peer, &trusted(), lines(), none()),
            client(peer, &trusted(), none(), lines()),
        ] {
            let written = found.to_string();
            assert!(
                found == peer || text.contains(&written) || written.contains("::"),
                "{text}: {found}"
            );
        }
    }
}
