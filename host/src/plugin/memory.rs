//! The memory of one guest: a true total over all its memories and tables.

use wasmtime::ResourceLimiter;

use crate::config::units::readable_size;

use super::engine::{CORE_INSTANCES, MEMORIES, TABLES};
use super::limits::TABLE_ELEMENTS_MAX;

/// The sum of all memories and tables, and its bound. Wasmtime's own limiter
/// would bound each memory on its own.
#[derive(Debug)]
pub(super) struct Memory {
    limit_bytes: usize,
    bytes: usize,
    /// The last growth that was refused.
    refused: Option<Refused>,
}

/// A growth that was refused, by what it would have come to.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// Bytes in all.
    Bytes(usize),
    /// Elements of one table.
    Elements(usize),
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
        Some(match self.refused? {
            Refused::Bytes(wanted) => {
                let (wanted, limit) = (
                    readable_size(wanted as u64),
                    readable_size(self.limit_bytes as u64),
                );
                format!("a growth to {wanted} of memory was refused, the plugin may have {limit}")
            }
            Refused::Elements(wanted) => format!(
                "a growth to {wanted} elements was refused, a table may have {TABLE_ELEMENTS_MAX} elements"
            ),
        })
    }

    fn grow(&mut self, by: usize) -> bool {
        let wanted = self.bytes.saturating_add(by);
        if wanted > self.limit_bytes {
            self.refused = Some(Refused::Bytes(wanted));
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
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // What its own maximum stops does not count: it would never be given back.
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum);
        Ok(is_possible && self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // The pool would refuse it as well, without a word.
        if desired > TABLE_ELEMENTS_MAX {
            self.refused = Some(Refused::Elements(desired));
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let elements = desired.saturating_sub(current);
        Ok(self.grow(elements.saturating_mul(size_of::<usize>())))
    }

    // As many of each as there are in the pool, also where there is no pool: what they take
    // beside their bytes is not counted.
    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::Memory;

    /// Starts modules in one store that has no pool behind it; what is said of the last.
    fn started(module: &str, times: usize) -> Result<(), String> {
        let engine = Engine::default();
        let module = Module::from_binary(&engine, &wat::parse_str(module).unwrap()).unwrap();
        let mut store = Store::new(&engine, Memory::new(1 << 20));
        store.limiter(|memory| memory);
        for _ in 0..times {
            Instance::new(&mut store, &module, &[]).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    #[test]
    fn there_are_as_many_of_each_as_in_the_pool() {
        for (one, most, what) in [
            ("(module)", 16, "instance"),
            ("(module (memory 0))", 3, "memory"),
            ("(module (table 0 funcref))", 3, "table"),
        ] {
            assert_eq!(started(one, most), Ok(()), "{one}");
            let refused = started(one, most + 1).unwrap_err();
            assert!(refused.contains(what), "{refused}");
        }
    }
}
