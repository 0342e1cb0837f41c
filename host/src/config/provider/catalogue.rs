//! The catalogue: slug and text of each file in `host/providers/`, compiled in.

/// All of them, in alphabetical order; the build script finds them.
pub(super) const CATALOGUE: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));
