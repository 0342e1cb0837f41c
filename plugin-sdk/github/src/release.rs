//! `release`: what was published.

use std::fmt;

use serde::Deserialize;

use crate::{Repository, User, login, words};

/// Something happened to a release.
#[derive(Clone, Debug, Deserialize)]
pub struct ReleaseEvent {
    /// What: `published`, `edited`, `deleted` …
    pub action: String,
    /// The release as it was then.
    pub release: Release,
    /// Where.
    pub repository: Repository,
    /// Who did it.
    pub sender: Option<User>,
}

/// A release.
#[derive(Clone, Debug, Deserialize)]
pub struct Release {
    /// The tag, such as `v1.2.0`.
    pub tag_name: String,
    /// What its author calls it; see [`Release::title`].
    pub name: Option<String>,
    /// What is new.
    pub body: Option<String>,
    /// Its page.
    #[serde(default)]
    pub html_url: String,
    /// Not meant for everybody yet.
    #[serde(default)]
    pub prerelease: bool,
}

impl ReleaseEvent {
    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> &str {
        login(self.sender.as_ref())
    }
}

impl Release {
    /// What its author calls it, else its tag.
    #[must_use]
    pub fn title(&self) -> &str {
        let name = self.name.as_deref().unwrap_or_default().trim();
        if name.is_empty() {
            &self.tag_name
        } else {
            name
        }
    }

    /// `release`, or `pre-release`.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        if self.prerelease {
            "pre-release"
        } else {
            "release"
        }
    }
}

impl fmt::Display for ReleaseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (release, repository) = (&self.release, &self.repository.full_name);
        let (noun, tag) = (release.noun(), &release.tag_name);
        let (what, actor) = (words(&self.action), self.actor());
        write!(f, "{noun} {tag} of {repository} {what} by {actor}")?;
        match release.title() {
            title if title == tag => Ok(()),
            title => write!(f, ": {title}"),
        }
    }
}
