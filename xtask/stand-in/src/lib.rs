//! Stands in for the outside services that plugins call.
//!
//! `cargo xtask serve` runs it so that a newcomer sees, in the terminal and in a browser, the
//! page or the message that a plugin would have made; the host's tests run it so that plugins
//! meet the statuses, the errors and the delays of the real thing. One listener serves all
//! services, told apart by path, since a grant's origin has none.
//!
//! **A further service** is a file with a struct that implements [`Service`]: which paths it
//! takes, what it answers, in which words it refuses, and what the web page shows of it. Then
//! it gets a field in [`Services`] and a place in `Services::all`; nothing else knows of it.
//! `notion.rs` is the large example, `sink.rs` the small one.
//!
//! Threads and blocking sockets, on purpose: `xtask` links this, and must compile in seconds.
//! Nothing is kept on disk.

mod calendar;
pub mod discord;
mod fault;
mod http;
pub mod mail;
pub mod notion;
mod rate;
mod server;
mod service;
pub mod sink;
pub mod slack;
mod web;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

pub use fault::{Ending, Fault};
pub use http::{Answer, Request};
pub use service::{Call, Section, Service};

use discord::Discord;
use fault::Faults;
use mail::{Postmark, Resend};
use notion::Notion;
use server::{Reply, Server};
use sink::Sink;
use slack::Slack;

/// Calls that are remembered, for the web page and for tests.
const CALLS_MAX: usize = 10_000;

/// How a stand-in is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// Whether each call is printed as a line.
    pub is_printing: bool,
    /// Whether Slack, Discord and Resend take only as many requests as the real ones.
    pub is_limited: bool,
    /// What Notion is like.
    pub notion: notion::Options,
}

/// A stand-in that runs. It stops when it is dropped.
pub struct StandIn {
    shared: Arc<Shared>,
    server: Server,
}

/// Every service, by name for tests.
#[derive(Default)]
pub struct Services {
    /// The database and its pages.
    pub notion: Notion,
    /// A channel.
    pub slack: Slack,
    /// A channel.
    pub discord: Discord,
    /// Mails.
    pub resend: Resend,
    /// Mails.
    pub postmark: Postmark,
    /// Whatever is posted anywhere under `/sink`.
    pub sink: Sink,
}

struct Shared {
    state: Mutex<State>,
    is_printing: bool,
}

struct State {
    services: Services,
    faults: Faults,
    calls: VecDeque<Call>,
}

impl Options {
    /// For tests: any free port, silent, and no service slower or stricter than it has to be.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            is_printing: false,
            is_limited: false,
            notion: notion::Options::quick(),
        }
    }

    /// For people: each call is printed, and every service is as slow and strict as the real
    /// one.
    #[must_use]
    pub fn lifelike(listen: SocketAddr) -> Self {
        Self {
            listen,
            is_printing: true,
            is_limited: true,
            notion: notion::Options::lifelike(),
        }
    }
}

impl Services {
    /// All of them. The first that takes a path gets the request.
    fn all(&mut self) -> [&mut dyn Service; 6] {
        [
            &mut self.notion,
            &mut self.slack,
            &mut self.discord,
            &mut self.resend,
            &mut self.postmark,
            &mut self.sink,
        ]
    }
}

impl StandIn {
    /// Starts it.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(options: Options) -> io::Result<Self> {
        let services = Services {
            notion: Notion::new(options.notion),
            slack: Slack::new(options.is_limited),
            discord: Discord::new(options.is_limited),
            resend: Resend::new(options.is_limited),
            ..Services::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                services,
                faults: Faults::default(),
                calls: VecDeque::new(),
            }),
            is_printing: options.is_printing,
        });
        let theirs = Arc::clone(&shared);
        let server = Server::start(options.listen, move |request| theirs.reply(&request))?;
        Ok(Self { shared, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What an endpoint's grant names.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Looks at the services, or changes them, between two requests.
    pub fn with<T>(&self, look: impl FnOnce(&mut Services) -> T) -> T {
        look(&mut self.shared.state().services)
    }

    /// Makes requests that are still to come go wrong.
    pub fn inject(&self, fault: Fault) {
        self.shared.state().faults.add(fault);
    }

    /// The calls so far, first to last.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state().calls.iter().cloned().collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, request: &Request) -> Reply {
        let mut state = self.state();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/" | "/favicon.ico") => return Reply::Answer(state.page()),
            ("POST", "/stand-in/faults") => return Reply::Answer(state.injected(request)),
            _ => {}
        }
        let now = SystemTime::now();
        let (call, reply) = state.answered(request, now);
        if self.is_printing {
            println!("{call}");
        }
        if state.calls.len() == CALLS_MAX {
            state.calls.pop_front();
        }
        state.calls.push_back(call);
        reply
    }
}

impl State {
    fn answered(&mut self, request: &Request, now: SystemTime) -> (Call, Reply) {
        let fault = self.faults.strike(request);
        let mut all = self.services.all();
        let Some(service) = all.iter_mut().find(|one| one.takes(&request.path)) else {
            let answer = Answer::text(404, "no service of the stand-in has this path");
            return (Call::new("nobody", request, &answer), Reply::Answer(answer));
        };
        let Some(fault) = fault else {
            let answer = service.answer(request, now);
            let call = Call::new(service.name(), request, &answer);
            return (call, Reply::Answer(answer));
        };
        let done = fault.is_applied.then(|| service.answer(request, now));
        let done = done.map(|answer| answer.note).unwrap_or_default();
        let (answer, reply) = match fault.ending {
            Ending::Status {
                status,
                retry_after_s,
            } => {
                let mut answer = service.refusal(status);
                if let Some(seconds) = retry_after_s {
                    answer = answer.with_header("retry-after", seconds.to_string());
                }
                (answer.clone(), Reply::Answer(answer))
            }
            Ending::HangUp => (Answer::none("hung up"), Reply::HangUp),
            Ending::Hold => (Answer::none("never answered"), Reply::Hold),
        };
        let note = format!("[injected] {} {done}", answer.note);
        let call = Call::new(service.name(), request, &answer.with_note(note.trim_end()));
        (call, reply)
    }

    fn injected(&mut self, request: &Request) -> Answer {
        match Fault::parse(&request.body) {
            Ok(fault) => {
                self.faults.add(fault);
                Answer::text(202, "injected\n")
            }
            Err(problem) => Answer::text(400, &format!("{problem}\n")),
        }
    }

    fn page(&mut self) -> Answer {
        let sections: Vec<Section> = self
            .services
            .all()
            .iter()
            .flat_map(|service| service.sections())
            .collect();
        Answer::html(&web::page(&sections, self.calls.iter().rev()))
    }
}
