//! How the words that stand in JSON and in parameters look there, for the OpenAPI document:
//! exactly what their parsers take, which `host/tests/it/openapi/values.rs` checks.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Timestamp;
use crate::event::EventId;
use crate::plugin::Digest;
use crate::run::{RunId, RunState};
use crate::trigger::KindPattern;

use super::stats::{STEPS, WINDOWS};

const RUN_STATES: [RunState; 7] = [
    RunState::Ready,
    RunState::Running,
    RunState::Waiting,
    RunState::Blocked,
    RunState::Succeeded,
    RunState::Dead,
    RunState::Cancelled,
];

/// What can be granted another attempt.
pub(super) const RETRIED: [RunState; 3] = [RunState::Dead, RunState::Cancelled, RunState::Waiting];

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

/// A kind pattern: segments between dots, none of them empty, `**` only as the last one. So
/// many words for it, since not every program that reads patterns can look ahead.
const KIND_PATTERN: &str = r"^(([^.*][^.]*|[*]([^.*][^.]*)?|[*][*][^.]+)[.])*([^.*][^.]*|[*]([^.*][^.]*)?|[*][*][^.]+|[*][*])$";
/// Unix seconds, as `Timestamp::parse` takes them.
const SECONDS: &str = "^([0-9]{1,11}|-[0-9]{1,10})$";
const SECONDS_MIN: i64 = -9_999_999_999;
const SECONDS_MAX: i64 = 99_999_999_999;

/// A time that is given: RFC 3339, or Unix seconds in digits.
pub(super) enum Time {}

/// The same in JSON, which has numbers.
pub(super) enum JsonTime {}

/// How far back statistics go.
pub(super) enum Window {}

/// How long a step of them is.
pub(super) enum StepLength {}

/// The states in which runs can be retried.
pub(super) enum RetriedState {}

/// Bytes that may be of any type.
pub(super) enum AnyBytes {}

fn time() -> AnyOfBuilder {
    let written = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    AnyOfBuilder::new()
        .item(text().format(Some(written)))
        .item(text().pattern(Some(SECONDS)))
}

fn number_of_seconds() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(SECONDS_MIN))
        .maximum(Some(SECONDS_MAX))
}

/// A duration between two, in any unit.
fn duration(bounds: &RangeInclusive<Duration>) -> ObjectBuilder {
    let units = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let of_unit = |(unit, unit_ms): (&str, u128)| {
        let first = bounds.start().as_millis().div_ceil(unit_ms);
        let last = bounds.end().as_millis() / unit_ms;
        format!("({}){unit}", numbers(first, last))
    };
    text().pattern(Some(format!("^0*({})$", units.map(of_unit).join("|"))))
}

/// The numbers from `first` to `last` as a pattern: blocks of which only the first digit that
/// differs, and all behind it, are open. Not from zero.
fn numbers(mut first: u128, last: u128) -> String {
    let mut blocks = Vec::new();
    while first <= last {
        let (mut width, mut open) = (1, 0);
        while first.is_multiple_of(width * 10) && first + width * 10 - 1 <= last {
            (width, open) = (width * 10, open + 1);
        }
        let (before, digit) = (first / (width * 10), first / width % 10);
        let end = (digit + (last - first + 1) / width - 1).min(9);
        let before = match before {
            0 => String::new(),
            before => before.to_string(),
        };
        let digits = match end == digit {
            true => digit.to_string(),
            false => format!("[{digit}-{end}]"),
        };
        blocks.push(format!("{before}{digits}{}", "[0-9]".repeat(open)));
        first += (end - digit + 1) * width;
    }
    blocks.join("|")
}

schema!(Time, "Time", time());
schema!(Window, "Window", duration(&WINDOWS));
schema!(StepLength, "StepLength", duration(&STEPS));
schema!(JsonTime, "JsonTime", time().item(number_of_seconds()));
schema!(
    KindPattern,
    "KindPattern",
    text().pattern(Some(KIND_PATTERN))
);
schema!(
    RetriedState,
    "RetriedState",
    text().enum_values(Some(RETRIED.map(RunState::as_str)))
);
schema!(
    AnyBytes,
    "AnyBytes",
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
);
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
schema!(RunId, "RunId", text().pattern(Some("^[0-9]{1,19}$")));
schema!(
    RunState,
    "RunState",
    text().enum_values(Some(RUN_STATES.map(RunState::as_str)))
);
schema!(Digest, "Digest", text().pattern(Some("^[0-9a-f]{64}$")));

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn numbers_are_those_between() {
        for (first, last, pattern) in [
            (1, 1, "1"),
            (1, 31, "[1-9]|[1-2][0-9]|3[0-1]"),
            (
                60,
                86_400,
                "[6-9][0-9]|[1-9][0-9][0-9]|[1-9][0-9][0-9][0-9]|[1-7][0-9][0-9][0-9][0-9]|8[0-5][0-9][0-9][0-9]|86[0-3][0-9][0-9]|86400",
            ),
        ] {
            assert_eq!(numbers(first, last), pattern);
        }
    }
}
