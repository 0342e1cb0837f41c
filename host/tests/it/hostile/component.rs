//! Components that no compiler makes: one plugin as text, written by hand against the
//! contract and the canonical ABI, with a few places to misbehave in.
//! <https://github.com/WebAssembly/component-model/blob/main/design/mvp/CanonicalABI.md>

use crate::components::Component;

/// The plugin; what stands in ⟨ ⟩ is replaced.
const TEXT: &str = include_str!("component.wat");

/// The size of a body whose arrival [`Hostile::realloc`] can tell.
pub(super) const MARKED_BYTES: usize = 4099;

/// Instructions, as text, where a plugin may have some; everywhere else it behaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Hostile {
    /// Definitions beside the module's own.
    pub(super) definitions: &'static str,
    /// When it is instantiated.
    pub(super) start: &'static str,
    /// In `describe`.
    pub(super) describe: &'static str,
    /// In `handle` of an event whose body begins with `h`.
    pub(super) handle: &'static str,
    /// When the host asks for room; `$size` is how much.
    pub(super) realloc: &'static str,
    /// After `handle`, when the host has read the answer.
    pub(super) post_return: &'static str,
}

impl Hostile {
    pub(super) fn component(&self) -> Component {
        let text = TEXT
            .replace("⟨definitions⟩", self.definitions)
            .replace("⟨start⟩", self.start)
            .replace("⟨describe⟩", self.describe)
            .replace("⟨handle⟩", self.handle)
            .replace("⟨realloc⟩", self.realloc)
            .replace("⟨post-return⟩", self.post_return);
        match wat::parse_str(text) {
            Ok(bytes) => Component(bytes),
            Err(error) => panic!("{error}"),
        }
    }
}
