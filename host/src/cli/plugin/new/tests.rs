//! What a new plugin is made of agrees with the repository. That it builds is shown by
//! `host/tests/it/scaffold.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::scaffold::{MANIFEST, SDK, SDK_MANIFEST, Scaffold, What};
use super::{crate_name, kind_pattern, make, provider_name};
use crate::trigger::KindPattern;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn table(text: &str) -> Table {
    text.parse().unwrap()
}

fn manifest(path: &str) -> Table {
    table(&fs::read_to_string(root().join(path)).unwrap())
}

/// The files under a folder, by their paths from `base`.
fn files_under(folder: &Path, base: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path, base));
        } else {
            let name = path.strip_prefix(base).unwrap().display().to_string();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    files
}

/// A table of a manifest with what it inherits from the workspace's table of that name.
fn inherited(own: &Value, workspace: &Value) -> Table {
    let value = |(key, value): (&String, &Value)| match value.get("workspace") {
        Some(_) => (key.clone(), workspace[key].clone()),
        None => (key.clone(), value.clone()),
    };
    own.as_table().unwrap().iter().map(value).collect()
}

#[test]
fn the_binary_carries_the_whole_sdk() {
    let sdk = root().join("plugin-sdk");
    let mut on_disk = files_under(&sdk.join("src"), &sdk);
    on_disk.extend(files_under(&sdk.join("wit"), &sdk));
    let carried: BTreeMap<String, String> = SDK
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&carried),
        names(&on_disk),
        "list the SDK's files in host/src/cli/plugin/new/scaffold.rs"
    );
    assert!(carried == on_disk, "the binary is older than plugin-sdk/");
}

#[test]
fn manifests_without_a_workspace_say_the_same() {
    let workspace = &manifest("Cargo.toml")["workspace"];
    let own = manifest("plugin-sdk/Cargo.toml");
    let written_out = table(SDK_MANIFEST);

    let mut package = inherited(&own["package"], &workspace["package"]);
    // What it excludes is not there.
    package.remove("exclude");
    assert_eq!(written_out["package"].as_table(), Some(&package));

    let dependencies =
        |table: &Value| inherited(&table["dependencies"], &workspace["dependencies"]);
    assert_eq!(
        written_out["dependencies"].as_table(),
        Some(&dependencies(&Value::from(own.clone())))
    );
    let platforms = own["target"].as_table().unwrap();
    assert_eq!(
        written_out["target"].as_table().unwrap().len(),
        platforms.len()
    );
    for (platform, table) in platforms {
        assert_eq!(
            written_out["target"][platform]["dependencies"].as_table(),
            Some(&dependencies(table)),
            "{platform}"
        );
    }

    let scaffold = table(MANIFEST);
    for key in ["edition", "rust-version"] {
        assert_eq!(scaffold["package"][key], workspace["package"][key], "{key}");
    }
    for name in ["serde", "serde_json"] {
        let version = |value: &Value| value.get("version").unwrap_or(value).clone();
        assert_eq!(
            version(&scaffold["dependencies"][name]),
            version(&workspace["dependencies"][name]),
            "{name}"
        );
    }
    let profile = &manifest("Cargo.toml")["profile"]["plugin"];
    for (key, value) in scaffold["profile"]["release"].as_table().unwrap() {
        assert_eq!(Some(value), profile.get(key), "{key}");
    }
}

#[test]
fn names_are_those_of_plugins_and_crates() {
    for good in ["a", "orders-to-slack", "x_1", "push2", "plugin"] {
        assert_eq!(crate_name(good).unwrap().as_str(), good);
    }
    for (bad, why) in [
        ("", "is not a name"),
        ("Orders", "is not a name"),
        ("../orders", "is not a name"),
        ("a.b", "is not a name"),
        ("-", "is not a name"),
        ("2fa", "begins with a letter"),
        ("yield", "word of the language"),
        ("self", "word of the language"),
        ("serde", "crate that the new one uses"),
        ("serde-json", "crate that the new one uses"),
        ("hookbay-plugin", "crate that the new one uses"),
    ] {
        let error = crate_name(bad).unwrap_err();
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn triggers_are_checked() {
    for good in ["github", "generic", "none", "hookbay"] {
        assert_eq!(provider_name(good).as_deref(), Ok(good));
    }
    let error = provider_name("githbu").unwrap_err();
    assert!(error.contains("`github`"), "{error}");
    assert!(kind_pattern("invoice.*").is_ok());
    assert!(kind_pattern("**.paid").is_err());
}

#[test]
fn a_kind_is_a_literal_whatever_it_holds() {
    let name = crate_name("demo").unwrap();
    for (kind, literal, example) in [
        ("push", r#""push""#, "push"),
        ("invoice.*", r#""invoice.*""#, "invoice.any"),
        ("a.*.**", r#""a.*.**""#, "a.any.any"),
        (
            r#"a"); panic!("b"#,
            r#""a\"); panic!(\"b""#,
            r#"a"); panic!("b"#,
        ),
    ] {
        let provider = "generic";
        let scaffold = Scaffold {
            name: &name,
            what: What::Plugin { provider, kind },
        };
        let files: BTreeMap<String, String> = scaffold.files().into_iter().collect();
        let trigger = format!("Trigger::provider(\"generic\", {literal})");
        assert!(files["src/lib.rs"].contains(&trigger), "{kind}");
        let event: serde_json::Value = serde_json::from_str(&files["event.json"]).unwrap();
        assert_eq!(event["kind"], example);
        let pattern: KindPattern = kind.parse().unwrap();
        assert!(pattern.matches(example), "{kind}");
        for (path, text) in &files {
            let is_template = !path.starts_with("sdk/");
            assert!(!(is_template && text.contains("{{")), "{path} has a gap");
        }
    }
}

#[test]
fn a_verifier_brings_what_a_plugin_does() {
    let name = crate_name("demo").unwrap();
    let files = |what| -> BTreeMap<String, String> {
        let scaffold = Scaffold { name: &name, what };
        scaffold.files().into_iter().collect()
    };
    let (provider, kind) = ("github", "push");
    let (plugin, verifier) = (
        files(What::Plugin { provider, kind }),
        files(What::Verifier),
    );
    let names = |files: &BTreeMap<String, String>, except: &str| -> Vec<String> {
        let names = files.keys().filter(|name| *name != except);
        names.cloned().collect()
    };
    assert_eq!(
        names(&verifier, "request.json"),
        names(&plugin, "event.json")
    );
    for (path, text) in &verifier {
        let is_template = !path.starts_with("sdk/");
        assert!(!(is_template && text.contains("{{")), "{path} has a gap");
    }
    let manifest = table(&verifier["Cargo.toml"]);
    let dependencies = manifest["dependencies"].as_table().unwrap();
    assert_eq!(dependencies.keys().collect::<Vec<_>>(), ["hookbay-plugin"]);
}

#[test]
fn what_is_there_stays() {
    let name = crate_name("demo").unwrap();
    let (provider, kind) = ("github", "push");
    let scaffold = Scaffold {
        name: &name,
        what: What::Plugin { provider, kind },
    };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("plugins/demo");
    make(&folder, &scaffold).unwrap();
    let made = files_under(place.path(), place.path());
    assert_eq!(made.len(), scaffold.files().len());

    fs::write(folder.join("src/lib.rs"), "mine").unwrap();
    let error = make(&folder, &scaffold).unwrap_err().to_string();
    assert!(
        error.ends_with("is there already: remove it, or choose another name"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(folder.join("src/lib.rs")).unwrap(),
        "mine"
    );

    let error = make(&folder.join("src/lib.rs/demo"), &scaffold);
    assert!(error.unwrap_err().to_string().starts_with("cannot make"));
}
