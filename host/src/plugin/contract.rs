//! The versions of the contract that this host supports: the one place where a plugin
//! is sorted to the bindings that it was built for.
//!
//! The version stands in the name of the interface that a plugin exports. Another one
//! gets a module of bindings of its own (`bindings`), a variant here, and whatever the
//! compiler then asks for.

use super::LoadError;

const HANDLER: &str = "hookbay:plugin/handler@";
const OURS: &str = "hookbay:plugin/";

/// A version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `wit/` as it is now.
    V0_1_0,
}

impl Contract {
    /// All that are supported, newest first.
    pub const SUPPORTED: [Self; 1] = [Self::V0_1_0];

    /// Its version.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
        }
    }

    /// The versions that are supported, in words.
    pub(super) fn supported() -> String {
        let versions = Self::SUPPORTED.map(|contract| format!("`{}`", contract.version()));
        versions.join(", ")
    }

    /// The contract of a component that exports these names.
    pub(super) fn of<'a>(exports: impl Iterator<Item = &'a str>) -> Result<Self, LoadError> {
        let mut versions = exports.filter_map(|name| name.strip_prefix(HANDLER));
        let found = versions.next().ok_or(LoadError::NotAPlugin)?;
        let mut supported = Self::SUPPORTED.into_iter();
        let contract = supported.find(|contract| contract.version() == found);
        contract.ok_or_else(|| LoadError::Contract {
            found: found.to_owned(),
        })
    }

    /// Refuses imports that no plugin of this contract gets, all of them by name. What
    /// is left is ours or WASI's; whether it exists, the linker says.
    pub(super) fn check<'a>(self, imports: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
        let is_ours = |name: &str| match name.strip_prefix(OURS) {
            Some(ours) => ours.rsplit_once('@').map(|(_, version)| version) == Some(self.version()),
            None => name.starts_with("wasi:"),
        };
        let foreign: Vec<String> = imports
            .filter(|name| !is_ours(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if foreign.is_empty() {
            return Ok(());
        }
        Err(LoadError::Imports {
            names: foreign.join(", "),
            contract: self.version(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Contract;

    #[test]
    fn the_export_names_the_contract() {
        for (exports, expected) in [
            (vec!["hookbay:plugin/handler@0.1.0"], Ok("0.1.0")),
            (
                vec!["a:b/c@9.9.9", "hookbay:plugin/handler@0.1.0"],
                Ok("0.1.0"),
            ),
            (vec!["hookbay:plugin/handler@0.1.1"], Err("`0.1.1`")),
            (vec!["hookbay:plugin/handler@1.0.0-rc1"], Err("`1.0.0-rc1`")),
            (
                vec!["hookbay:plugin/other@0.1.0"],
                Err("hookbay:plugin/handler"),
            ),
            (vec![], Err("hookbay:plugin/handler")),
        ] {
            match (Contract::of(exports.iter().copied()), expected) {
                (Ok(contract), Ok(version)) => assert_eq!(contract.version(), version),
                (Err(error), Err(said)) => {
                    let error = error.to_string();
                    assert!(error.contains(said), "{exports:?}: {error}");
                }
                (found, _) => panic!("{exports:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn foreign_imports_are_named() {
        for (imports, named) in [
            (
                vec!["hookbay:plugin/log@0.1.0", "wasi:sockets/tcp@0.2.6"],
                "",
            ),
            (vec![], ""),
            (vec!["acme:thing/x"], "`acme:thing/x`"),
            (
                vec!["wasi:io/poll@0.2.0", "acme:thing/x@1.0.0", "run"],
                "`acme:thing/x@1.0.0`, `run`",
            ),
            (vec!["hookbay:plugin/kv@9.9.9"], "`hookbay:plugin/kv@9.9.9`"),
            (vec!["hookbay:plugin/kv"], "`hookbay:plugin/kv`"),
            (vec!["hookbay:other/kv@0.1.0"], "`hookbay:other/kv@0.1.0`"),
        ] {
            let checked = Contract::V0_1_0.check(imports.iter().copied());
            let error = checked.err().map(|error| error.to_string());
            match error {
                Some(error) => {
                    let start = format!("the plugin imports {named}, ");
                    assert!(!named.is_empty() && error.starts_with(&start), "{error}");
                }
                None => assert!(named.is_empty(), "{imports:?}"),
            }
        }
    }
}
