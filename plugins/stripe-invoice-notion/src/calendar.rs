//! Times as Notion takes and gives them.

/// `2026-03-02T08:14:52Z`, from seconds since 1970.
pub(crate) fn time(seconds: u64) -> String {
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", date(seconds))
}

/// `2026-03-02`, from seconds since 1970. Years begin in March here, so that the leap day is
/// their last: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
pub(crate) fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time up to its minute: Notion keeps no seconds, and writes what is behind the minute in
/// its own way.
pub(crate) fn minute(time: &str) -> &str {
    time.get(..16).unwrap_or(time)
}
