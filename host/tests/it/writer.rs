//! Whatever somebody does to the plugins directory, the host runs whole plugins only, and at
//! the end what is there.
//!
//! A writer does random things, the same for the same seed; a failure names its seed, which
//! then goes into [`SEEDS`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::components::{Component, named};
use crate::harness::{Host, eventually};

/// Beside these, each time another.
const SEEDS: [u64; 2] = [1, 0x9e37_79b9_7f4a_7c15];
const STEPS: usize = 30;
const SOURCE: &str = "[sources.noop]\nprovider = \"none\"\n";
const FILE: &str = "noop.wasm";

/// Random numbers that are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }
}

/// What is under the name now.
#[derive(Debug, PartialEq)]
enum There {
    Nothing,
    /// One of the versions, whole.
    Whole(String),
    /// What no version is.
    Part(String),
}

struct Writer<'a> {
    host: &'a Host,
    dice: Dice,
    versions: Vec<Component>,
    there: There,
    events: Vec<String>,
}

impl Writer<'_> {
    fn folder(&self) -> PathBuf {
        self.host.folder.plugins_dir()
    }

    fn version(&mut self) -> Component {
        let n = self.dice.below(self.versions.len());
        self.versions[n].clone()
    }

    fn holds(&mut self, component: &Component) {
        let digest = component.digest();
        let is_whole = self.versions.iter().any(|one| one.digest() == digest);
        self.there = if is_whole {
            There::Whole(digest)
        } else {
            There::Part(digest)
        };
    }

    /// What an onlooker sees: never anything but whole versions.
    async fn look(&mut self) {
        let plugins = self.host.items("plugins").await;
        for plugin in plugins {
            let digest = &plugin["digest"];
            let is_whole = self.versions.iter().any(|one| *digest == one.digest());
            assert!(digest.is_null() || is_whole, "{plugin}");
        }
    }

    /// Writes in place, piece by piece, perhaps not to the end.
    async fn copy(&mut self, is_whole: bool) {
        let version = self.version();
        let mut file = File::create(self.folder().join(FILE)).unwrap();
        let end = if is_whole {
            version.0.len()
        } else {
            self.dice.below(version.0.len())
        };
        let mut written = 0;
        while written < end {
            let piece = (1 + self.dice.below(version.0.len() / 2)).min(end - written);
            file.write_all(&version.0[written..written + piece])
                .unwrap();
            written += piece;
            match self.dice.below(3) {
                0 => self.host.rescan().await,
                1 => self.look().await,
                _ => {}
            }
        }
        self.holds(&Component(version.0[..end].to_vec()));
    }

    fn truncate(&mut self) {
        let path = self.folder().join(FILE);
        let Ok(bytes) = fs::read(&path) else { return };
        let length = self.dice.below(bytes.len() + 1);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(u64::try_from(length).unwrap()).unwrap();
        self.holds(&Component(bytes[..length].to_vec()));
    }

    fn rename_over(&mut self) {
        let version = self.version();
        version.place(&self.folder(), FILE);
        self.holds(&version);
    }

    fn delete(&mut self) {
        // It may be gone already.
        drop(fs::remove_file(self.folder().join(FILE)));
        self.there = There::Nothing;
    }

    /// Puts another directory in the place of the first.
    fn replace_directory(&mut self) {
        let (folder, version) = (self.folder(), self.version());
        let next = folder.with_file_name("next");
        fs::create_dir(&next).unwrap();
        let is_empty = self.dice.below(3) == 0;
        if is_empty {
            self.there = There::Nothing;
        } else {
            version.write_over(&next, FILE);
            self.holds(&version);
        }
        let before = folder.with_file_name("before");
        fs::rename(&folder, &before).unwrap();
        fs::rename(&next, &folder).unwrap();
        fs::remove_dir_all(before).unwrap();
    }

    async fn step(&mut self) {
        match self.dice.below(8) {
            0 | 1 => self.copy(true).await,
            2 => self.copy(false).await,
            3 => self.truncate(),
            4 => self.rename_over(),
            5 => self.delete(),
            6 => {
                self.delete();
                self.copy(true).await;
            }
            _ => self.replace_directory(),
        }
        match self.dice.below(4) {
            0 => self.host.rescan().await,
            1 => self
                .events
                .push(self.host.send("noop", &[], "{}").await.event()),
            2 => self.look().await,
            _ => {}
        }
    }

    /// Waits until the host shows what is there, without asking for a scan.
    async fn is_shown(&self) {
        let shown = |plugin: Option<&Value>| match (&self.there, plugin) {
            (There::Nothing, None) => true,
            (There::Nothing, Some(plugin)) => plugin["state"] == "missing",
            (There::Whole(digest), Some(plugin)) => {
                plugin["digest"] == *digest && plugin["candidate"].is_null()
            }
            (There::Part(digest), Some(plugin)) => plugin["candidate"]["digest"] == *digest,
            (There::Whole(_) | There::Part(_), None) => false,
        };
        eventually(&format!("the host shows {:?}", self.there), async || {
            let plugins = self.host.items("plugins").await;
            shown(plugins.first()).then_some(())
        })
        .await;
    }
}

async fn write_anything(seed: u64) {
    println!("seed {seed}");
    let host = Host::start(SOURCE, &["noop"]).await;
    let versions = (1..6).map(|n| named("noop").numbered(n));
    let versions: Vec<Component> = std::iter::once(named("noop")).chain(versions).collect();
    let mut writer = Writer {
        host: &host,
        dice: Dice(seed),
        there: There::Whole(versions[0].digest()),
        versions,
        events: Vec::new(),
    };
    for n in 0..STEPS {
        writer.step().await;
        // Now and then the writer rests, and the host has to keep up.
        if n % 10 == 9 {
            writer.is_shown().await;
        }
    }
    writer.rename_over();
    writer.is_shown().await;
    let (events, whole) = (writer.events, writer.versions);
    let whole: BTreeSet<String> = whole.iter().map(Component::digest).collect();
    for event in events {
        // Some came before the plugin had ever been seen; none was lost.
        let run = host.finished(&event).await;
        assert_eq!(run["state"], "succeeded", "{run}");
        for attempt in run["attempts"].as_array().unwrap() {
            let digest = attempt["digest"].as_str().unwrap();
            assert!(whole.contains(digest), "{run}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_plugins_run_and_at_the_end_what_is_there() {
    for seed in SEEDS {
        write_anything(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whole_plugins_run_whatever_is_done() {
    // Never 0, which would stay so.
    write_anything(rand::random::<u64>() | 1).await;
}
