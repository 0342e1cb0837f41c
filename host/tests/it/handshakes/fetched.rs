//! Certificates and confirmations that are fetched from the sender's own hosts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hookbay::ingest::{Fetch, NotFetched};
use serde_json::{Value, json};
use url::Url;

use crate::harness::{Folder, Host, eventually};
use crate::http::Answer;

/// Stands for the internet: what is there, and what was asked for.
#[derive(Default)]
struct Internet {
    there: Mutex<BTreeMap<String, String>>,
    asked: Mutex<Vec<String>>,
}

impl Internet {
    fn has(&self, more: impl IntoIterator<Item = (String, String)>) {
        self.there.lock().unwrap().extend(more);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Fetch for Internet {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, NotFetched>> {
        self.asked.lock().unwrap().push(url.to_string());
        let found = self.there.lock().unwrap().get(url.as_str()).cloned();
        Box::pin(async move {
            let found = found.ok_or_else(|| NotFetched("nothing is there".to_owned()))?;
            Ok(found.into())
        })
    }
}

/// A provider's request as another implementation signed it, and its certificates.
struct Vector(Value);

impl Vector {
    fn of(provider: &str) -> Self {
        let all = include_str!("../../fixtures/providers/vectors.json");
        let all: Vec<Value> = serde_json::from_str(all).unwrap();
        let mut all = all.into_iter();
        Self(all.find(|one| one["provider"] == provider).unwrap())
    }

    fn certificates(&self) -> Vec<(String, String)> {
        let certs = self.0["secrets"][0]["certs"].as_object().unwrap().iter();
        certs
            .map(|(url, pem)| (url.clone(), pem.as_str().unwrap().to_owned()))
            .collect()
    }

    fn genuine(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    /// The body of a case.
    fn case(&self, why: &str) -> &str {
        let mut cases = self.0["cases"].as_array().unwrap().iter();
        let case = cases.find(|case| case["why"] == why).unwrap();
        case["body"].as_str().unwrap()
    }

    async fn send(&self, host: &Host, body: &str) -> Answer {
        let headers = self.0["headers"].as_object().unwrap().iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let provider = self.0["provider"].as_str().unwrap();
        host.send(provider, &headers, body).await
    }
}

async fn host(internet: &Arc<Internet>) -> Host {
    let config = r#"
        [sources.paypal]
        provider = "paypal"
        secret = { webhook_id = "WH-1" }

        [sources.aws-sns]
        provider = "aws-sns"
        secret = { topic_arn = "arn:aws:sns:us-east-1:123456789012:MyTopic" }
    "#;
    let mut folder = Folder::new(config, &[]).await;
    folder.internet = Some(Arc::clone(internet) as Arc<dyn Fetch>);
    Host::over(folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_fetched_once_and_a_missing_one_is_no_forgery() {
    for provider in ["paypal", "aws-sns"] {
        let vector = Vector::of(provider);
        let internet = Arc::<Internet>::default();
        let without = host(&internet).await;
        for _ in 0..2 {
            let away = vector.send(&without, vector.genuine()).await;
            assert_eq!(away.status, 503, "{provider}: {}", away.text());
            assert!(away.headers.contains_key("retry-after"));
        }
        assert_eq!(internet.asked().len(), 1, "it is left alone for a while");
        let set_aside = without.items("quarantine").await;
        assert!(set_aside.is_empty(), "there is no verdict yet");
        drop(without);

        internet.has(vector.certificates());
        let host = host(&internet).await;
        let taken = vector.send(&host, vector.genuine()).await;
        assert_eq!(taken.status, 202, "{provider}: {}", taken.text());
        let altered = vector.genuine().replace("world", "World");
        let altered = altered.replace("thing", "Thing");
        assert_eq!(vector.send(&host, &altered).await.status, 401);
        assert_eq!(vector.send(&host, vector.genuine()).await.status, 200);
        assert_eq!(internet.asked().len(), 2, "{:?}", internet.asked());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_elsewhere_is_never_fetched() {
    let internet = Arc::<Internet>::default();
    let host = host(&internet).await;
    let vector = Vector::of("aws-sns");
    let elsewhere = vector.case("a certificate from elsewhere");
    let another_topic = vector.genuine().replace("MyTopic", "TheirTopic");
    for body in [elsewhere, &another_topic] {
        assert_eq!(vector.send(&host, body).await.status, 401, "{body}");
    }
    let mut paypal = Vector::of("paypal");
    paypal.0["headers"]["paypal-cert-url"] = json!("https://api.paypal.com.evil.example/c");
    assert_eq!(paypal.send(&host, paypal.genuine()).await.status, 401);
    assert!(internet.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_confirmed_once_it_is_proven() {
    let vector = Vector::of("aws-sns");
    let internet = Arc::<Internet>::default();
    internet.has(vector.certificates());
    let host = host(&internet).await;
    let confirmation = vector.case("a confirmation");
    let parsed: Value = serde_json::from_str(confirmation).unwrap();
    let url = parsed["SubscribeURL"].as_str().unwrap().to_owned();
    let visits = || {
        let mut asked = internet.asked();
        asked.retain(|asked| !asked.ends_with(".pem"));
        asked
    };

    let forged = vector.case("a confirmation with another address");
    assert_eq!(vector.send(&host, forged).await.status, 401);
    assert!(visits().is_empty(), "nothing unproven is visited");

    let away = vector.send(&host, confirmation).await;
    assert_eq!(away.status, 503, "{}", away.text());
    assert_eq!(host.items("events").await.len(), 0);
    internet.has([(url.clone(), "<Confirmed/>".to_owned())]);
    let confirmed = vector.send(&host, confirmation).await;
    assert_eq!(confirmed.status, 202, "{}", confirmed.text());
    assert_eq!(visits(), [url.clone(), url]);
    let event = host.get(&format!("events/{}", confirmed.event())).await;
    assert_eq!(
        (&event["handshake"], &event["runs"]),
        (&json!(true), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_fetches_what_it_needs() {
    let vector = Vector::of("paypal");
    let internet = Arc::<Internet>::default();
    internet.has(vector.certificates());
    let folder = {
        let host = host(&internet).await;
        let altered = vector.genuine().replace("thing", "Thing");
        let altered = vector.send(&host, &altered).await;
        assert_eq!(altered.status, 401);
        host.stop().await
    };
    // Another start, which has fetched nothing.
    let before = internet.asked().len();
    let host = Host::over(folder).await;
    let set_aside = eventually("it is set aside", async || {
        host.items("quarantine").await.first().cloned()
    })
    .await;
    let id = set_aside["id"].as_str().unwrap();
    let still = host.post(&format!("quarantine/{id}/release")).await;
    let code = &still.json()["reason"]["code"];
    assert_eq!((still.status, code), (422, &json!("wrong_signature")));
    assert_eq!(internet.asked().len(), before + 1);
}
