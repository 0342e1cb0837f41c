//! What the host keeps for a guest that uses `wasi:http`: bodies and headers are outside of
//! the guest's memory, so its limit does not count them. Here they are bounded as one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::config::units::readable_size;
use crate::plugin::limits::{Exceeded, HTTP_KEPT_BYTES_MAX};
use crate::run::Outcome;

/// The room of one attempt; clones share it.
#[derive(Clone, Default)]
pub(in crate::plugin) struct Room(Arc<AtomicUsize>);

/// A part of the room, given back when it is dropped.
pub(super) struct Taken {
    room: Room,
    bytes: usize,
}

/// Bytes with the room that they take.
struct Kept {
    bytes: Vec<u8>,
    #[expect(dead_code, reason = "held for its drop")]
    taken: Taken,
}

impl Room {
    /// Takes room for so many bytes.
    ///
    /// # Errors
    /// [`Exceeded`] if there is not as much.
    pub(super) fn take(&self, bytes: usize) -> Result<Taken, Exceeded> {
        let room = self.clone();
        let mut taken = Taken { room, bytes: 0 };
        taken.resize(bytes)?;
        Ok(taken)
    }

    /// Keeps bytes for as long as anything refers to them.
    ///
    /// # Errors
    /// As [`Room::take`].
    pub(super) fn keep(&self, bytes: Vec<u8>) -> Result<Bytes, Exceeded> {
        let taken = self.take(bytes.len())?;
        Ok(Bytes::from_owner(Kept { bytes, taken }))
    }
}

impl Taken {
    /// Takes more, or gives some back.
    ///
    /// # Errors
    /// [`Exceeded`] if there is not as much; then it stays as it was.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let all = self.room.0.load(Ordering::Relaxed);
        let others = all.saturating_sub(self.bytes);
        let wanted = others.saturating_add(bytes);
        if wanted > HTTP_KEPT_BYTES_MAX {
            let limit = readable_size(HTTP_KEPT_BYTES_MAX as u64);
            return Err(Exceeded {
                outcome: Outcome::Memory,
                message: format!("more than {limit} of requests and answers are open at once"),
            });
        }
        // One guest, one thread at a time: nobody else has changed it.
        self.room.0.store(wanted, Ordering::Relaxed);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{HTTP_KEPT_BYTES_MAX, Outcome, Room};

    #[test]
    fn room_is_given_back() {
        let room = Room::default();
        let mut half = room.take(HTTP_KEPT_BYTES_MAX / 2).unwrap();
        let body = room.keep(vec![0; HTTP_KEPT_BYTES_MAX / 2]).unwrap();
        let refused = room.take(1).err().unwrap();
        assert_eq!(refused.outcome, Outcome::Memory);
        assert!(refused.message.contains("8 MiB"), "{}", refused.message);
        // What a guest has read of a body is still the whole body.
        let rest = body.slice(1..2);
        drop(body);
        assert!(room.take(1).is_err());
        drop(rest);
        let taken = room.take(HTTP_KEPT_BYTES_MAX / 2).unwrap();
        assert!(half.resize(HTTP_KEPT_BYTES_MAX / 2 + 1).is_err());
        half.resize(0).unwrap();
        assert!(room.take(HTTP_KEPT_BYTES_MAX / 2).is_ok());
        drop((half, taken));
        assert!(room.take(HTTP_KEPT_BYTES_MAX).is_ok());
    }
}
