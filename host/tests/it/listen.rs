//! `hookbay listen` as a process of its own: cut off again and again, it misses nothing and
//! repeats nothing that was acknowledged.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};
use crate::program;

mod ctrl_c;
mod left_out;

const CONFIG: &str = r#"
[sources.a]
provider = "none"
kind_header = "x-kind"

[sources.b]
provider = "none"
"#;

/// Where what it says on stderr is kept.
const SAID: &str = "said";

/// What the local address was sent.
#[derive(Default)]
struct Seen {
    bodies: BTreeMap<String, Vec<Vec<u8>>>,
    headers: BTreeMap<String, HeaderMap>,
    /// Requests that are still to be refused.
    refuses: usize,
}

/// A local address that takes webhooks.
struct Local {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// Whether its answers are held back.
    held: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Local {
    async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (held, is_held) = watch::channel(false);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/hooks", post(take))
            .with_state((Arc::clone(&seen), is_held));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            address,
            seen,
            held,
            task,
        }
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().bodies.len()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State((seen, mut is_held)): State<(Arc<Mutex<Seen>>, watch::Receiver<bool>)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let status = see(&seen, headers, &body);
    is_held.wait_for(|is_held| !is_held).await.unwrap();
    status
}

fn see(seen: &Mutex<Seen>, headers: HeaderMap, body: &[u8]) -> StatusCode {
    let mut seen = seen.lock().unwrap();
    if seen.refuses > 0 {
        seen.refuses -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let id = headers["hookbay-event-id"].to_str().unwrap().to_owned();
    seen.bodies
        .entry(id.clone())
        .or_default()
        .push(body.to_vec());
    seen.headers.insert(id, headers);
    StatusCode::NO_CONTENT
}

/// Stands before a host and cuts every connection off after so many bytes of answers, so
/// many times; then it leaves them alone.
struct Cutter {
    address: SocketAddr,
    cuts: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Cutter {
    async fn before(hosts: Vec<SocketAddr>, bytes: usize, times: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for n in 0.. {
                let (near, _) = listener.accept().await.unwrap();
                let host = hosts[n % hosts.len()];
                let cuts = Arc::clone(&counted);
                connections.spawn(async move {
                    let mut far = TcpStream::connect(host).await.unwrap();
                    let (mut near_in, mut near_out) = near.into_split();
                    let (mut far_in, mut far_out) = far.split();
                    let up = tokio::io::copy(&mut near_in, &mut far_out);
                    let down = async {
                        let (mut left, mut piece) = (bytes, vec![0; 4096]);
                        loop {
                            let is_cutting = *cuts.lock().unwrap() < times;
                            let most = if is_cutting { left.min(4096) } else { 4096 };
                            if most == 0 {
                                *cuts.lock().unwrap() += 1;
                                return;
                            }
                            match far_in.read(&mut piece[..most]).await {
                                Ok(0) | Err(_) => return,
                                Ok(read) => {
                                    if near_out.write_all(&piece[..read]).await.is_err() {
                                        return;
                                    }
                                    left = left.saturating_sub(read);
                                }
                            }
                        }
                    };
                    // What is dropped in the middle is cut off in the middle.
                    tokio::select! { _ = up => {}, () = down => {} }
                });
            }
        });
        Self {
            address,
            cuts,
            task,
        }
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `hookbay listen`; killed when it is dropped.
struct Listening(Child);

impl Listening {
    fn start(folder: &Folder, host: SocketAddr, local: &Local, more: &[&str]) -> Self {
        let mut errors = File::options();
        let errors = errors.create(true).append(true);
        let errors = errors.open(folder.path().join(SAID)).unwrap();
        let mut command = command(folder, host, local, more);
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors);
        Self(started.spawn().unwrap())
    }

    /// As Ctrl-C does.
    fn interrupt(&self) {
        let id = i32::try_from(self.0.id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    }

    /// Its exit code, once it has ended by itself.
    async fn ended(&mut self) -> Option<i32> {
        let ended = eventually("it ends", async || self.0.try_wait().unwrap());
        ended.await.code()
    }
}

/// A place before everything that is stored.
fn begin_at_first(home: &Folder) {
    std::fs::create_dir(home.path().join("place")).unwrap();
    std::fs::write(home.path().join("place/cursor"), "0\n").unwrap();
}

/// Waits until it has said something on stderr.
async fn says(folder: &Folder, what: &str) {
    eventually(&format!("it says `{what}`"), async || {
        said(folder).contains(what).then_some(())
    })
    .await;
}

/// All that it has said on stderr.
fn said(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path().join(SAID)).unwrap_or_default()
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn command(folder: &Folder, host: SocketAddr, local: &Local, more: &[&str]) -> Command {
    let mut command = program::hookbay(folder);
    let (url, to) = (
        format!("http://{host}"),
        format!("http://{}/hooks", local.address),
    );
    command.args([
        "listen",
        "--url",
        &url,
        "--to",
        &to,
        "--cursor",
        "place/cursor",
    ]);
    command.args(more);
    command
}

/// Waits until it follows the stream: what comes from then on is for it.
async fn follows(folder: &Folder) -> String {
    let file = folder.path().join("place/cursor");
    eventually("it follows", async || {
        let text = std::fs::read_to_string(&file).ok()?;
        (!text.is_empty()).then_some(text)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_cuts_under_load_miss_nothing_and_repeat_nothing() {
    const MANY: usize = 400;
    let folder = Folder::new(CONFIG, &[]).await;
    let mut hosts = Vec::new();
    if Engine::of_hosts() == Engine::Postgres {
        hosts.push(Host::over(folder.beside(CONFIG, &[])).await);
    }
    hosts.push(Host::over(folder).await);
    let hosts = &hosts;
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    let local = Local::start().await;
    let addresses = hosts.iter().map(|host| host.admin).collect();
    let cutter = Cutter::before(addresses, 6_000, 10).await;
    let _listening = Listening::start(&home, cutter.address, &local, &[]);
    follows(&home).await;
    let send = async |n: usize| {
        let host = &hosts[n % hosts.len()];
        let source = if n.is_multiple_of(3) { "a" } else { "b" };
        let body = format!("{{\"n\": {n}}}");
        (
            host.send(source, &[], body.clone()).await.event(),
            body.into_bytes(),
        )
    };
    let sent: BTreeMap<_, _> = join_all((0..MANY).map(send)).await.into_iter().collect();
    eventually("everything has arrived", async || {
        (local.count() >= MANY).then_some(())
    })
    .await;
    let seen = local.seen.lock().unwrap();
    for (id, body) in &sent {
        assert_eq!(
            seen.bodies[id],
            std::slice::from_ref(body),
            "once, and as it was sent"
        );
    }
    assert_eq!(seen.bodies.len(), MANY);
    assert!(*cutter.cuts.lock().unwrap() >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_where_it_was_and_sends_until_it_is_taken() {
    let host = Host::start(CONFIG, &[]).await;
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    let local = Local::start().await;
    let first = Listening::start(
        &home,
        host.admin,
        &local,
        &["--source", "a", "--kind", "x.*"],
    );
    let start = follows(&home).await;
    local.seen.lock().unwrap().refuses = 2;
    let headers = [
        ("x-kind", "x.y"),
        ("x-signature", "s"),
        ("authorization", "Bearer sender"),
    ];
    let event = host.send("a", &headers, "exactly this").await.event();
    host.send("a", &[("x-kind", "y")], "another kind")
        .await
        .event();
    host.send("b", &[("x-kind", "x.y")], "another source")
        .await
        .event();
    eventually("it was sent again", async || {
        (local.count() == 1).then_some(())
    })
    .await;
    {
        let seen = local.seen.lock().unwrap();
        assert_eq!(seen.refuses, 0);
        assert_eq!(seen.bodies[&event], [b"exactly this"]);
        let given = &seen.headers[&event];
        assert_eq!(
            (&given["x-kind"], &given["x-signature"]),
            (&"x.y".parse().unwrap(), &"s".parse().unwrap())
        );
        assert_eq!(given["authorization"], "[verified]");
        assert_eq!(given["host"], local.address.to_string().as_str());
    }
    eventually("that it was taken is noted", async || {
        (follows(&home).await != start).then_some(())
    })
    .await;
    drop(first);
    let missed = host
        .send("a", &[("x-kind", "x.z")], "while nobody listened")
        .await
        .event();
    let _second = Listening::start(
        &home,
        host.admin,
        &local,
        &["--source", "a", "--kind", "x.*"],
    );
    eventually("it goes on", async || (local.count() == 2).then_some(())).await;
    let seen = local.seen.lock().unwrap();
    assert_eq!(
        (seen.bodies[&event].len(), seen.bodies[&missed].len()),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_at_once() {
    let host = Host::start(CONFIG, &[]).await;
    let home = Folder::on(Engine::Sqlite, "", &[]).await;
    let local = Local::start().await;
    let said = async |mut command: Command| {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let mut wrong = command(&home, host.admin, &local, &[]);
    wrong.env("HOOKBAY_ADMIN_TOKEN", "wrong");
    let (code, error) = said(wrong).await;
    assert_eq!(code, Some(1), "{error}");
    let (code, error) = said(command(&home, host.admin, &local, &["--kind", "a..b"])).await;
    assert!(code == Some(1) && error.contains("kind"), "{error}");
    let mut nowhere = program::hookbay(&home);
    nowhere.args(["listen", "--url", "http://127.0.0.1:1", "--to", "somewhere"]);
    let (code, error) = said(nowhere).await;
    assert!(
        code == Some(2) && error.contains("http://host/path"),
        "{error}"
    );
    let place = home.path().join("place");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("cursor"), "\n").unwrap();
    let (code, error) = said(command(&home, host.admin, &local, &[])).await;
    assert!(
        code == Some(1) && error.contains("place/cursor`: it is empty"),
        "{error}"
    );
    std::fs::remove_file(place.join("cursor")).unwrap();
    let _first = Listening::start(&home, host.admin, &local, &[]);
    follows(&home).await;
    let (code, error) = said(command(&home, host.admin, &local, &[])).await;
    assert!(
        code == Some(1) && error.contains("another `hookbay listen`"),
        "{error}"
    );
}
