//! The host calls of an attempt as a timeline: pure geometry.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The width of the timeline, in its own units.
const WIDTH: f64 = 1000.0;
/// Most calls that are drawn; the journal itself can be had whole.
const CALLS_MAX: usize = 200;
/// As much of a call's values as stands in a page.
const VALUE_CHARS_MAX: usize = 4000;

/// A recorded call of a guest.
#[derive(Deserialize)]
pub(super) struct Call {
    pub(super) call: String,
    #[serde(default)]
    pub(super) request: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) response: Option<Box<RawValue>>,
    #[serde(default)]
    pub(super) started_ms: f64,
    #[serde(default)]
    pub(super) duration_ms: f64,
}

/// Calls in their order, each where it was in time.
pub(super) struct Timeline {
    pub(super) bars: Vec<Bar>,
    /// How many there are beside those.
    pub(super) left_out: i64,
}

/// A call in the timeline.
pub(super) struct Bar {
    pub(super) call: String,
    pub(super) request: String,
    pub(super) response: String,
    pub(super) started_ms: f64,
    pub(super) duration_ms: f64,
    pub(super) x: f64,
    pub(super) width: f64,
}

impl Timeline {
    /// The calls of an attempt that took so long.
    pub(super) fn of(calls: &[Call], whole_ms: f64) -> Self {
        let ends = calls.iter().map(|call| call.started_ms + call.duration_ms);
        let whole = ends.fold(whole_ms, f64::max).max(f64::MIN_POSITIVE);
        let bars = calls.iter().take(CALLS_MAX).map(|call| {
            let x = (call.started_ms / whole * WIDTH).clamp(0.0, WIDTH - 4.0);
            Bar {
                call: call.call.clone(),
                request: text(call.request.as_deref()),
                response: text(call.response.as_deref()),
                started_ms: call.started_ms,
                duration_ms: call.duration_ms,
                x,
                // However short, it is seen.
                width: (call.duration_ms / whole * WIDTH).clamp(4.0, WIDTH - x),
            }
        });
        Self {
            bars: bars.collect(),
            left_out: calls.len().saturating_sub(CALLS_MAX) as i64,
        }
    }
}

fn text(value: Option<&RawValue>) -> String {
    let text = value.map(RawValue::get).unwrap_or_default();
    if text == "null" {
        return String::new();
    }
    let beginning = super::shown::beginning(text, VALUE_CHARS_MAX);
    if beginning.len() < text.len() {
        format!("{beginning} …")
    } else {
        beginning.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Timeline, WIDTH};

    #[test]
    fn calls_stand_where_they_were_and_none_is_too_short_to_see() {
        let call = |started_ms, duration_ms| Call {
            call: "kv.get".to_owned(),
            request: None,
            response: None,
            started_ms,
            duration_ms,
        };
        let timeline = Timeline::of(&[call(0.0, 50.0), call(99.9999, 0.0)], 100.0);
        assert_eq!(
            (timeline.bars[0].x, timeline.bars[0].width),
            (0.0, WIDTH / 2.0)
        );
        assert!(timeline.bars[1].x + timeline.bars[1].width <= WIDTH);
        assert!(timeline.bars[1].width >= 4.0);
        assert!(
            Timeline::of(&[call(0.0, 0.0)], 0.0).bars[0]
                .width
                .is_finite()
        );
    }
}
