//! The words after the command: flags, options with a value, positions, and what follows `--`.
//!
//! Each command takes what it knows and ends with [`Arguments::finish`], which refuses the
//! rest. Seven small commands do not need a parser crate, which would be most of the
//! compile time of this one.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;

/// What the caller typed wrong; `main` answers it with exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    /// An error that says `what` is wrong with the command line.
    #[expect(clippy::new_ret_no_self, reason = "it is only ever wanted as an error")]
    pub(crate) fn new(what: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(what.into()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The words after the command that nobody has taken yet.
pub(crate) struct Arguments {
    own: VecDeque<String>,
    extra: Vec<String>,
}

impl Arguments {
    /// Splits `given` at the first `--`.
    pub(crate) fn new(given: impl Iterator<Item = String>) -> Self {
        let mut own: VecDeque<String> = given.collect();
        let mut extra = Vec::new();
        if let Some(at) = own.iter().position(|word| word == "--") {
            extra = own.split_off(at).into_iter().skip(1).collect();
        }
        Self { own, extra }
    }

    /// Takes the flag `name`; true when it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.own.len();
        self.own.retain(|word| word != name);
        self.own.len() < before
    }

    /// Takes the option `name` with its value, written `--name value` or `--name=value`.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>> {
        let joined = format!("{name}=");
        let Some(at) = self
            .own
            .iter()
            .position(|word| word == name || word.starts_with(&joined))
        else {
            return Ok(None);
        };
        let word = self.own.remove(at).unwrap_or_default();
        if let Some(value) = word.strip_prefix(&joined) {
            return Ok(Some(value.to_owned()));
        }
        match self.own.remove(at) {
            Some(value) => Ok(Some(value)),
            None => Err(Usage::new(format!("{name} needs a value"))),
        }
    }

    /// Takes the option `name`, which must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<String> {
        self.value(name)?
            .ok_or_else(|| Usage::new(format!("{name} is missing")))
    }

    /// Takes the option `name` as a number, or `default`.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                Usage::new(format!("{name} is `{text}`, which is not a fitting number"))
            }),
        }
    }

    /// Takes the next word that is not an option.
    pub(crate) fn positional(&mut self) -> Option<String> {
        let at = self.own.iter().position(|word| !word.starts_with('-'))?;
        self.own.remove(at)
    }

    /// Refuses whatever nobody took; gives what stood after `--`.
    pub(crate) fn finish(self) -> Result<Vec<String>> {
        match self.own.front() {
            Some(word) => Err(Usage::new(format!(
                "`{word}` means nothing to this command"
            ))),
            None => Ok(self.extra),
        }
    }

    /// Like [`Arguments::finish`], for a command that hands no words on.
    pub(crate) fn finish_without_extra(self) -> Result<()> {
        match self.finish()?.first() {
            Some(word) => Err(Usage::new(format!(
                "`-- {word}` means nothing to this command"
            ))),
            None => Ok(()),
        }
    }
}
