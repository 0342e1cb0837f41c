//! The memory of one guest: a true total over all its memories and tables.

use wasmtime::ResourceLimiter;

use crate::config::units::readable_size;

/// The sum of all memories and tables, and its bound. Wasmtime's own limiter
/// would bound each memory on its own.
#[derive(Debug)]
pub(super) struct Memory {
    limit_bytes: usize,
    bytes: usize,
    /// The size to which a growth was refused.
    refused: Option<usize>,
}

impl Memory {
    /// Memory of at most so many bytes, with nothing in it.
    pub(super) fn new(limit_bytes: u64) -> Self {
        let limit_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        Self {
            limit_bytes,
            bytes: 0,
            refused: None,
        }
    }

    /// What it has grown to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is said of a growth that was refused, if one was.
    pub(super) fn refusal(&self) -> Option<String> {
        let wanted = readable_size(self.refused? as u64);
        let limit = readable_size(self.limit_bytes as u64);
        Some(format!(
            "a growth to {wanted} of memory was refused, the plugin may have {limit}"
        ))
    }

    fn grow(&mut self, by: usize) -> bool {
        let wanted = self.bytes.saturating_add(by);
        if wanted > self.limit_bytes {
            self.refused = Some(wanted);
            return false;
        }
        self.bytes = wanted;
        true
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = desired.saturating_sub(current);
        Ok(self.grow(elements.saturating_mul(size_of::<usize>())))
    }
}
