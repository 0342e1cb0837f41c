//! How the words that stand in JSON look there, for the OpenAPI document.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::plugin::Digest;
use crate::run::{RunId, RunState};

const RUN_STATES: [RunState; 7] = [
    RunState::Ready,
    RunState::Running,
    RunState::Waiting,
    RunState::Blocked,
    RunState::Succeeded,
    RunState::Dead,
    RunState::Cancelled,
];

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

macro_rules! schema {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

schema!(
    Timestamp,
    "Timestamp",
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
);
schema!(
    EventId,
    "EventId",
    text().format(Some(SchemaFormat::Custom("uuid".to_owned())))
);
schema!(RunId, "RunId", text().pattern(Some("^[0-9]+$")));
schema!(
    RunState,
    "RunState",
    text().enum_values(Some(RUN_STATES.map(RunState::as_str)))
);
schema!(Digest, "Digest", text().pattern(Some("^[0-9a-f]{64}$")));
