//! The files of a new plugin or verifier, all of which the binary carries. Pure.
//!
//! The templates are in `host/scaffold/`; the SDK and the contract are the repository's
//! own, with a manifest that needs no workspace.

use serde_json::{Map, Value, json};

use crate::name::PluginName;

/// Texts of the SDK by their path in it. A test compares the list with the folder.
macro_rules! sdk {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../../plugin-sdk/", $path)))),+]
    };
}

/// What the SDK's folder holds beside its manifest.
pub(super) const SDK: &[(&str, &str)] = sdk![
    "src/bindings.rs",
    "src/clock.rs",
    "src/component.rs",
    "src/config.rs",
    "src/crypto.rs",
    "src/event.rs",
    "src/events.rs",
    "src/http.rs",
    "src/http/error.rs",
    "src/http/header.rs",
    "src/http/response.rs",
    "src/imports.rs",
    "src/kv.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/manifest.rs",
    "src/oracle.rs",
    "src/outcome.rs",
    "src/plugin.rs",
    "src/template.rs",
    "src/testing.rs",
    "src/testing/attempt.rs",
    "src/testing/http.rs",
    "src/testing/imports.rs",
    "src/testing/imports/crypto.rs",
    "src/testing/imports/http.rs",
    "src/testing/imports/kv.rs",
    "src/testing/imports/oracle.rs",
    "src/testing/verifying.rs",
    "src/verifier.rs",
    "wit/config.wit",
    "wit/crypto.wit",
    "wit/events.wit",
    "wit/handler.wit",
    "wit/http.wit",
    "wit/kv.wit",
    "wit/log.wit",
    "wit/oracle.wit",
    "wit/verification.wit",
];
/// The SDK's manifest where there is no workspace.
pub(super) const SDK_MANIFEST: &str = include_str!("../../../../scaffold/sdk.toml");
pub(super) const MANIFEST: &str = include_str!("../../../../scaffold/Cargo.toml.in");
const PLUGIN: Templates = Templates {
    lib: include_str!("../../../../scaffold/plugin/lib.rs.in"),
    tests: include_str!("../../../../scaffold/plugin/tests.rs.in"),
    readme: include_str!("../../../../scaffold/plugin/README.md.in"),
};
const VERIFIER: Templates = Templates {
    lib: include_str!("../../../../scaffold/verifier/lib.rs.in"),
    tests: include_str!("../../../../scaffold/verifier/tests.rs.in"),
    readme: include_str!("../../../../scaffold/verifier/README.md.in"),
};
const REQUEST: &str = include_str!("../../../../scaffold/verifier/request.json");
const GITIGNORE: &str = include_str!("../../../../scaffold/gitignore");
const LICENSES: [(&str, &str); 2] = [
    (
        "sdk/LICENSE-APACHE",
        include_str!("../../../../../LICENSE-APACHE"),
    ),
    (
        "sdk/LICENSE-MIT",
        include_str!("../../../../../LICENSE-MIT"),
    ),
];

/// Words of Rust, in use or reserved, that are plugin names too.
/// <https://doc.rust-lang.org/reference/keywords.html>
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Crates that the new one uses, or that every crate has.
const TAKEN: [&str; 8] = [
    "alloc",
    "core",
    "hookbay_plugin",
    "proc_macro",
    "serde",
    "serde_json",
    "std",
    "test",
];

/// The name of a plugin that cargo takes as a crate's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrateName(PluginName);

/// Why a plugin's name is no crate's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CrateNameError {
    /// Cargo wants a letter first.
    #[error("a crate's name begins with a letter")]
    NoLetter,
    /// `yield` and the like.
    #[error("it is a word of the language Rust")]
    Keyword,
    /// `serde` and the like.
    #[error("it is the name of a crate that the new one uses")]
    Taken,
}

/// A crate to be.
#[derive(Debug)]
pub(super) struct Scaffold<'a> {
    pub(super) name: &'a CrateName,
    pub(super) what: What<'a>,
}

/// What it is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// Handles events of a provider whose kind is like this pattern.
    Plugin { provider: &'a str, kind: &'a str },
    /// Proves who sent a request.
    Verifier,
}

/// What differs between the two.
struct Templates {
    lib: &'static str,
    tests: &'static str,
    readme: &'static str,
}

impl CrateName {
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What cargo calls the file that it builds.
    pub(super) fn artefact(&self) -> String {
        format!("{}.wasm", identifier(&self.0))
    }
}

impl TryFrom<PluginName> for CrateName {
    type Error = CrateNameError;

    fn try_from(name: PluginName) -> Result<Self, CrateNameError> {
        let identifier = identifier(&name);
        if !identifier.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(CrateNameError::NoLetter);
        }
        if KEYWORDS.contains(&identifier.as_str()) {
            return Err(CrateNameError::Keyword);
        }
        if TAKEN.contains(&identifier.as_str()) {
            return Err(CrateNameError::Taken);
        }
        Ok(Self(name))
    }
}

/// The crate's name in code.
fn identifier(name: &PluginName) -> String {
    name.as_str().replace('-', "_")
}

impl Scaffold<'_> {
    /// Path and text of each file, with `/` in paths.
    pub(super) fn files(&self) -> Vec<(String, String)> {
        let filled = |path: &str, template: &str| (path.to_owned(), self.fill(template));
        let (templates, example) = match self.what {
            What::Plugin { provider, kind } => (PLUGIN, ("event.json", event(provider, kind))),
            What::Verifier => (VERIFIER, ("request.json", REQUEST.to_owned())),
        };
        let mut files = vec![
            ("Cargo.toml".to_owned(), self.manifest()),
            filled("README.md", templates.readme),
            filled(".gitignore", GITIGNORE),
            filled("src/lib.rs", templates.lib),
            filled("src/tests.rs", templates.tests),
            (example.0.to_owned(), example.1),
            ("sdk/Cargo.toml".to_owned(), SDK_MANIFEST.to_owned()),
        ];
        let carried = SDK
            .iter()
            .map(|(path, text)| (format!("sdk/{path}"), *text));
        let licenses = LICENSES
            .iter()
            .map(|(path, text)| ((*path).to_owned(), *text));
        files.extend(
            carried
                .chain(licenses)
                .map(|(path, text)| (path, text.to_owned())),
        );
        files
    }

    /// A verifier reads no JSON.
    fn manifest(&self) -> String {
        let is_needed = |line: &&str| match self.what {
            What::Plugin { .. } => true,
            What::Verifier => !line.starts_with("serde"),
        };
        let lines = MANIFEST.split_inclusive('\n').filter(is_needed);
        self.fill(&lines.collect::<String>())
    }

    /// Texts go into code as literals, so that no kind can be anything but a text.
    fn fill(&self, template: &str) -> String {
        let filled = template
            .replace("{{name}}", self.name.as_str())
            .replace("{{file}}", &self.name.artefact());
        let (description, provider, kind) = match self.what {
            What::Verifier => {
                return filled.replace("{{description}}", "Proves who sent a request");
            }
            What::Plugin { provider, kind } => ("Says what arrived and counts it", provider, kind),
        };
        filled
            .replace("{{description}}", description)
            .replace("{{provider}}", &format!("{provider:?}"))
            .replace("{{kind}}", &format!("{kind:?}"))
            .replace("{{example_kind}}", &format!("{:?}", example_kind(kind)))
    }
}

/// A kind that the pattern matches.
fn example_kind(pattern: &str) -> String {
    let concrete = |segment| match segment {
        "*" | "**" => "any",
        named => named,
    };
    let segments: Vec<&str> = pattern.split('.').map(concrete).collect();
    segments.join(".")
}

/// An event for `hookbay plugin run`.
fn event(provider: &str, kind: &str) -> String {
    let mut event = Map::new();
    event.insert("provider".to_owned(), provider.into());
    event.insert("kind".to_owned(), example_kind(kind).into());
    event.insert("body".to_owned(), json!({ "id": 7, "total": 5 }));
    format!("{:#}\n", Value::Object(event))
}
