//! Which addresses a call reaches, whatever names, literals, resolvers and servers say.

use std::sync::Arc;

use super::server::{Server, Step};
use super::{Answers, egress, fetch, get, grant};

/// Every way to write this machine.
const LOOPBACK_V4: [&str; 10] = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "127.0.0.1.",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "0x7F.0x0.0x0.0x1",
];
const LOOPBACK_OTHERWISE: [&str; 12] = [
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
];
const NAMES: [&str; 5] = [
    "localhost",
    "localhost.",
    "LOCALHOST",
    "127.0.0.1.example",
    "ⓛocalhost",
];

#[tokio::test]
async fn no_form_of_a_private_address_is_reached_without_its_grant() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let port = server.address.port();
    let hosts = LOOPBACK_V4.iter().chain(&LOOPBACK_OTHERWISE).chain(&NAMES);
    for host in hosts {
        let api = grant(&format!("http://{host}:{port}"), false);
        let egress = egress(&[("api", api)], Answers::of(&[&["127.0.0.1", "::1"]]));
        let refused = fetch(&egress, &get("api")).await.unwrap_err();
        assert_eq!(refused.code(), "denied", "{host}: {refused}");
        assert!(refused.to_string().contains("not public"), "{refused}");
    }
    assert_eq!(server.n_connections(), 0);
}

#[tokio::test]
async fn each_form_of_a_private_address_is_reached_with_its_grant() {
    let server = Server::start(|_| vec![Step::ok("answer"), Step::Close]).await;
    let port = server.address.port();
    let hosts: Vec<_> = LOOPBACK_V4.iter().chain(&NAMES).collect();
    for host in &hosts {
        let api = grant(&format!("http://{host}:{port}"), true);
        let egress = egress(&[("api", api)], Answers::of(&[&["127.0.0.1"]]));
        let answer = fetch(&egress, &get("api")).await;
        assert_eq!(answer.map(|answer| answer.status), Ok(200), "{host}");
    }
    assert_eq!(server.n_connections(), hosts.len());
}

#[tokio::test]
async fn of_a_names_addresses_only_the_approved_are_tried() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let port = server.address.port();
    let api = grant(&format!("http://api.internal:{port}"), true);
    let metadata = "169.254.169.254";
    for (addresses, is_reached) in [
        (vec![metadata, "127.0.0.1"], true),
        (vec!["::ffff:169.254.169.254", "127.0.0.1", metadata], true),
        (vec![metadata], false),
        (vec!["fd00:ec2::254", "100.100.100.200"], false),
    ] {
        let egress = egress(&[("api", api.clone())], Answers::of(&[&addresses]));
        let answer = fetch(&egress, &get("api")).await;
        match answer {
            Ok(answer) => assert!(is_reached && answer.status == 200, "{addresses:?}"),
            Err(error) => assert!(!is_reached && error.code() == "denied", "{error}"),
        }
    }
    assert_eq!(server.n_connections(), 2);
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_does_not_answer() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let port = server.address.port();
    // Nobody listens on this port of the other addresses.
    let resolver = Answers::of(&[&["127.0.0.2", "127.0.0.3", "127.0.0.1"]]);
    let api = grant(&format!("http://api.internal:{port}"), true);
    let egress = egress(&[("api", api)], resolver);
    assert_eq!(fetch(&egress, &get("api")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_resolver_that_changes_its_answer_is_not_asked_again() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let server = Server::start(|_| vec![Step::send(last), Step::Close]).await;
    let port = server.address.port();
    let resolver = Answers::of(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let api = grant(&format!("http://api.internal:{port}"), true);
    let egress = egress(&[("api", api)], Arc::clone(&resolver));
    // The look-up that was approved is the one that is connected to…
    assert_eq!(fetch(&egress, &get("api")).await.unwrap().status, 200);
    assert_eq!((server.n_connections(), resolver.n_lookups()), (1, 1));
    server.all_closed().await;
    // …and the next connection is approved anew.
    let refused = fetch(&egress, &get("api")).await.unwrap_err();
    assert_eq!(refused.code(), "denied", "{refused}");
    assert_eq!((server.n_connections(), resolver.n_lookups()), (1, 2));
}

#[tokio::test]
async fn a_connection_is_not_used_under_another_grant() {
    let server = Server::start(|_| vec![Step::ok("answer")]).await;
    let origin = format!("http://api.internal:{}", server.address.port());
    let endpoints = [("in", grant(&origin, true)), ("out", grant(&origin, false))];
    let egress = egress(&endpoints, Answers::of(&[&["127.0.0.1"]]));
    assert_eq!(fetch(&egress, &get("in")).await.unwrap().status, 200);
    let refused = fetch(&egress, &get("out")).await.unwrap_err();
    assert_eq!(refused.code(), "denied", "{refused}");
    assert_eq!(server.n_connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let other = Server::start(|_| vec![Step::ok("secret place")]).await;
    let location = format!("http://{}/", other.address);
    let redirect = format!("HTTP/1.1 307 Go\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let server = Server::start(move |_| vec![Step::send(&redirect)]).await;
    let answer = fetch(&super::egress_to(&server), &get("api"))
        .await
        .unwrap();
    assert_eq!(answer.status, 307);
    let expected = ("location".to_owned(), location.into_bytes().into());
    assert!(answer.headers.contains(&expected), "{answer:?}");
    assert_eq!(other.n_connections(), 0);
}

#[tokio::test]
async fn what_cannot_be_resolved_is_unavailable() {
    for resolver in [
        Answers::of(&[&[]]),
        Answers::with(vec![Err("no such host, and hunter2/hunter2? besides")]),
    ] {
        let egress = egress(&[("api", grant("https://api.example", false))], resolver);
        let failed = fetch(&egress, &get("api")).await.unwrap_err();
        assert_eq!(failed.code(), "unavailable");
        let says = failed.to_string();
        assert!(says.contains("`api.example` cannot be resolved"), "{says}");
        assert!(!says.contains("hunter2"), "{says}");
    }
}
