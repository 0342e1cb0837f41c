//! What lists have in common: the filter of their form, and one page after the other.

use serde::de::DeserializeOwned;

use super::api::{Items, Searched, with_query};
use super::failure::Failure;
use super::frame::Visit;

/// Items of a page.
const LIMIT: &str = "50";

/// The fields of a list's form and what each asks for; an empty one asks for nothing.
pub(super) struct Filter(Vec<(&'static str, String)>);

/// A page of a list, or an empty one with what is wrong about its filter.
pub(super) struct Listed<T> {
    pub(super) items: Vec<T>,
    /// What a search looked into.
    pub(super) searched: Option<Searched>,
    pub(super) problem: Option<String>,
    /// Whether it is behind the first page.
    pub(super) newer: bool,
    /// The address of the next page.
    pub(super) older: Option<String>,
}

impl Filter {
    /// A form with these fields.
    pub(super) fn new(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(fields.into_iter().collect())
    }

    /// What an address asks of the fields with these names.
    pub(super) fn of(visit: &Visit, names: &[&'static str]) -> Self {
        let asked = |name: &&'static str| (*name, visit.asked(name).unwrap_or_default().to_owned());
        Self::new(names.iter().map(asked))
    }

    /// What a field asks for.
    pub(super) fn value(&self, name: &str) -> &str {
        let field = self.0.iter().find(|(known, _)| *known == name);
        field.map_or("", |(_, value)| value)
    }

    /// Has a field that asks for nothing ask for this.
    pub(super) fn or(mut self, name: &str, value: &str) -> Self {
        let mut fields = self.0.iter_mut();
        if let Some((_, empty)) = fields.find(|(known, value)| *known == name && value.is_empty()) {
            value.clone_into(empty);
        }
        self
    }

    /// An address with this filter.
    pub(super) fn at(&self, path: &str) -> String {
        self.with(path, &[])
    }

    /// An address with this filter, but for these fields.
    pub(super) fn with(&self, path: &str, instead: &[(&str, &str)]) -> String {
        let kept = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        let kept = kept.filter(|(name, _)| instead.iter().all(|(other, _)| other != name));
        let all = kept.chain(instead.iter().copied());
        let pairs: Vec<_> = all.map(|(name, value)| (name, Some(value))).collect();
        with_query(path, &pairs)
    }

    /// Whether it takes everything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, value)| value.is_empty())
    }

    /// The fields that ask for something.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        fields.filter(|(_, value)| !value.is_empty())
    }

    /// The page that is asked for of the list at `path`, such as `/events`, which the API has
    /// at the same path.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        visit: &Visit,
        path: &str,
    ) -> Result<Listed<T>, Failure> {
        let cursor = visit.asked("cursor");
        let page = [("cursor", cursor.unwrap_or_default()), ("limit", LIMIT)];
        let asked = self.with(path.trim_start_matches('/'), &page);
        let (found, problem) = match visit.get::<Items<T>>(&asked).await {
            Ok(found) => (Some(found), None),
            Err(Failure::Refused(problem)) if matches!(problem.status, 400 | 404) => {
                (None, Some(problem.detail))
            }
            Err(failure) => return Err(failure),
        };
        let (items, next, searched) = found.map_or_else(Default::default, |found| {
            (found.items, found.next_cursor, found.searched)
        });
        Ok(Listed {
            items,
            searched,
            problem,
            newer: cursor.is_some(),
            older: next.map(|next| self.with(path, &[("cursor", &next)])),
        })
    }
}
