//! Providers whose requests are several events, or forms, through the door; signed by others.

use reqwest::Method;

use super::fixtures::{Fixtures, events, headers};
use crate::harness::Host;
use crate::http::Client;

#[tokio::test(flavor = "multi_thread")]
async fn every_item_is_an_event_once() {
    let fixtures = Fixtures::read();
    let sources = fixtures.sources(|of| of.secret.clone());
    let (folder, _) = fixtures.folder(&sources, &[]).await;
    let host = Host::over(folder).await;
    let mut stored = 0;
    for of in &fixtures.batches {
        let source = of.source.as_str();
        let answer = of.first.send(&host, source).await;
        assert!(
            answer.status < 300,
            "{source}: {} {}",
            answer.status,
            answer.text()
        );
        assert_eq!(answer.json()["status"], "accepted", "{source}");
        let first = events(&answer);
        of.first.is_stored_as(&host, source, &first).await;
        stored += 2;

        let again = of.first.send(&host, source).await;
        assert_eq!(again.json()["status"], "duplicate", "{source}");
        assert_eq!(events(&again), first, "{source}");

        // A new one, a known one, and the new one again.
        let mixed = of.mixed.send(&host, source).await;
        assert_eq!(mixed.json()["status"], "accepted", "{source}");
        let mixed = events(&mixed);
        of.mixed.is_stored_as(&host, source, &mixed).await;
        assert_eq!((&mixed[1], &mixed[2]), (&first[0], &mixed[0]), "{source}");
        stored += 1;

        let listed = host.items("events?limit=1000").await;
        assert_eq!(listed.len(), stored, "{source}");
        // Newest first: the items of a request in the order in which they were sent.
        let ids: Vec<&str> = listed
            .iter()
            .filter(|event| event["source"] == source)
            .map(|event| event["id"].as_str().unwrap())
            .collect();
        let position = |id: &String| ids.iter().position(|one| one == id).unwrap();
        assert!(position(&first[0]) > position(&first[1]), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_or_altered() {
    let fixtures = Fixtures::read();
    let sources = fixtures.sources(|of| of.secret.clone());
    let (folder, _) = fixtures.folder(&sources, &[]).await;
    let host = Host::over(folder).await;
    for of in &fixtures.batches {
        let source = of.source.as_str();
        let refused = match of.provider.as_str() {
            "gocardless" => 498,
            _ => 401,
        };
        let odd = of.odd.send(&host, source).await;
        let empty = of.empty.send(&host, source).await;
        if source == "microsoft-graph" {
            // Each item proves itself; who sends none has proven nothing.
            assert_eq!((odd.status, empty.status), (401, 401));
        } else {
            let odd = events(&odd);
            of.odd.is_stored_as(&host, source, &odd).await;
            // How consoles try an address.
            assert_eq!(empty.json()["status"], "pong", "{source}");
            let event = host.get(&format!("events/{}", empty.event())).await;
            assert_eq!(event["no_run_reason"], "handshake", "{source}");
        }
        let before = host.items("events?limit=1000").await.len();
        let batch = &of.first;
        let mut forged: Vec<(Vec<(&str, &str)>, String)> = Vec::new();
        let own = headers(&batch.headers);
        match of.provider.as_str() {
            // A token covers nothing, but is needed.
            "okta" | "auth0" => {
                forged.push((vec![("authorization", "another")], batch.body.clone()))
            }
            "microsoft-graph" => {
                // One item with another token is enough.
                let (first, rest) = batch.body.rsplit_once(&fixtures.secret).unwrap();
                forged.push((own.clone(), format!("{first}another{rest}")));
            }
            _ => {
                let body = batch
                    .body
                    .replacen("event", "evens", 1)
                    .replacen("EV1", "EV9", 1);
                forged.push((own.clone(), body));
            }
        }
        forged.push((Vec::new(), batch.body.replace(&fixtures.secret, "")));
        for (headers, body) in forged {
            let answer = host.send(source, &headers, body).await;
            assert_eq!(answer.status, refused, "{source}: {}", answer.text());
        }
        assert_eq!(
            host.items("events?limit=1000").await.len(),
            before,
            "{source}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_read_and_head_is_answered() {
    let fixtures = Fixtures::read();
    let source = |name: &str| {
        format!(
            "[sources.{name}]\nprovider = \"{name}\"\nsecret = \"{}\"\n",
            fixtures.secret
        )
    };
    let sources = source("slack") + &source("trello");
    let (folder, _) = fixtures.folder(&sources, &[]).await;
    let host = Host::over(folder).await;
    for (n, form) in fixtures.forms.iter().enumerate() {
        let own = headers(&form.headers);
        let answer = host.send(&form.source, &own, form.body.clone()).await;
        assert_eq!(answer.status, 200, "{}: {}", form.why, answer.text());
        let stored = host.items("events").await;
        assert_eq!(stored.len(), n + 1, "{}", form.why);
        let of_kind = stored.iter().find(|event| event["kind"] == form.kind);
        let event = of_kind.unwrap_or_else(|| panic!("{}: {stored:?}", form.why));
        assert_eq!(
            event["delivery_id"].as_str(),
            form.id.as_deref(),
            "{}",
            form.why
        );
        let event = event["id"].as_str().unwrap();
        let body = format!("/api/v1/events/{event}/body");
        assert_eq!(host.ask(Method::GET, &body, "").await.text(), form.body);
        let altered = form.body.replacen('b', "d", 1);
        assert_ne!(altered, form.body);
        let refused = host.send(&form.source, &own, altered).await;
        assert_eq!(refused.status, 401, "{}", form.why);
    }
    // Trello asks before it makes a webhook; by other methods nothing comes.
    let client = Client::new();
    let url = format!("http://{}/webhooks/trello", host.public);
    for (method, status) in [(Method::HEAD, 200), (Method::PUT, 405)] {
        let answer = client.ask(method, &url, &[], "").await;
        assert_eq!(
            (answer.status, answer.body.is_empty()),
            (status, status == 200)
        );
    }
    assert_eq!(host.items("events").await.len(), fixtures.forms.len());
}
