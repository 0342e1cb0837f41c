//! Plugins: which version runs, what stands in the way of another, and what operators do.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Items, segment, with_query};
use super::events::told;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, Visit};
use super::runs::Run;
use super::shown;

/// A plugin; alone also with its versions and what a run costs.
#[derive(Deserialize)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) state: String,
    pub(super) digest: Option<String>,
    pub(super) version: Option<String>,
    pub(super) description: Option<String>,
    pub(super) contract: Option<String>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) wants: Wants,
    pub(super) missing_grants: Vec<String>,
    pub(super) candidate: Option<Candidate>,
    pub(super) pinned: bool,
    pub(super) hosts: Vec<String>,
    pub(super) runs: BTreeMap<String, i64>,
    pub(super) loaded_at: Option<String>,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) grants: Grants,
    #[serde(default)]
    pub(super) versions: Vec<Version>,
    #[serde(default)]
    pub(super) cost: Option<Cost>,
}

#[derive(Deserialize)]
pub(super) struct Trigger {
    provider: Option<String>,
    source: Option<String>,
    kind: String,
    ordering_key: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Candidate {
    pub(super) digest: Option<String>,
    pub(super) problem: String,
}

#[derive(Deserialize, Default)]
pub(super) struct Wants {
    endpoints: Vec<EndpointWant>,
    secrets: Vec<SecretWant>,
    config: Vec<ConfigWant>,
}

#[derive(Deserialize)]
struct EndpointWant {
    name: String,
    default_origin: Option<String>,
    doc: String,
}

#[derive(Deserialize)]
struct SecretWant {
    name: String,
    doc: String,
}

#[derive(Deserialize)]
struct ConfigWant {
    name: String,
    required: bool,
    doc: String,
}

/// What the operator allows; secrets and settings by name only.
#[derive(Deserialize, Default)]
pub(super) struct Grants {
    http: BTreeMap<String, Endpoint>,
    secrets: Vec<String>,
    config: Vec<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    origin: String,
    #[serde(default)]
    private: bool,
}

#[derive(Deserialize)]
pub(super) struct Version {
    digest: String,
    version: Option<String>,
    first_activated_at: String,
    activated_at: String,
    is_active: bool,
}

/// What one attempt takes, by the last of them.
#[derive(Deserialize)]
pub(super) struct Cost {
    attempts: i64,
    duration_ms: Measure,
    cpu_ms: Measure,
    memory_bytes: Measure,
    egress_bytes: Measure,
}

#[derive(Deserialize)]
struct Measure {
    mean: f64,
    max: f64,
}

/// Something wanted or granted, in one row.
struct Need {
    name: String,
    what: String,
    granted: String,
    /// `good`, `bad` where it is missing, `quiet` where it need not be there.
    class: &'static str,
}

#[derive(Template)]
#[template(path = "plugins.html")]
struct PluginsPage {
    frame: Frame,
    plugins: Vec<Plugin>,
}

#[derive(Template)]
#[template(path = "plugin.html")]
struct PluginPage {
    frame: Frame,
    needs: Vec<Need>,
    plugin: Plugin,
    runs: Vec<Run>,
}

/// `GET /plugins`.
pub(super) async fn list(visit: Visit) -> Result<Response<Body>, Failure> {
    let plugins: Items<Plugin> = visit.get("plugins?limit=1000").await?;
    frame::page(&PluginsPage {
        frame: visit.frame("plugins", "Plugins"),
        plugins: plugins.items,
    })
}

/// `GET /plugins/{name}`.
pub(super) async fn show(
    visit: Visit,
    Path(name): Path<String>,
) -> Result<Response<Body>, Failure> {
    shown(&visit, &name).await
}

/// `GET /plugins/rescan`: the plugin of this name.
pub(super) async fn show_rescan(visit: Visit) -> Result<Response<Body>, Failure> {
    shown(&visit, "rescan").await
}

async fn shown(visit: &Visit, name: &str) -> Result<Response<Body>, Failure> {
    let path = format!("plugins/{}", segment(name));
    let of_it = [("plugin", Some(name)), ("limit", Some("10"))];
    let runs = with_query("runs", &of_it);
    let (plugin, runs) = tokio::join!(visit.get::<Plugin>(&path), visit.get::<Items<Run>>(&runs));
    let plugin = plugin?;
    let runs = match runs {
        Ok(runs) => runs.items,
        // A plugin that never was active has no runs to ask for.
        Err(Failure::Refused(problem)) if problem.status == 404 => Vec::new(),
        Err(failure) => return Err(failure),
    };
    frame::page(&PluginPage {
        frame: visit.frame("plugins", format!("Plugin {}", plugin.name)),
        needs: plugin.needs(),
        plugin,
        runs,
    })
}

/// `POST /plugins/rescan`.
pub(super) async fn rescan(form: Form) -> Result<Response<Body>, Failure> {
    form.visit.act(Method::POST, "plugins/rescan").await?;
    form.visit.tell(true, "Every file was looked at.", None);
    Ok(frame::go_to(form.back("/plugins")))
}

/// `POST /plugins/{name}/{action}`.
pub(super) async fn act(
    Path((name, action)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Failure> {
    let visit = &form.visit;
    let page = format!("/plugins/{}", segment(&name));
    let (done, next) = match action.as_str() {
        "pause" => ("Paused: its runs wait.", form.back(&page)),
        "resume" => ("Resumed.", form.back(&page)),
        "rollback" => ("Rolled back, and pinned.", page.as_str()),
        "unpin" => (
            "Unpinned: the file in the plugins directory decides again.",
            page.as_str(),
        ),
        "forget" => ("Forgotten; its waiting runs are cancelled.", "/operations"),
        _ => return Err(Failure::NoPage(format!("{page}/{action}"))),
    };
    let body = match form.field("digest").filter(|_| action == "rollback") {
        Some(digest) => json!({ "digest": digest }),
        None => Value::Null,
    };
    match visit
        .do_to(&format!("plugins/{}/{action}", segment(&name)), &body)
        .await
    {
        Ok(()) => visit.tell(true, done, None),
        Err(failure) => {
            told(visit, failure)?;
            return Ok(frame::go_to(form.back(&page)));
        }
    }
    Ok(frame::go_to(next))
}

impl Plugin {
    /// Its page.
    pub(super) fn address(&self) -> String {
        format!("/plugins/{}", segment(&self.name))
    }

    /// What stands in the way of its newest file, or of itself.
    pub(super) fn problem(&self) -> &str {
        let candidate = self
            .candidate
            .as_ref()
            .map(|candidate| candidate.problem.as_str());
        candidate.or(self.error.as_deref()).unwrap_or_default()
    }

    /// Why it runs nothing, as a sentence, and how bad that is: `bad` or `warn`.
    pub(super) fn rest(&self) -> Option<(&'static str, String)> {
        let (level, why) = match self.state.as_str() {
            "held" => ("bad", "It wants more than it is granted; its runs wait."),
            "tripped" => ("bad", self.error.as_deref().unwrap_or_default()),
            "broken" => ("bad", self.problem()),
            "missing" => ("warn", "No live host has its file; its runs wait."),
            "paused" => ("warn", "Its runs wait until it is resumed."),
            _ => return None,
        };
        Some((level, why.to_owned()))
    }

    /// When its active version became so.
    pub(super) fn active_since(&self) -> Option<&str> {
        let active = self.versions.iter().find(|version| version.is_active);
        let since = active.map(|version| version.activated_at.as_str());
        since.or(self.loaded_at.as_deref())
    }

    /// How many runs are in a state.
    pub(super) fn count(&self, state: &str) -> i64 {
        self.runs.get(state).copied().unwrap_or_default()
    }

    fn live(&self) -> i64 {
        ["ready", "running", "waiting", "blocked"]
            .iter()
            .map(|state| self.count(state))
            .sum()
    }

    fn can_pause(&self) -> bool {
        matches!(self.state.as_str(), "active" | "held" | "missing")
    }

    fn can_resume(&self) -> bool {
        matches!(self.state.as_str(), "paused" | "tripped")
    }

    /// What it wants beside what it is granted; then what nobody asked for.
    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for want in &self.wants.endpoints {
            let endpoint = self.grants.http.get(&want.name);
            let origin = want.default_origin.as_deref();
            let what = origin.map_or_else(
                || want.doc.clone(),
                |origin| format!("{} (usually {origin})", want.doc),
            );
            needs.push(self.need(
                format!("http.{}", want.name),
                what,
                endpoint.map(Endpoint::told),
            ));
        }
        for want in &self.wants.secrets {
            let is_set = self.grants.secrets.contains(&want.name);
            let granted = is_set.then(|| "set".to_owned());
            needs.push(self.need(format!("secrets.{}", want.name), want.doc.clone(), granted));
        }
        for want in &self.wants.config {
            let is_set = self.grants.config.contains(&want.name);
            let granted = match (is_set, want.required) {
                (true, _) => Some("set".to_owned()),
                (false, true) => None,
                (false, false) => Some("not set, works without".to_owned()),
            };
            needs.push(self.need(format!("config.{}", want.name), want.doc.clone(), granted));
        }
        // What a newer file wants stands in no manifest that is active.
        for missing in &self.missing_grants {
            if needs.iter().all(|need| need.name != *missing) {
                let what = "wanted by the newer file".to_owned();
                needs.push(self.need(missing.clone(), what, None));
            }
        }
        needs
    }

    fn need(&self, name: String, what: String, granted: Option<String>) -> Need {
        let is_missing = self.missing_grants.contains(&name) || granted.is_none();
        Need {
            class: if is_missing { "bad" } else { "good" },
            granted: granted
                .filter(|_| !is_missing)
                .unwrap_or_else(|| "not granted".to_owned()),
            name,
            what,
        }
    }
}

impl Measure {
    fn mean_whole(&self) -> i64 {
        self.mean.round() as i64
    }

    fn max_whole(&self) -> i64 {
        self.max.round() as i64
    }
}

impl Endpoint {
    fn told(&self) -> String {
        if self.private {
            format!("{}, also private addresses", self.origin)
        } else {
            self.origin.clone()
        }
    }
}

impl Trigger {
    /// Whose events it wants.
    fn origin(&self) -> String {
        match (&self.source, &self.provider) {
            (Some(source), _) => format!("source {source}"),
            (None, Some(provider)) => format!("any source of {provider}"),
            (None, None) => shown::NOTHING.to_owned(),
        }
    }
}
