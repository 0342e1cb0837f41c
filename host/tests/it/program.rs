//! The real program as a process of its own, for what cannot be done to oneself: being killed.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use reqwest::Method;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::harness::{Folder, Host, TOKEN, eventually};
use crate::http::{Answer, Client};

/// `hookbay serve` over a folder; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    public: SocketAddr,
    admin: SocketAddr,
    client: Client,
}

/// An address that nobody listens on now.
fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// `hookbay` over a folder, with an environment that holds nothing but the token.
pub(crate) fn hookbay(folder: &Folder) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookbay"));
    command
        .env_clear()
        .env("HOOKBAY_ADMIN_TOKEN", TOKEN)
        .current_dir(folder.path());
    command
}

/// What the command line says to these arguments, which ask a host: exit code, stdout, stderr.
pub(crate) async fn asked(host: &Host, arguments: &[&str]) -> (i32, String, String) {
    asked_at(host.admin, &host.folder, arguments).await
}

/// The same where another is asked than the host of the folder.
pub(crate) async fn asked_at(
    admin: SocketAddr,
    folder: &Folder,
    arguments: &[&str],
) -> (i32, String, String) {
    let mut command = hookbay(folder);
    let url = format!("http://{admin}");
    command.args(arguments).args(["--url", &url]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

/// `hookbay serve` on free addresses.
fn serve(folder: &Folder, public: SocketAddr, admin: SocketAddr) -> Command {
    let mut command = hookbay(folder);
    command.args([
        "serve",
        "--listen",
        &public.to_string(),
        "--admin-listen",
        &admin.to_string(),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What comes of `hookbay serve` where it cannot start.
pub(crate) async fn refused_serve(folder: &Folder) -> Output {
    // Any port: nobody will speak to it, and one that was free before need not be now.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut command = serve(folder, any, any);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

/// The same in a process that is held back by the shell: `ulimit -f`, so that its files cannot
/// grow and its disk is full to it, `ulimit -v`, so that it has few addresses.
fn serve_within(limit: &str, folder: &Folder, public: SocketAddr, admin: SocketAddr) -> Command {
    let inner = serve(folder, public, admin);
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -S {limit}; exec \"$0\" \"$@\""
        ))
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .env("HOOKBAY_ADMIN_TOKEN", TOKEN)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Program {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(folder: &Folder) -> Self {
        let (public, admin) = (free_address(), free_address());
        let child = serve(folder, public, admin).stderr(Stdio::null()).spawn();
        Self::ready(child.unwrap(), public, admin).await
    }

    /// The same, with all its threads on one processor.
    pub(crate) async fn start_on_one_processor(folder: &Folder) -> Self {
        let (public, admin) = (free_address(), free_address());
        let mut command = serve(folder, public, admin);
        // A process begins where the thread is that starts it; that thread is then done.
        let pinned = std::thread::spawn(move || {
            let mut first = CpuSet::new();
            let all = sched_getaffinity(None).unwrap();
            let processor = (0..CpuSet::MAX_CPU).find(|number| all.is_set(*number));
            first.set(processor.unwrap());
            sched_setaffinity(None, &first).unwrap();
            command.stderr(Stdio::null()).spawn().unwrap()
        });
        Self::ready(pinned.join().unwrap(), public, admin).await
    }

    /// The same on a disk that is soon full.
    pub(crate) async fn start_on_a_small_disk(folder: &Folder) -> Self {
        // Blocks of 512 bytes.
        Self::start_within("-f 2048", folder).await
    }

    /// The same with a limit of the shell's.
    pub(crate) async fn start_within(limit: &str, folder: &Folder) -> Self {
        let (public, admin) = (free_address(), free_address());
        let mut command = serve_within(limit, folder, public, admin);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        Self::ready(child, public, admin).await
    }

    /// Lets its files grow again.
    pub(crate) fn free_the_disk(&self) {
        let unlimited = rustix::process::Rlimit {
            current: None,
            maximum: None,
        };
        let limited = rustix::process::Resource::Fsize;
        rustix::process::prlimit(self.pid(), limited, unlimited).unwrap();
    }

    fn pid(&self) -> Option<rustix::process::Pid> {
        let id = i32::try_from(self.child.id()).ok()?;
        rustix::process::Pid::from_raw(id)
    }

    async fn ready(child: Child, public: SocketAddr, admin: SocketAddr) -> Self {
        let mut program = Self {
            child,
            public,
            admin,
            client: Client::new(),
        };
        eventually("the program is ready", async || {
            assert!(
                program.child.try_wait().unwrap().is_none(),
                "the program has ended"
            );
            let url = format!("http://{public}/readyz");
            let answer = program
                .client
                .try_ask(Method::GET, &url, &[], Vec::new())
                .await?;
            (answer.status == 200).then_some(())
        })
        .await;
        program
    }

    pub(crate) async fn send(&self, source: &str, body: &Value) -> Answer {
        let url = format!("http://{}/webhooks/{source}", self.public);
        self.client
            .ask(Method::POST, &url, &[], body.to_string())
            .await
    }

    /// The same with headers.
    pub(crate) async fn send_with(
        &self,
        source: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let url = format!("http://{}/webhooks/{source}", self.public);
        let body = body.to_owned();
        self.client.ask(Method::POST, &url, headers, body).await
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_bytes(&self, source: &str, body: Vec<u8>) -> Answer {
        let url = format!("http://{}/webhooks/{source}", self.public);
        self.client.ask(Method::POST, &url, &[], body).await
    }

    /// `GET /readyz`.
    pub(crate) async fn readiness(&self) -> u16 {
        let url = format!("http://{}/readyz", self.public);
        self.client
            .ask(Method::GET, &url, &[], Vec::new())
            .await
            .status
    }

    /// `GET /api/v1/{path}` as JSON.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}/api/v1/{path}", self.admin);
        let bearer = format!("Bearer {TOKEN}");
        self.client
            .ask(Method::GET, &url, &[("authorization", &bearer)], Vec::new())
            .await
            .json()
    }

    /// The text of `/metrics`.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self.client.ask(Method::GET, &url, &headers, Vec::new());
        answer.await.text()
    }

    /// How much of it is in memory.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() << 10
    }

    /// Kills it as a power cut would: nothing of it runs any more.
    pub(crate) async fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops all of it in the middle of whatever it does, without its knowing.
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// As a terminal that goes away, or who wants the configuration read again.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid().unwrap(), signal).unwrap();
    }

    /// Asks it to stop; how it ended.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        let child = &mut self.child;
        eventually("the program ends", async || child.try_wait().unwrap())
            .await
            .code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
