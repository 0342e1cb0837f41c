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
use super::bindings::verifier::VerifierPre;
use super::contract::{Contract, Role};
use super::file::PluginFile;
use super::limits::Exceeded;
use super::manifest::{Manifest, ManifestError};
use super::sandbox::{Around, Guest, Sandbox};
use super::signature::SignatureError;
use super::verifier::{Verifier, Verifiers};

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
    pub(super) code: Code,
}

/// What runs.
pub(super) enum Code {
    Plugin(PluginPre<Guest>),
    Verifier(Verifier),
}

/// A component whose exports and imports are those of its role.
struct Checked {
    component: Component,
    role: Role,
    contract: Contract,
    imports: Vec<String>,
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
    #[error(
        "the component exports neither `hookbay:plugin/handler` nor `hookbay:plugin/verification`, \
         so it is not a Hookbay plugin"
    )]
    NotAPlugin,
    /// It is a plugin and a verifier.
    #[error(
        "the component exports `hookbay:plugin/handler` and `hookbay:plugin/verification`; \
         a file is one of them"
    )]
    TwoRoles,
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
        "the {role} imports {names}, which no {role} gets; there is `hookbay:plugin/{what}@{contract}` and WASI 0.2",
        role = .role.as_str(), what = .role.imports()
    )]
    Imports {
        /// What it imports.
        names: String,
        /// What it is.
        role: Role,
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
        self.check_signature(file).await?;
        let digest = file.digest;
        let Checked {
            component,
            role,
            contract,
            imports,
        } = self.compile_for_its_role(bytes).await?;
        let fits = |error: wasmtime::Error| LoadError::Mismatch(format!("{error:#}"));
        let failed = |exceeded: Exceeded| LoadError::Describe(exceeded.to_string());
        let (code, manifest, start_memory_bytes) = match (role, contract) {
            (Role::Plugin, Contract::V0_1_0) => {
                let linked = self.linker.instantiate_pre(&component).map_err(fits)?;
                let pre = PluginPre::new(linked).map_err(fits)?;
                let (manifest, memory) = self.describe(&pre).await.map_err(failed)?;
                (Code::Plugin(pre), Manifest::read(manifest)?, memory)
            }
            (Role::Verifier, Contract::V0_1_0) => {
                let linked = self.verifiers.linker.instantiate_pre(&component);
                let pre = VerifierPre::new(linked.map_err(fits)?).map_err(fits)?;
                let described = self
                    .verifiers
                    .describe(&pre, self.describe_limits(), &self.clock)
                    .await;
                let (about, memory) = described.map_err(failed)?;
                let code = Code::Verifier(Verifiers::verifier(pre));
                (code, Manifest::of_verifier(about)?, memory)
            }
        };
        Ok(Loaded {
            digest,
            contract,
            manifest,
            imports,
            size_bytes,
            start_memory_bytes,
            code,
        })
    }

    /// Compiles for the engine in which it will run. Which that is stands in the exports,
    /// which are known for sure only then: whoever merely looks like a verifier is compiled
    /// twice.
    async fn compile_for_its_role(&self, bytes: Arc<[u8]>) -> Result<Checked, LoadError> {
        let looked_at = Arc::clone(&bytes);
        let likely = tokio::task::spawn_blocking(move || Role::likely(&looked_at)).await;
        let likely = likely.unwrap_or(Role::Plugin);
        let checked = self.checked(self.compile(likely, &bytes).await?, likely)?;
        if checked.role == likely {
            return Ok(checked);
        }
        self.checked(self.compile(checked.role, &bytes).await?, checked.role)
    }

    fn engine_of(&self, role: Role) -> &Engine {
        match role {
            Role::Plugin => &self.engine,
            Role::Verifier => &self.verifiers.engine,
        }
    }

    async fn compile(&self, role: Role, bytes: &Arc<[u8]>) -> Result<Component, LoadError> {
        let _turn = self.compiling.acquire().await;
        let (engine, bytes) = (self.engine_of(role).clone(), Arc::clone(bytes));
        let compilers = Arc::clone(&self.compilers);
        let compile = move || compilers.install(|| Component::from_binary(&engine, &bytes));
        match tokio::task::spawn_blocking(compile).await {
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
    pub async fn check_signature(&self, file: &PluginFile) -> Result<(), SignatureError> {
        let (trusted, file) = (self.trusted.clone(), file.clone());
        let check = move || trusted.check(&file.bytes, file.signature.as_deref());
        let checked = tokio::task::spawn_blocking(check).await;
        // What was not looked at to its end is trusted by nobody.
        checked.unwrap_or(Err(SignatureError::Untrusted))
    }

    /// Checks the contract's version, the imports and what the component needs, which was
    /// compiled for a role.
    fn checked(&self, component: Component, compiled_for: Role) -> Result<Checked, LoadError> {
        let (ty, engine) = (component.component_type(), self.engine_of(compiled_for));
        let (role, contract) = Contract::of(ty.exports(engine).map(|(name, _)| name))?;
        let imports: Vec<String> = ty
            .imports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        contract.check(role, imports.iter().map(String::as_str))?;
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
        Ok(Checked {
            component,
            role,
            contract,
            imports,
        })
    }

    /// What `describe` may use, which is not the operator's to say.
    fn describe_limits(&self) -> Limits {
        Limits {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            ..self.maxima.limits
        }
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
        let limits = self.describe_limits();
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

impl Code {
    pub(super) fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Plugin(_) => None,
            Self::Verifier(verifier) => Some(verifier),
        }
    }
}

impl Loaded {
    /// What it is for.
    pub fn role(&self) -> Role {
        match &self.code {
            Code::Plugin(_) => Role::Plugin,
            Code::Verifier(_) => Role::Verifier,
        }
    }

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
