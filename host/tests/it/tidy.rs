//! The shape of the code: what the invariants of `docs/ARCHITECTURE.md` forbid is not there.
//!
//! Each rule is a function from the sources to its violations; a violation names the file
//! and says what to do.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file.
const LINES_MAX: usize = 420;
/// Names that say nothing of what a file owns.
const BANNED_NAMES: [&str; 10] = [
    "common", "helper", "helpers", "misc", "mod", "models", "shared", "types", "util", "utils",
];
/// The words: what they may import of ours is each other.
const WORDS: [&str; 12] = [
    "clock",
    "event",
    "gzip",
    "hash",
    "json",
    "kv",
    "name",
    "public_key",
    "rate",
    "retry",
    "run",
    "trigger",
];
/// What a text file ends with.
const TEXT: [&str; 10] = [
    "rs", "toml", "md", "sql", "wit", "json", "yml", "yaml", "sh", "lock",
];

/// A source file: its path from the workspace's root, with `/`, and its text.
struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// What tools made: cargo, git, npm and Python.
const MADE: [&str; 4] = ["target", ".git", "node_modules", ".venv"];

/// Every file under a folder but what tools made.
fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        // In a worktree `.git` is a file.
        if MADE.iter().any(|made| name == *made) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            files_under(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// The files whose name a filter takes, as text.
fn sources(takes: impl Fn(&str) -> bool) -> Vec<Source> {
    let root = root();
    let mut files = Vec::new();
    files_under(&root, &mut files);
    let relative = |file: &PathBuf| {
        file.strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    let mut sources: Vec<Source> = files
        .iter()
        .map(|file| (relative(file), file))
        .filter(|(path, _)| takes(path))
        .filter_map(|(path, file)| {
            Some(Source {
                path,
                text: fs::read_to_string(file).ok()?,
            })
        })
        .collect();
    sources.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    assert!(!sources.is_empty(), "no sources under {}", root.display());
    sources
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_in_host(path: &str) -> bool {
    path.starts_with("host/src/") && is_rust(path)
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// Whether a file is the module `name` of the host, or within it.
fn is_module(path: &str, name: &str) -> bool {
    path == format!("host/src/{name}.rs") || path.starts_with(&format!("host/src/{name}/"))
}

impl Source {
    /// Its code without comments, up to its own tests, with the number of each line.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self
            .text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"));
        let code = lines
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()));
        code.filter(|(_, line)| !line.trim().is_empty())
    }

    /// The modules of ours that it names: the first segment of each path from `crate`.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        for (number, line) in self.code() {
            for rest in line.split("crate::").skip(1) {
                let (listed, _) = rest.split_once('}').unwrap_or((rest, ""));
                let names = match listed.strip_prefix('{') {
                    Some(listed) => listed.split(',').collect(),
                    None => vec![rest],
                };
                let first = |name: &str| {
                    name.trim()
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                };
                imports.extend(
                    names
                        .into_iter()
                        .map(|name| (number, first(name)))
                        .filter(|(_, name)| !name.is_empty()),
                );
            }
        }
        imports
    }
}

/// Reports all violations of a rule at once.
#[track_caller]
fn none(rule: &str, violations: &[String]) {
    let mut list = String::new();
    for violation in violations {
        write!(list, "\n  {violation}").unwrap();
    }
    assert!(violations.is_empty(), "{rule}{list}");
}

/// The lines of code in some files that hold a text.
fn lines_with(text: &str, takes: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources(takes) {
        found.extend(
            source
                .code()
                .filter(|(_, line)| line.contains(text))
                .map(|(number, _)| format!("{}:{number}", source.path)),
        );
    }
    found
}

#[test]
fn files_say_what_they_own() {
    let silent = |source: &Source| !source.text.starts_with("//! ");
    let violations: Vec<String> = sources(is_rust)
        .into_iter()
        .filter(silent)
        .map(|source| source.path)
        .collect();
    none(
        "open these files with `//!` and a sentence on what they own:",
        &violations,
    );
}

#[test]
fn files_are_short() {
    let mut violations = Vec::new();
    for source in sources(is_rust) {
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            violations.push(format!("{}: {lines} lines", source.path));
        }
    }
    none(
        &format!("split these files, at most {LINES_MAX} lines are for one reading:"),
        &violations,
    );
}

#[test]
fn file_names_say_something() {
    let stem = |path: &str| {
        Path::new(path)
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    };
    let is_banned = |source: &Source| BANNED_NAMES.contains(&stem(&source.path).as_str());
    let violations: Vec<String> = sources(is_rust)
        .into_iter()
        .filter(is_banned)
        .map(|source| source.path)
        .collect();
    none("name these files for what they own:", &violations);
}

#[test]
fn each_tool_has_its_place() {
    for (tool, modules) in [
        ("sqlx", vec!["store"]),
        ("wasmtime", vec!["plugin"]),
        ("std::env", vec!["config"]),
        ("env::var", vec!["config"]),
        ("reqwest", vec!["cli"]),
        ("hyper_util::client", vec!["plugin"]),
        ("notify::", vec!["app", "plugin"]),
    ] {
        let is_elsewhere =
            |path: &str| is_in_host(path) && !modules.iter().any(|module| is_module(path, module));
        let violations = lines_with(tool, is_elsewhere);
        none(
            &format!("only {modules:?} may use `{tool}`; move this there, or ask there for it:"),
            &violations,
        );
    }
}

#[test]
fn modules_know_only_what_they_may() {
    for (module, forbidden) in [
        ("ingest", vec!["plugin", "admin", "cli", "app"]),
        (
            "store",
            vec![
                "plugin", "dispatch", "ingest", "admin", "http", "cli", "app",
            ],
        ),
        (
            "plugin",
            vec!["store", "dispatch", "ingest", "admin", "http", "cli", "app"],
        ),
        ("dispatch", vec!["ingest", "admin", "http", "cli", "app"]),
        ("admin", vec!["dashboard", "cli", "app"]),
        // It asks the admin API, and learns from nobody else.
        ("dashboard", vec!["dispatch", "plugin", "cli", "app"]),
    ] {
        let mut violations = Vec::new();
        for source in sources(|path| is_in_host(path) && is_module(path, module)) {
            let wrong = source
                .imports()
                .into_iter()
                .filter(|(_, name)| forbidden.contains(&name.as_str()));
            violations.extend(
                wrong.map(|(number, name)| format!("{}:{number}: crate::{name}", source.path)),
            );
        }
        none(
            &format!("`{module}` must not know these modules; pass in what it needs:"),
            &violations,
        );
    }
}

#[test]
fn imports_of_ours_stand_on_one_line() {
    let violations = lines_with("crate::{", is_in_host);
    none(
        "one `use` for each module, so that rules and readers find it:",
        &violations,
    );
}

#[test]
fn the_words_know_only_each_other() {
    let mut violations = Vec::new();
    for source in sources(|path| is_in_host(path) && WORDS.iter().any(|word| is_module(path, word)))
    {
        let wrong = source
            .imports()
            .into_iter()
            .filter(|(_, name)| !WORDS.contains(&name.as_str()));
        violations
            .extend(wrong.map(|(number, name)| format!("{}:{number}: crate::{name}", source.path)));
    }
    none(
        &format!("the words {WORDS:?} are pure; move what needs more to where it is done:"),
        &violations,
    );
}

#[test]
fn nothing_is_imported_wholesale() {
    let violations = lines_with("::*;", |path| is_rust(path) && !is_test(path));
    none("name what you import:", &violations);
}

#[test]
fn every_queue_has_a_bound() {
    let violations = lines_with(concat!("unbounded", "_channel"), is_in_host);
    none(
        "give these queues a bound, and say what happens when it is reached:",
        &violations,
    );
}

#[test]
fn nothing_is_left_for_later() {
    let mut violations = Vec::new();
    for mark in [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ] {
        for source in sources(is_rust) {
            let marked = source
                .text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains(mark));
            violations
                .extend(marked.map(|(index, _)| format!("{}:{}: {mark}", source.path, index + 1)));
        }
    }
    none(
        "do these now, or open an issue and name what is not there yet:",
        &violations,
    );
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let is_text = |path: &str| {
        let extension = Path::new(path)
            .extension()
            .map(|extension| extension.to_string_lossy().into_owned());
        extension.is_none_or(|extension| TEXT.contains(&extension.as_str()))
    };
    let mut violations = Vec::new();
    for source in sources(is_text) {
        for place in [concat!("/wo", "rk/"), concat!("/ro", "ot/")] {
            let named = source
                .text
                .lines()
                .enumerate()
                .filter(|(_, line)| line.contains(place));
            violations
                .extend(named.map(|(index, _)| format!("{}:{}: {place}", source.path, index + 1)));
        }
    }
    none(
        "write these paths so that they are right on every machine:",
        &violations,
    );
}

#[test]
fn the_rules_see_what_they_forbid() {
    let text = "//! Says.\nuse crate::store::Store;\nuse crate::{clock, plugin::X};\n// crate::admin\n\
                fn f() { crate::http::g(crate::cli::h()) } // crate::config\n#[cfg(test)]\nuse crate::app;\n";
    let source = Source {
        path: "host/src/made_up.rs".to_owned(),
        text: text.to_owned(),
    };
    let imports: Vec<String> = source.imports().into_iter().map(|(_, name)| name).collect();
    assert_eq!(imports, ["store", "clock", "plugin", "http", "cli"]);
    for (path, module, expected) in [
        ("host/src/store.rs", "store", true),
        ("host/src/store/sqlite.rs", "store", true),
        ("host/src/store_room.rs", "store", false),
        ("host/src/cli/store.rs", "store", false),
    ] {
        assert_eq!(is_module(path, module), expected, "{path}");
    }
}
