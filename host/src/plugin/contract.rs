//! The versions of the contract that this host supports: the one place where a plugin
//! is sorted to the bindings that it was built for.
//!
//! The version stands in the name of the interface that a plugin exports. Another one
//! gets a module of bindings of its own (`bindings`), a variant here, and whatever the
//! compiler then asks for.

use super::LoadError;

const HANDLER: &str = "hookbay:plugin/handler@";
const VERIFICATION: &str = "hookbay:plugin/verification@";
const ORACLE: &str = "hookbay:plugin/oracle@";
const OURS: &str = "hookbay:plugin/";

/// A version of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// `wit/` as it is now.
    V0_1_0,
}

/// Which of the contract's worlds a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It handles events.
    Plugin,
    /// It proves who sent requests.
    Verifier,
}

impl Role {
    /// The word for it in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Verifier => "verifier",
        }
    }

    /// The imports of ours that it may have, as messages name them.
    pub(super) const fn imports(self) -> &'static str {
        match self {
            Self::Plugin => "…",
            Self::Verifier => "oracle",
        }
    }

    /// What a file most likely is, before it is compiled: the name of an export stands in
    /// it as it is.
    pub(super) fn likely(bytes: &[u8]) -> Self {
        let name = aho_corasick::AhoCorasick::new([VERIFICATION]);
        match name.is_ok_and(|name| name.is_match(bytes)) {
            true => Self::Verifier,
            false => Self::Plugin,
        }
    }
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

    /// Role and contract of a component that exports these names.
    pub(super) fn of<'a>(
        exports: impl Iterator<Item = &'a str>,
    ) -> Result<(Role, Self), LoadError> {
        let mut roles = exports.filter_map(|name| {
            let handler = name.strip_prefix(HANDLER);
            let verification = || name.strip_prefix(VERIFICATION);
            handler
                .map(|version| (Role::Plugin, version))
                .or_else(|| Some((Role::Verifier, verification()?)))
        });
        let (role, found) = roles.next().ok_or(LoadError::NotAPlugin)?;
        if roles.next().is_some() {
            return Err(LoadError::TwoRoles);
        }
        let mut supported = Self::SUPPORTED.into_iter();
        let contract = supported.find(|contract| contract.version() == found);
        let contract = contract.ok_or_else(|| LoadError::Contract {
            found: found.to_owned(),
        })?;
        Ok((role, contract))
    }

    /// Refuses imports that nobody of this role and contract gets, all of them by name.
    /// What is left is ours or WASI's; whether it exists, the linker says.
    pub(super) fn check<'a>(
        self,
        role: Role,
        imports: impl Iterator<Item = &'a str>,
    ) -> Result<(), LoadError> {
        let is_ours = |name: &str| match name.strip_prefix(OURS) {
            Some(ours) => {
                let is_for_role = name.starts_with(ORACLE) == (role == Role::Verifier);
                let version = ours.rsplit_once('@').map(|(_, version)| version);
                is_for_role && version == Some(self.version())
            }
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
            role,
            contract: self.version(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Contract, Role};

    #[test]
    fn the_export_names_the_contract() {
        for (exports, expected) in [
            (vec!["hookbay:plugin/handler@0.1.0"], Ok(Role::Plugin)),
            (
                vec!["a:b/c@9.9.9", "hookbay:plugin/handler@0.1.0"],
                Ok(Role::Plugin),
            ),
            (
                vec!["hookbay:plugin/verification@0.1.0", "run"],
                Ok(Role::Verifier),
            ),
            (
                vec![
                    "hookbay:plugin/handler@0.1.0",
                    "hookbay:plugin/verification@0.1.0",
                ],
                Err("one of them"),
            ),
            (vec!["hookbay:plugin/verification@0.2.0"], Err("`0.2.0`")),
            (vec!["hookbay:plugin/handler@0.1.1"], Err("`0.1.1`")),
            (vec!["hookbay:plugin/handler@1.0.0-rc1"], Err("`1.0.0-rc1`")),
            (
                vec!["hookbay:plugin/other@0.1.0"],
                Err("hookbay:plugin/handler"),
            ),
            (vec![], Err("hookbay:plugin/handler")),
        ] {
            match (Contract::of(exports.iter().copied()), expected) {
                (Ok(found), Ok(role)) => assert_eq!(found, (role, Contract::V0_1_0)),
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
        use Role::{Plugin, Verifier};
        for (role, imports, named) in [
            (
                Plugin,
                vec!["hookbay:plugin/log@0.1.0", "wasi:sockets/tcp@0.2.6"],
                "",
            ),
            (Plugin, vec![], ""),
            (Plugin, vec!["acme:thing/x"], "`acme:thing/x`"),
            (
                Plugin,
                vec!["wasi:io/poll@0.2.0", "acme:thing/x@1.0.0", "run"],
                "`acme:thing/x@1.0.0`, `run`",
            ),
            (
                Plugin,
                vec!["hookbay:plugin/kv@9.9.9"],
                "`hookbay:plugin/kv@9.9.9`",
            ),
            (Plugin, vec!["hookbay:plugin/kv"], "`hookbay:plugin/kv`"),
            (
                Plugin,
                vec!["hookbay:other/kv@0.1.0"],
                "`hookbay:other/kv@0.1.0`",
            ),
            (
                Plugin,
                vec!["hookbay:plugin/oracle@0.1.0"],
                "`hookbay:plugin/oracle@0.1.0`",
            ),
            (
                Verifier,
                vec!["hookbay:plugin/oracle@0.1.0", "wasi:io/poll@0.2.0"],
                "",
            ),
            (
                Verifier,
                vec!["hookbay:plugin/http@0.1.0", "hookbay:plugin/oracle@0.2.0"],
                "`hookbay:plugin/http@0.1.0`, `hookbay:plugin/oracle@0.2.0`",
            ),
        ] {
            let checked = Contract::V0_1_0.check(role, imports.iter().copied());
            let error = checked.err().map(|error| error.to_string());
            match error {
                Some(error) => {
                    let start = format!("the {} imports {named}, ", role.as_str());
                    assert!(!named.is_empty() && error.starts_with(&start), "{error}");
                }
                None => assert!(named.is_empty(), "{imports:?}"),
            }
        }
    }
}
