//! What anybody may take of the host before anything of theirs is proven.

use std::time::Duration;

use crate::http::{Connections, Patience};

/// Bounds of the host; those of a source are its configuration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of each of the two addresses.
    pub connections: Connections,
    /// Until a connection says what it wants.
    pub patience: Patience,
    /// Until a body has arrived.
    pub body_within: Duration,
    /// Memory for bodies that are being received or wait for their commit.
    pub bodies_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: Connections::default(),
            patience: Patience::default(),
            body_within: Duration::from_secs(30),
            bodies_bytes: 512 << 20,
        }
    }
}
