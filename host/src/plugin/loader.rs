//! From bytes to a plugin that can run: size, digest, compile, contract, imports,
//! needs, `describe`. Each refusal has a plain reason, and nothing that runs is
//! touched.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::config::Limits;
use crate::config::units::readable_size;

use super::PluginHost;
use super::bindings::PluginPre;
use super::limits::Exceeded;
use super::manifest::{Manifest, ManifestError};
use super::sandbox::{Around, Guest, Sandbox};

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// The contract that this host knows.
pub const CONTRACT: &str = "0.1.0";
const HANDLER: &str = "hookbay:plugin/handler@";

/// A component's version: the sha256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// A plugin that can run.
pub struct Loaded {
    /// Its version.
    pub digest: Digest,
    /// Which contract it was built for.
    pub contract: &'static str,
    /// What it says of itself.
    pub manifest: Manifest,
    /// The names of everything it imports.
    pub imports: Vec<String>,
    /// Length of its file.
    pub size_bytes: u64,
    /// Memory and tables that it has when it has just started, in bytes.
    pub start_memory_bytes: u64,
    pub(super) pre: PluginPre<Guest>,
}

/// Why a file is not a plugin that can run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is larger than any plugin may be.
    #[error("the file has {0}, a plugin may have {max}", max = readable_size(FILE_BYTES_MAX))]
    TooLarge(String),
    /// Machine code that somebody compiled before.
    #[error(
        "the file is precompiled machine code, which is never run; use the component it was made from"
    )]
    Precompiled,
    /// It is no component, or only part of one.
    #[error("the file is not a complete WebAssembly component: {0}")]
    NotAComponent(String),
    /// It exports nothing of ours.
    #[error("the component exports no `hookbay:plugin/handler`, so it is not a Hookbay plugin")]
    NotAPlugin,
    /// It was built for a contract that this host does not know.
    #[error("the plugin was built for contract `{found}`, this host supports `{CONTRACT}`")]
    Contract {
        /// The version it asks for.
        found: String,
    },
    /// It imports what no plugin gets, or in another shape.
    #[error("the plugin's imports or exports do not fit: {0}")]
    Mismatch(String),
    /// It needs more than plugins may have.
    #[error("the plugin needs {needs} at its start, plugins here may have {limit}")]
    Needs {
        /// What it needs.
        needs: String,
        /// What there is.
        limit: String,
    },
    /// `describe` failed.
    #[error("`describe` failed: {0}")]
    Describe(String),
    /// `describe` returned what cannot be.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
}

impl PluginHost {
    /// Loads a component; compiles off the async threads.
    ///
    /// # Errors
    /// The [`LoadError`] says why it cannot run here.
    pub async fn load(&self, bytes: Arc<[u8]>) -> Result<Loaded, LoadError> {
        let size_bytes = bytes.len() as u64;
        if size_bytes > FILE_BYTES_MAX {
            return Err(LoadError::TooLarge(readable_size(size_bytes)));
        }
        if Engine::detect_precompiled(&bytes).is_some() {
            return Err(LoadError::Precompiled);
        }
        let digest = Digest::of(&bytes);
        let component = self.compile(bytes).await?;
        let imports = self.checked(&component)?;
        let fits = |error: wasmtime::Error| LoadError::Mismatch(format!("{error:#}"));
        let pre =
            PluginPre::new(self.linker.instantiate_pre(&component).map_err(fits)?).map_err(fits)?;
        let described = self.describe(&pre).await;
        let (manifest, start_memory_bytes) =
            described.map_err(|exceeded| LoadError::Describe(exceeded.to_string()))?;
        let manifest = Manifest::read(manifest)?;
        let contract = CONTRACT;
        Ok(Loaded {
            digest,
            contract,
            manifest,
            imports,
            size_bytes,
            start_memory_bytes,
            pre,
        })
    }

    async fn compile(&self, bytes: Arc<[u8]>) -> Result<Component, LoadError> {
        let _turn = self.compiling.acquire().await;
        let engine = self.engine.clone();
        let compiled =
            tokio::task::spawn_blocking(move || Component::from_binary(&engine, &bytes)).await;
        match compiled {
            Ok(Ok(component)) => Ok(component),
            Ok(Err(error)) => Err(LoadError::NotAComponent(first_line(
                &error.root_cause().to_string(),
            ))),
            Err(_) => Err(LoadError::NotAComponent(
                "the compiler gave up on it".to_owned(),
            )),
        }
    }

    /// Checks the contract's version and what the component needs; returns the
    /// names of its imports.
    fn checked(&self, component: &Component) -> Result<Vec<String>, LoadError> {
        let ty = component.component_type();
        let exported = ty
            .exports(&self.engine)
            .find_map(|(name, _)| name.strip_prefix(HANDLER).map(str::to_owned));
        match exported {
            None => return Err(LoadError::NotAPlugin),
            Some(found) if found != CONTRACT => return Err(LoadError::Contract { found }),
            Some(_) => {}
        }
        let limit = self.maxima.limits.memory_bytes;
        if let Some(needs) = component.resources_required() {
            let memory = needs.max_initial_memory_size.unwrap_or(0);
            if memory > limit {
                return Err(LoadError::Needs {
                    needs: format!("{} of memory", readable_size(memory)),
                    limit: readable_size(limit),
                });
            }
        }
        Ok(ty
            .imports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect())
    }

    async fn describe(
        &self,
        pre: &PluginPre<Guest>,
    ) -> Result<
        (
            super::bindings::exports::hookbay::plugin::handler::Manifest,
            u64,
        ),
        Exceeded,
    > {
        let limits = Limits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            ..self.maxima.limits
        };
        let (engine, clock, pre) = (self.engine.clone(), self.clock.clone(), pre.clone());
        self.on_guest_threads(async move {
            let sandbox = Sandbox {
                engine: &engine,
                limits,
                clock: &clock,
                around: Around::Nothing,
            };
            sandbox.describe(&pre).await
        })
        .await
        .unwrap_or_else(|| Err(super::gave_up()))
    }
}

/// Wasmtime explains some errors at length.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

impl Loaded {
    /// Why the plugin can do nothing within these limits, if it cannot.
    pub fn exceeds(&self, limits: &Limits) -> Option<String> {
        let (needs, limit) = (self.start_memory_bytes, limits.memory_bytes);
        (needs > limit).then(|| {
            let (needs, limit) = (readable_size(needs), readable_size(limit));
            format!("needs {needs} of memory at its start, the plugin may have {limit}")
        })
    }
}

impl Digest {
    /// The digest of a component.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its thirty-two bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
