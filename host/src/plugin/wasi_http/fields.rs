//! Headers as `wasi:http` has them: names in any case, values in order.

use hyper::header::{HeaderName, HeaderValue};
use wasmtime::component::Resource;

use crate::plugin::bindings::wasi_http::wasi::http::types::{self, HeaderError};
use crate::plugin::egress::is_ours;
use crate::plugin::limits::{
    Exceeded, HTTP_HEADER_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_KEPT_HEADER_WEIGHT,
};
use crate::plugin::sandbox::Guest;

use super::room::{Room, Taken};

/// Headers of the host's that clients set as a matter of course: taken, and not sent.
const TAKEN: [&str; 2] = ["accept-encoding", "content-length"];

/// Headers; names in lower case.
#[derive(Default)]
#[expect(unreachable_pub, reason = "the generated bindings export it")]
pub struct Fields {
    entries: Vec<Entry>,
    is_immutable: bool,
    /// Some, as soon as they are kept.
    taken: Option<Taken>,
}

type Entry = (String, Vec<u8>);

impl Fields {
    /// Those of an answer.
    pub(super) fn received(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            is_immutable: true,
            taken: None,
        }
    }

    /// The same, which cannot be changed any more.
    pub(super) fn frozen(&self) -> Self {
        Self::received(self.entries.clone())
    }

    /// The same with the room that they take.
    pub(super) fn kept_in(mut self, room: &Room) -> Result<Self, Exceeded> {
        self.taken = Some(room.take(self.weight())?);
        Ok(self)
    }

    fn weight(&self) -> usize {
        let entries = self.entries.iter();
        let weights = entries.map(|(name, value)| name.len() + value.len());
        weights.sum::<usize>() + self.entries.len() * HTTP_KEPT_HEADER_WEIGHT
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), HeaderError> {
        let name = changeable(name)?;
        HeaderValue::from_bytes(&value).map_err(|_| HeaderError::InvalidSyntax)?;
        self.entries.push((name, value));
        Ok(())
    }

    /// More than any request may have is not kept for the guest either.
    fn within_limits(&self) -> Result<(), Exceeded> {
        if self.entries.len() > HTTP_HEADERS_MAX {
            return Err(Exceeded::output("the number of headers", HTTP_HEADERS_MAX));
        }
        let entries = self.entries.iter();
        let bytes: usize = entries.map(|(name, value)| name.len() + value.len()).sum();
        if bytes > HTTP_HEADER_BYTES_MAX {
            return Err(Exceeded::output(
                "the headers, in bytes,",
                HTTP_HEADER_BYTES_MAX,
            ));
        }
        Ok(())
    }
}

/// A header's name in lower case, if a guest may set it.
fn changeable(name: &str) -> Result<String, HeaderError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)?;
    if is_ours(&name) && !TAKEN.contains(&name.as_str()) {
        return Err(HeaderError::Forbidden);
    }
    Ok(name.as_str().to_owned())
}

impl Guest {
    /// Changes headers that may be changed.
    fn change(
        &mut self,
        fields: &Resource<Fields>,
        change: impl FnOnce(&mut Fields) -> Result<(), HeaderError>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        let fields = self.table.get_mut(fields)?;
        if fields.is_immutable {
            return Ok(Err(HeaderError::Immutable));
        }
        let changed = change(fields);
        fields.within_limits()?;
        let weight = fields.weight();
        if let Some(taken) = &mut fields.taken {
            taken.resize(weight)?;
        }
        Ok(changed)
    }
}

impl types::HostFields for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<Fields>> {
        let fields = Fields::default().kept_in(&self.room)?;
        Ok(self.table.push(fields)?)
    }

    fn from_list(
        &mut self,
        entries: Vec<Entry>,
    ) -> wasmtime::Result<Result<Resource<Fields>, HeaderError>> {
        let mut fields = Fields::default();
        for (name, value) in entries {
            if let Err(error) = fields.append(&name, value) {
                return Ok(Err(error));
            }
        }
        fields.within_limits()?;
        let fields = fields.kept_in(&self.room)?;
        Ok(Ok(self.table.push(fields)?))
    }

    fn get(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        let name = name.to_ascii_lowercase();
        let entries = self.table.get(&fields)?.entries.iter();
        let named = entries.filter(|(key, _)| *key == name);
        Ok(named.map(|(_, value)| value.clone()).collect())
    }

    fn has(&mut self, fields: Resource<Fields>, name: String) -> wasmtime::Result<bool> {
        let name = name.to_ascii_lowercase();
        let mut entries = self.table.get(&fields)?.entries.iter();
        Ok(entries.any(|(key, _)| *key == name))
    }

    fn set(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        values: Vec<Vec<u8>>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        self.change(&fields, |fields| {
            let key = changeable(&name)?;
            let mut changed = Fields::default();
            for value in values {
                changed.append(&name, value)?;
            }
            fields.entries.retain(|(name, _)| *name != key);
            fields.entries.append(&mut changed.entries);
            Ok(())
        })
    }

    fn delete(
        &mut self,
        fields: Resource<Fields>,
        name: String,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        self.change(&fields, |fields| {
            let key = changeable(&name)?;
            fields.entries.retain(|(name, _)| *name != key);
            Ok(())
        })
    }

    fn append(
        &mut self,
        fields: Resource<Fields>,
        name: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), HeaderError>> {
        self.change(&fields, |fields| fields.append(&name, value))
    }

    fn entries(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Vec<Entry>> {
        Ok(self.table.get(&fields)?.entries.clone())
    }

    fn clone(&mut self, fields: Resource<Fields>) -> wasmtime::Result<Resource<Fields>> {
        let copy = Fields {
            entries: self.table.get(&fields)?.entries.clone(),
            ..Fields::default()
        };
        let copy = copy.kept_in(&self.room)?;
        Ok(self.table.push(copy)?)
    }

    fn drop(&mut self, fields: Resource<Fields>) -> wasmtime::Result<()> {
        self.table.delete(fields)?;
        Ok(())
    }
}
