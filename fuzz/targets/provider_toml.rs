//! A configuration with providers and sources of a stranger's: it is read or refused, and
//! what is wrong is said; nothing panics.
#![no_main]

use std::io::Write;

use hookbay::config::{Config, Environment, Overrides};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

fuzz_target!(|text: &str| {
    let mut file = NamedTempFile::new().expect("there is room for a file");
    file.write_all(text.as_bytes())
        .expect("there is room for a file");
    let environment = Environment::default();
    let read = Config::load_with(Some(file.path()), &Overrides::default(), &environment);
    if let Err(error) = read {
        assert!(!error.problems.is_empty());
    }
});
