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
use super::contract::Contract;
use super::file::PluginFile;
use super::limits::Exceeded;
use super::manifest::{Manifest, ManifestError};
use super::sandbox::{Around, Guest, Sandbox};
use super::signature::SignatureError;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// A component's version: the sha256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// A plugin that can run.
pub struct Loaded {
    /// Its version.
    pub digest: Digest,
    /// Which contract it was built for.
    pub contract: Contract,
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
    #[error(
        "the plugin was built for contract `{found}`, this host supports {}",
        Contract::supported()
    )]
    Contract {
        /// The version it asks for.
        found: String,
    },
    /// It imports what no plugin of its contract gets.
    #[error(
        "the plugin imports {names}, which no plugin gets; there is `hookbay:plugin/…@{contract}` and WASI 0.2"
    )]
    Imports {
        /// What it imports.
        names: String,
        /// Its contract.
        contract: &'static str,
    },
    /// It imports or exports something in another shape.
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
    /// It is not signed by somebody who is trusted.
    #[error("the file is not run: {0}")]
    Signature(#[from] SignatureError),
}

impl PluginHost {
    /// Loads a component; compiles off the async threads.
    ///
    /// # Errors
    /// The [`LoadError`] says why it cannot run here.
    pub async fn load(&self, file: &PluginFile) -> Result<Loaded, LoadError> {
        let bytes = Arc::clone(&file.bytes);
        let size_bytes = bytes.len() as u64;
        if size_bytes > FILE_BYTES_MAX {
            return Err(LoadError::TooLarge(readable_size(size_bytes)));
        }
        if Engine::detect_precompiled(&bytes).is_some() {
            return Err(LoadError::Precompiled);
        }
        self.check_signature(file)?;
        let digest = Digest::of(&bytes);
        let component = self.compile(bytes).await?;
        let (contract, imports) = self.checked(&component)?;
        let fits = |error: wasmtime::Error| LoadError::Mismatch(format!("{error:#}"));
        let linked = self.linker.instantiate_pre(&component).map_err(fits)?;
        let pre = match contract {
            Contract::V0_1_0 => PluginPre::new(linked).map_err(fits)?,
        };
        let described = self.describe(&pre).await;
        let (manifest, start_memory_bytes) =
            described.map_err(|exceeded| LoadError::Describe(exceeded.to_string()))?;
        let manifest = Manifest::read(manifest)?;
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

    /// Checks that somebody who is trusted has signed a file, if that is asked for.
    ///
    /// # Errors
    /// The [`SignatureError`] says why it does not count as signed.
    pub fn check_signature(&self, file: &PluginFile) -> Result<(), SignatureError> {
        self.trusted.check(&file.bytes, file.signature.as_deref())
    }

    /// Checks the contract's version, the imports and what the component needs; returns
    /// the contract and the names of the imports.
    fn checked(&self, component: &Component) -> Result<(Contract, Vec<String>), LoadError> {
        let ty = component.component_type();
        let contract = Contract::of(ty.exports(&self.engine).map(|(name, _)| name))?;
        let imports: Vec<String> = ty
            .imports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        contract.check(imports.iter().map(String::as_str))?;
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
        Ok((contract, imports))
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
