//! One event as it is read back: its row, and its request, which is opened and unpacked.

use bytes::Bytes;

use crate::event::Event;
use crate::name::SourceName;

use super::super::StoreError;
use super::super::request::{DamagedRequest, KeptRequest, read};
use super::super::seal::Keyring;
use super::super::sql::Row;
use super::EventRow;

/// An event's row with its request.
pub(in super::super) struct Loaded {
    pub(in super::super) about: EventRow,
    request: KeptRequest,
}

impl Loaded {
    pub(in super::super) fn into_event(self, keyring: &Keyring) -> Result<Event, StoreError> {
        let about = self.about;
        let request = keyring.open(about.id.as_bytes(), self.request)?;
        let (headers, body): (_, Bytes) = read(request)?;
        let damaged = |_| DamagedRequest::new("the source's name is not a name");
        Ok(Event {
            id: about.id,
            source: SourceName::of_events(&about.source).map_err(damaged)?,
            provider: about.provider,
            kind: about.kind,
            delivery_id: about.delivery_id,
            received_at: about.received_at,
            content_type: about.content_type,
            headers,
            body,
            is_handshake: about.is_handshake,
        })
    }
}

impl Loaded {
    pub(in super::super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            about: EventRow::read(row)?,
            request: KeptRequest {
                encoding: row.int("encoding")?,
                header_bytes: row.int("header_bytes")?,
                bytes: row.bytes("request")?,
            },
        })
    }
}
