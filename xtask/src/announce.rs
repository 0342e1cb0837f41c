//! What `serve` says once the host is ready. Not a command for people.
//!
//! `serve` becomes the host, so this runs as a process beside it: it waits for `/readyz`,
//! prints, and ends. It is started through an intermediate process that ends at once, so
//! that the host is left with no child that it would have to reap.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::config::{self, Addresses};
use crate::http::Connection;
use crate::workspace;

/// The hidden command's name.
pub(crate) const COMMAND: &str = "announce";

/// A first start compiles the plugins, in a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What there is to announce.
pub(crate) struct Announcement {
    /// Where the host listens.
    pub(crate) addresses: Addresses,
    /// Where the stand-in for outside services is.
    pub(crate) stand_in: Option<SocketAddr>,
    /// The host's binary.
    pub(crate) host: PathBuf,
    /// The host's configuration file.
    pub(crate) config: PathBuf,
}

impl Announcement {
    /// Starts the waiting process for the host that this process is about to become.
    pub(crate) fn start(&self, own_program: &Path) -> Result<()> {
        let mut command = Command::new(own_program);
        command.arg(COMMAND).arg("--detach");
        self.add_to(&mut command, std::process::id());
        workspace::run(&mut command)
    }

    fn add_to(&self, command: &mut Command, host_process: u32) {
        command
            .arg("--public")
            .arg(self.addresses.public.to_string());
        command.arg("--admin").arg(self.addresses.admin.to_string());
        if let Some(stand_in) = self.stand_in {
            command.arg("--stand-in").arg(stand_in.to_string());
        }
        command.arg("--host").arg(&self.host);
        command.arg("--config").arg(&self.config);
        command.arg("--process").arg(host_process.to_string());
    }

    fn print(&self) {
        let Addresses { public, admin } = self.addresses;
        let config = short(&self.config);
        let token = short(&self.config.with_file_name("data").join("admin-token"));
        let hookbay = format!("{} --config {config}", short(&self.host));
        let text = fs::read_to_string(&self.config).unwrap_or_default();
        let webhooks: Vec<String> = config::sources(&text)
            .iter()
            .map(|name| format!("http://{public}/webhooks/{name}"))
            .collect();
        let webhooks = webhooks.join("\n              ");
        println!(
            "\n\
             Hookbay is ready.\n\
             \n\
             \x20 webhooks    {webhooks}\n\
             \x20 secrets     {config}\n\
             \x20 dashboard   http://{admin}\n\
             \x20 admin API   http://{admin}/api/v1\n\
             \x20 metrics     http://{admin}/metrics\n\
             \x20 token       {token}\n\
             \n\
             Send a signed push, from another terminal:\n\
             \n\
             \x20 {hookbay} send github push\n\
             \n\
             and look at what became of it:\n\
             \n\
             \x20 {hookbay} runs list\n\
             \x20 {hookbay} events list\n\
             \x20 curl -H \"Authorization: Bearer $(cat {token})\" http://{admin}/api/v1/runs\n\
             \n\
             Plugins run from {}; `cargo xtask plugins` builds them. Ctrl-C stops.\n",
            short(&self.config.with_file_name("plugins.d")),
        );
        if let Some(stand_in) = self.stand_in {
            println!(
                "A Stripe invoice becomes a page in Notion, a pull request a thread in Slack, an\n\
                 order a message in Slack and Discord and a mail. Here a stand-in takes them, and\n\
                 shows them at http://{stand_in}:\n\
                 \n\
                 \x20 {hookbay} send stripe invoice.paid\n\
                 \x20 {hookbay} send github pull_request\n\
                 \x20 {hookbay} send generic order.created\n"
            );
        }
    }
}

/// Waits for the host and prints.
pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let is_first = arguments.flag("--detach");
    let announcement = Announcement {
        addresses: Addresses {
            public: arguments.required("--public")?.parse()?,
            admin: arguments.required("--admin")?.parse()?,
        },
        stand_in: arguments
            .value("--stand-in")?
            .map(|address| address.parse())
            .transpose()?,
        host: arguments.required("--host")?.into(),
        config: arguments.required("--config")?.into(),
    };
    let host_process = arguments.required("--process")?.parse()?;
    arguments.finish_without_extra()?;
    if is_first {
        let mut command =
            Command::new(std::env::current_exe().context("cannot find this program's file")?);
        command.arg(COMMAND).stdin(Stdio::null());
        announcement.add_to(&mut command, host_process);
        // Not waited for: this process ends now, and init reaps the other.
        command.spawn().context("cannot start the announcement")?;
        return Ok(());
    }
    wait_and_print(&announcement, host_process);
    Ok(())
}

fn wait_and_print(announcement: &Announcement, host_process: u32) {
    let started = Instant::now();
    while started.elapsed() < READY_WITHIN {
        // First the process, then the address: another program may answer there while the
        // host is failing on the port that is taken.
        std::thread::sleep(Duration::from_millis(200));
        if !is_alive(host_process) {
            return;
        }
        if is_ready(announcement.addresses.public) && is_alive(host_process) {
            announcement.print();
            return;
        }
    }
    eprintln!(
        "The host runs but http://{}/readyz has not answered 200 for {} s; its log says why.",
        announcement.addresses.public,
        READY_WITHIN.as_secs(),
    );
}

/// Whether `/readyz` answers 200.
pub(crate) fn is_ready(public: SocketAddr) -> bool {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {public}\r\nConnection: close\r\n\r\n");
    Connection::new(public)
        .exchange(request.as_bytes())
        .is_ok_and(|response| response.status == 200)
}

// The shell's own `kill`: a minimal Debian has no other, and std cannot send signal 0.
fn is_alive(process: u32) -> bool {
    Command::new("sh")
        .args(["-c", &format!("kill -0 {process}")])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `path` relative to the working directory where it lies below it.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here)
        .unwrap_or(path)
        .display()
        .to_string()
}
