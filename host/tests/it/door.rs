//! What the door lets in before it looks at a signature, and what it tells of whom.

use std::fs;

use reqwest::Method;

use crate::harness::{Host, eventually};

mod batches;
pub(crate) mod fixtures;
pub(crate) mod limits;
mod patience;
mod providers;

/// The tests' own address is a proxy's where a source is to see another.
const BEHIND_A_PROXY: &str = r#"
trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]

[sources.listed]
provider = "none"
allow_ips = ["203.0.113.0/24", "2001:db8::/32"]

[sources.open]
provider = "none"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_addresses_come_in() {
    let host = Host::start(BEHIND_A_PROXY, &[]).await;
    for (header, value, status) in [
        ("x-forwarded-for", "203.0.113.7", 202),
        ("x-forwarded-for", "1.2.3.4, 203.0.113.7, 10.1.2.3", 202),
        ("x-forwarded-for", "::ffff:203.0.113.7", 202),
        ("forwarded", "for=\"[2001:db8::7]:4711\";proto=https", 202),
        ("x-forwarded-for", "203.0.113.7, 203.0.114.1", 403),
        ("x-forwarded-for", "unknown", 403),
        ("forwarded", "for=2001:db8::7, for=\"", 403),
        ("x-anything", "203.0.113.7", 403),
    ] {
        let answer = host.send("listed", &[(header, value)], "{}").await;
        assert_eq!(answer.status, status, "{header}: {value}");
        if status == 403 {
            let problem = answer.json();
            assert_eq!(problem["title"], "address not allowed");
            assert!(!problem.to_string().contains("203.0"), "{problem}");
        }
    }
    assert_eq!(host.send("open", &[], "{}").await.status, 202);
    // The method is looked at before the address.
    let url = format!("http://{}/webhooks/listed", host.public);
    let client = crate::http::Client::new();
    let answer = client.ask(Method::PUT, &url, &[], "{}").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_eq!(host.items("events?source=listed").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trusted_proxies_nobody_is_believed() {
    let config = BEHIND_A_PROXY.replace("trusted_proxies", "# trusted_proxies");
    let host = Host::start(&config, &[]).await;
    let forged = [("x-forwarded-for", "203.0.113.7")];
    assert_eq!(host.send("listed", &forged, "{}").await.status, 403);

    // An edit of the list holds without a restart, in both directions.
    let file = host.folder.config_file();
    let before = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        before.replace("# trusted_proxies", "trusted_proxies"),
    )
    .unwrap();
    eventually("the proxy is believed", async || {
        (host.send("listed", &forged, "{}").await.status == 202).then_some(())
    })
    .await;
    fs::write(&file, before).unwrap();
    eventually("the proxy is not believed any more", async || {
        (host.send("listed", &forged, "{}").await.status == 403).then_some(())
    })
    .await;
}
