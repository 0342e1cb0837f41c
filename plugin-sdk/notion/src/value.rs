//! What stands in a column, to and from Notion's JSON.
//!
//! <https://developers.notion.com/reference/page-property-values>

use std::cmp::Ordering;

use serde_json::{Value as Json, json};

use crate::column::Kind;

/// Longest text in a column: <https://developers.notion.com/reference/request-limits>.
const TEXT_CHARS_MAX: usize = 2_000;

/// The value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A title, a text, a word to select, an address.
    Text(String),
    /// A number.
    Number(f64),
    /// A day or a time.
    Date(Date),
}

/// A day or a time, in UTC. Two times within a minute are equal: Notion keeps no seconds, and
/// writes what is behind the minute in its own way.
#[derive(Clone, Debug)]
pub struct Date(String);

impl Value {
    /// A text, cut to what a column takes.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.chars().take(TEXT_CHARS_MAX).collect())
    }

    /// A [`Date::day`].
    #[must_use]
    pub fn day(seconds: i64) -> Self {
        Self::Date(Date::day(seconds))
    }

    /// A [`Date::time`].
    #[must_use]
    pub fn time(seconds: i64) -> Self {
        Self::Date(Date::time(seconds))
    }

    /// None where a column of this kind does not hold such values.
    pub(crate) fn to_json(&self, kind: Kind) -> Option<Json> {
        let value = match (self, kind) {
            (Self::Number(number), Kind::Number) => json!(number),
            (Self::Text(text), Kind::Title | Kind::RichText) => {
                json!([{ "text": { "content": text } }])
            }
            (Self::Text(text), Kind::Select) => json!({ "name": text }),
            (Self::Date(Date(start)), Kind::Date) => json!({ "start": start }),
            (Self::Text(text), Kind::Url) => json!(text),
            (Self::Text(_) | Self::Number(_) | Self::Date(_), _) => return None,
        };
        Some(json!({ kind.name(): value }))
    }

    /// None where the column is empty on this page.
    pub(crate) fn from_json(kind: Kind, value: &Json) -> Option<Self> {
        let text = match kind {
            Kind::Number => return value.as_f64().map(Self::Number),
            Kind::Date => return Some(Self::Date(Date(value["start"].as_str()?.to_owned()))),
            Kind::Title | Kind::RichText => {
                let parts = value.as_array()?.iter();
                parts
                    .filter_map(|part| part["plain_text"].as_str())
                    .collect()
            }
            Kind::Select => value["name"].as_str()?.to_owned(),
            Kind::Url => value.as_str()?.to_owned(),
        };
        (!text.is_empty()).then_some(Self::Text(text))
    }
}

impl Date {
    /// The day, `2026-03-02`, of a time in seconds since 1970.
    ///
    /// Years begin in March here, so that the leap day is their last:
    /// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
    #[must_use]
    pub fn day(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
        let year_of_era = (day_of_era - leap_days) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self(format!("{year:04}-{month:02}-{day:02}"))
    }

    /// The time, `2026-03-02T08:14:52Z`, from seconds since 1970.
    #[must_use]
    pub fn time(seconds: i64) -> Self {
        let Self(day) = Self::day(seconds);
        let second = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        Self(format!("{day}T{hour:02}:{minute:02}:{second:02}Z"))
    }

    /// As it is written, or as Notion wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn minute(&self) -> &str {
        self.0.get(..16).unwrap_or(&self.0)
    }
}

impl PartialEq for Date {
    fn eq(&self, other: &Self) -> bool {
        self.minute() == other.minute()
    }
}

impl Eq for Date {}

impl PartialOrd for Date {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Date {
    fn cmp(&self, other: &Self) -> Ordering {
        self.minute().cmp(other.minute())
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn seconds_are_days_and_times() {
        for (seconds, day, time) in [
            (0, "1970-01-01", "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31", "1969-12-31T23:59:59Z"),
            (951_782_399, "2000-02-28", "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29", "2000-02-29T00:00:00Z"),
            (1_772_439_292, "2026-03-02", "2026-03-02T08:14:52Z"),
            (4_107_542_400, "2100-03-01", "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Date::day(seconds).as_str(), day);
            assert_eq!(Date::time(seconds).as_str(), time);
        }
    }

    #[test]
    fn times_are_compared_by_their_minutes() {
        let notions = Date("2026-03-02T08:14:00.000+00:00".to_owned());
        assert_eq!(Date::time(1_772_439_292), notions);
        assert!(Date::time(1_772_439_300) > notions);
        assert!(Date::time(1_772_439_239) < notions);
        assert!(Date::day(1_772_439_292) < notions);
        assert_ne!(Date::day(1_772_439_292), Date::day(1_772_525_692));
    }
}
