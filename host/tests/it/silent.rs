//! A database whose connections go silent, as behind a firewall that forgets them: nobody says
//! that they are lost, and yet the host goes on by itself.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cut_off::all_is_done;
use crate::database::Engine;
use crate::harness::{Folder, Host, eventually};

const CONFIG: &str = r#"
[sources.misbehave]
provider = "none"

[plugins.misbehave]
retry = { attempts = 1 }
"#;

/// Stands between a host and its database.
struct Between {
    address: SocketAddr,
    silenced: watch::Sender<()>,
    over: watch::Sender<()>,
    _connections: JoinSet<()>,
}

impl Between {
    async fn start(database: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (silenced, hush) = watch::channel(());
        let (over, end) = watch::channel(());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, database, hush.clone(), end.clone()));
            }
        });
        Self {
            address,
            silenced,
            over,
            _connections: accepting,
        }
    }

    /// From now on nothing passes on the connections that there are; new ones are as ever.
    fn silence(&self) {
        self.silenced.send_replace(());
    }

    /// Both ends hear at last that the silent ones are gone.
    fn end_silence(&self) {
        self.over.send_replace(());
    }
}

/// Passes on what both say, until they are silenced; neither hears of an end then.
async fn pass(
    mut client: TcpStream,
    database: SocketAddr,
    mut hush: watch::Receiver<()>,
    mut end: watch::Receiver<()>,
) {
    hush.mark_unchanged();
    end.mark_unchanged();
    let mut server = TcpStream::connect(database).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        Ok(()) = hush.changed() => drop(end.changed().await),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_silent_stop_nothing_for_ever() {
    if Engine::of_hosts() == Engine::Sqlite {
        return;
    }
    let folder = Folder::new(CONFIG, &["misbehave"]).await;
    let direct = url::Url::parse(&folder.database.url()).unwrap();
    let server = direct.socket_addrs(|| None).unwrap()[0];
    let between = Between::start(server).await;
    let mut through = direct.clone();
    through.set_ip_host(between.address.ip()).unwrap();
    through.set_port(Some(between.address.port())).unwrap();
    let toml = fs::read_to_string(folder.config_file()).unwrap();
    let toml = toml.replace(direct.as_str(), through.as_str());
    let pool = "acquire_timeout = \"10s\", statement_timeout = \"1s\"";
    let toml = toml.replace("acquire_timeout = \"10s\"", pool);
    fs::write(folder.config_file(), toml).unwrap();

    let host = Host::over(folder).await;
    let what = json!({ "do": "kv_increment", "key": "n", "by": 1 });
    let mut acknowledged = BTreeSet::new();
    for _ in 0..2 {
        for _ in 0..5 {
            acknowledged.insert(host.tell(&what).await);
        }
        between.silence();
        // Whatever is asked first finds a connection that was good a moment ago.
        let stored = eventually("a webhook is stored again", async || {
            let answer = host.send("misbehave", &[], what.to_string()).await;
            (answer.status == 202).then(|| answer.event())
        });
        acknowledged.insert(stored.await);
    }
    all_is_done(&host, &acknowledged).await;
    eventually("the host is ready", async || {
        (host.public_get("/readyz").await.status == 200).then_some(())
    })
    .await;
    // The server has sessions of them still, which would outlive the host.
    between.end_silence();
}
