//! TLS of both addresses, and what answers tell a browser; files that are open to too many.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hookbay::config::{Config, Environment, Overrides};
use reqwest::{Certificate, Response};

use crate::harness::{Folder, Host, TOKEN, eventually};
use crate::program::hookbay;

const NAME: &str = "hooks.example";
const CONFIG: &str = r#"
tls = { cert = "cert.pem", key = "key.pem" }
admin_tls = { cert = "cert.pem", key = "key.pem" }

[sources.orders]
provider = "none"
"#;

/// Puts a new certificate and its key into a folder; the certificate.
fn certify(folder: &Path) -> Certificate {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    // Renamed into place, as tools do that renew them.
    for (file, pem) in [
        ("key.pem", made.signing_key.serialize_pem()),
        ("cert.pem", made.cert.pem()),
    ] {
        let partial = folder.join("partial");
        fs::write(&partial, pem).unwrap();
        fs::rename(partial, folder.join(file)).unwrap();
    }
    Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// Asks over a new connection; none without TLS with that certificate.
async fn get(address: SocketAddr, trusted: &Certificate, path: &str) -> Option<Response> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder()
        .no_proxy()
        .resolve(NAME, address)
        .tls_certs_only([trusted.clone()])
        .build()
        .unwrap();
    let url = format!("https://{NAME}:{}{path}", address.port());
    client.get(url).bearer_auth(TOKEN).send().await.ok()
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_addresses_speak_tls_and_nothing_else() {
    let folder = Folder::new(CONFIG, &[]).await;
    let certificate = certify(folder.path());
    let (app, public, admin) = folder.start().await.unwrap();
    // Somebody who says nothing keeps nobody else waiting, at the end neither.
    let silent = TcpStream::connect(public).unwrap();
    for (address, path) in [(public, "/healthz"), (admin, "/api/v1/events")] {
        let answer = get(address, &certificate, path).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(header(&answer, "strict-transport-security").starts_with("max-age="));
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        let plain = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = plain.get(format!("http://{address}{path}")).send().await;
        assert!(answer.is_err(), "{path} answers without TLS");
    }
    let stranger = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let stranger = Certificate::from_pem(stranger.cert.pem().as_bytes()).unwrap();
    assert!(get(public, &stranger, "/healthz").await.is_none());
    app.stop().await;
    let mut rest = Vec::new();
    (&silent).read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = Folder::new(CONFIG, &[]).await;
    let first = certify(folder.path());
    let (app, public, admin) = folder.start().await.unwrap();
    let second = certify(folder.path());
    app.reload();
    for address in [public, admin] {
        eventually("the new certificate is shown", async || {
            get(address, &second, "/").await
        })
        .await;
        assert!(get(address, &first, "/").await.is_none());
    }
    fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    app.reload();
    let third = certify(folder.path());
    app.reload();
    // Whatever was read in between, one of the good ones is shown at all times.
    eventually("the last certificate is shown", async || {
        let is_old = get(public, &second, "/").await.is_some();
        let is_new = get(public, &third, "/").await.is_some();
        assert!(is_old || is_new);
        is_new.then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_certificate_is_a_problem_of_the_configuration() {
    let folder = Folder::new(CONFIG, &[]).await;
    let problems = || {
        let file = folder.config_file();
        let environment = Environment::of([("HOOKBAY_ADMIN_TOKEN", TOKEN)]);
        let read = Config::load_with(Some(&file), &Overrides::default(), &environment);
        read.map_or_else(|error| error.problems, |_| Vec::new())
    };
    let check = |expected: &str| {
        let problems = problems();
        let fits = problems.iter().any(|problem| problem.contains(expected));
        assert!(fits, "`{expected}` is not in {problems:#?}");
    };
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    check("tls.cert: cannot read");
    certify(folder.path());
    assert_eq!(problems(), Vec::<String>::new());
    let key = fs::read_to_string(folder.path().join("key.pem")).unwrap();
    write("key.pem", "nothing");
    check("tls.key: there is no private key in the file");
    certify(folder.path());
    write("key.pem", &key);
    check("admin_tls.key: is not the key of the certificate");
    write("cert.pem", "nothing");
    check("tls.cert: there is no `BEGIN CERTIFICATE` in the file");
    for (toml, expected) in [
        ("tls = { cert = 'cert.pem' }", "tls.key: is missing"),
        ("tls = { key = 'key.pem' }", "tls.cert: is missing"),
        ("tls = true", "tls: must be a table"),
        (
            "admin_listen = '0.0.0.0:0'",
            "needs `admin_tls` or `admin_insecure = true`",
        ),
    ] {
        fs::write(folder.config_file(), toml).unwrap();
        check(expected);
    }
    certify(folder.path());
    let reachable = format!("admin_listen = '0.0.0.0:0'\n{CONFIG}");
    fs::write(folder.config_file(), reachable).unwrap();
    assert_eq!(problems(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_a_browser_is_not_to_do_with_them() {
    let host = Host::start("", &[]).await;
    for path in [
        "/api/v1/events",
        "/api/v1/events/nonsense",
        "/metrics",
        "/nowhere",
    ] {
        let answer = host.ask(reqwest::Method::GET, path, "").await;
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(name), expected, "{path} {name}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let answer = host.public_get("/").await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("strict-transport-security"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_open_to_too_many_are_a_warning() {
    let toml = "[sources.a]\nprovider = 'generic'\nsecret = { file = 'a.secret' }\n";
    let folder = Folder::new(toml, &[]).await;
    let (secret, data) = (folder.path().join("a.secret"), folder.path().join("data"));
    fs::write(&secret, "a secret that is long enough").unwrap();
    let warnings = async |secret_mode: u32, data_mode: u32| {
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&secret, secret_mode);
        set(&data, data_mode);
        let mut command = hookbay(&folder);
        command.arg("check");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines = said.lines().filter(|line| line.starts_with("warning"));
        let found = lines.map(|line| (line.contains("a.secret`"), line.contains("data`")));
        found.collect::<Vec<_>>()
    };
    let (of_secret, of_data) = ((true, false), (false, true));
    for (modes, expected) in [
        ((0o600, 0o700), vec![]),
        ((0o640, 0o750), vec![]),
        ((0o604, 0o700), vec![of_secret]),
        ((0o620, 0o700), vec![of_secret]),
        ((0o600, 0o701), vec![of_data]),
        ((0o644, 0o755), vec![of_secret, of_data]),
    ] {
        assert_eq!(warnings(modes.0, modes.1).await, expected, "{modes:?}");
    }
}
