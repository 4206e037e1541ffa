//! Dates and times: days and microseconds since 2000-01-01.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::interval::{Interval, clock, out_of_range};
use crate::error::{Result, SqlError, state};

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;
/// The stored time that is later than all others.
pub(crate) const INFINITY: i64 = i64::MAX;
/// The stored time that is earlier than all others.
pub(crate) const MINUS_INFINITY: i64 = i64::MIN;
/// The stored dates at the ends, as PostgreSQL sends them.
const DATE_INFINITY: i64 = i32::MAX as i64;
const DATE_MINUS_INFINITY: i64 = i32::MIN as i64;
/// Years that PostgreSQL knows.
const YEARS: std::ops::RangeInclusive<i64> = -4712..=294_276;

fn invalid(name: &str, text: &str) -> SqlError {
    SqlError::new(
        state::INVALID_DATETIME_FORMAT,
        format!("invalid input syntax for type {name}: \"{text}\""),
    )
}

fn overflow(text: &str) -> SqlError {
    SqlError::new(
        state::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{text}\""),
    )
}

/// Days since 2000-01-01 of a date that exists in the Gregorian calendar.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_date = YEARS.contains(&year) && (1..=12).contains(&month);
    if !is_date || day < 1 || day > month_days(year, month) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last of its year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468 - EPOCH_DAYS)
}

/// Year, month and day of days since 2000-01-01.
pub(crate) fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(EPOCH_DAYS + 719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// How many days a month has.
pub(crate) fn month_days(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Reads `SS[.ffffff]` as microseconds.
pub(crate) fn parse_seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty() && (whole.len() + fraction.len()) <= 18;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || !digits(whole) || !digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let padded = format!("{fraction:0<7}");
    let micros: i64 = padded.get(..6)?.parse().ok()?;
    let rounds_up = padded.as_bytes().get(6).is_some_and(|digit| *digit >= b'5');
    (seconds <= 60).then_some(seconds * SECOND + micros + i64::from(rounds_up))
}

fn special(text: &str) -> Option<(i64, i64)> {
    match text.trim().to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => Some((DATE_INFINITY, INFINITY)),
        "-infinity" => Some((DATE_MINUS_INFINITY, MINUS_INFINITY)),
        "epoch" => Some((-EPOCH_DAYS, -EPOCH_DAYS * DAY)),
        _ => None,
    }
}

/// Reads a date, `YYYY-MM-DD`; a time that follows is dropped.
pub(crate) fn parse_date(text: &str) -> Result<i64> {
    if let Some((days, _)) = special(text) {
        return Ok(days);
    }
    let parts = split(text).ok_or_else(|| invalid("date", text))?;
    read_date(parts.date, parts.is_bc).map_err(|wrong| wrong.error("date", text))
}

/// Why a part of a date or a time is none.
#[derive(Clone, Copy)]
enum Wrong {
    /// It has not the form of one.
    Form,
    /// There is no such day, or no such time.
    Value,
}

impl Wrong {
    fn error(self, name: &str, text: &str) -> SqlError {
        match self {
            Self::Form => invalid(name, text),
            Self::Value => overflow(text),
        }
    }
}

fn read_date(text: &str, is_bc: bool) -> Result<i64, Wrong> {
    let numbers = date_numbers(text).ok_or(Wrong::Form)?;
    let &[year, month, day] = numbers.as_slice() else {
        return Err(Wrong::Form);
    };
    let is_short = text
        .split(['-', '/'])
        .next()
        .is_some_and(|year| year.len() < 3);
    if year < 1 {
        return Err(Wrong::Value);
    }
    if is_short {
        return Err(Wrong::Form);
    }
    days_of(if is_bc { 1 - year } else { year }, month, day).ok_or(Wrong::Value)
}

fn date_numbers(text: &str) -> Option<Vec<i64>> {
    let is_compact = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_compact {
        let parts = [text.get(..4)?, text.get(4..6)?, text.get(6..)?];
        return parts.iter().map(|part| part.parse().ok()).collect();
    }
    text.split(['-', '/'])
        .map(|part| part.parse().ok())
        .collect()
}

/// The parts of a text that holds a date, a time, a zone.
struct Parts<'a> {
    date: &'a str,
    time: &'a str,
    zone: &'a str,
    is_bc: bool,
}

fn split(text: &str) -> Option<Parts<'_>> {
    let text = text.trim();
    let (text, is_bc) = match text.strip_suffix(" BC") {
        Some(rest) => (rest.trim_end(), true),
        None => (text, false),
    };
    let (date, rest) = text.split_once(['T', 't', ' ']).unwrap_or((text, ""));
    let rest = rest.trim();
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(end)?;
    let zone = zone.trim();
    Some(Parts {
        date,
        time: time.trim(),
        zone,
        is_bc,
    })
}

/// Reads a time of day as microseconds; 24:00 is one.
pub(crate) fn parse_time(text: &str) -> Result<i64> {
    let trimmed = text.trim();
    // A date before, or a zone behind it, are dropped, as PostgreSQL does.
    let time = match trimmed.split_once(['T', ' ']) {
        Some((date, rest)) if date.contains('-') => rest,
        _ => trimmed,
    };
    let end = time
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
        .unwrap_or(time.len());
    let rest_is_zone = time
        .get(end..)
        .is_some_and(|zone| zone.is_empty() || zone.starts_with(['+', '-', 'Z', 'z', ' ']));
    if !rest_is_zone {
        return Err(invalid("time", text));
    }
    read_time(time.get(..end).unwrap_or_default()).map_err(|wrong| wrong.error("time", text))
}

fn read_time(text: &str) -> Result<i64, Wrong> {
    let (hours, minutes, seconds) = time_parts(text).ok_or(Wrong::Form)?;
    let micros = hours * 3600 * SECOND + minutes * 60 * SECOND + seconds;
    if minutes < 60 && hours <= 24 && micros <= DAY {
        Ok(micros)
    } else {
        Err(Wrong::Value)
    }
}

/// Hours, minutes, and microseconds of a minute.
fn time_parts(text: &str) -> Option<(i64, i64, i64)> {
    let mut parts = text.split(':');
    let number = |part: &str| part.parse().ok().filter(|number| (0..100).contains(number));
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let seconds = parts.next().unwrap_or("0");
    if parts.next().is_some() {
        return None;
    }
    Some((hours, minutes, parse_seconds(seconds)?))
}

/// Reads a timestamp: of the clock on the wall where `zone` is none, which
/// drops an offset in the text, or of all the world.
pub(crate) fn parse_timestamp(text: &str, zone: Option<&TimeZone>) -> Result<i64> {
    let name = if zone.is_some() {
        "timestamp with time zone"
    } else {
        "timestamp"
    };
    if let Some((_, micros)) = special(text) {
        return Ok(micros);
    }
    let parts = split(text).ok_or_else(|| invalid(name, text))?;
    let days = read_date(parts.date, parts.is_bc).map_err(|wrong| wrong.error(name, text))?;
    let time = if parts.time.is_empty() {
        0
    } else {
        read_time(parts.time).map_err(|wrong| wrong.error(name, text))?
    };
    let local = days
        .checked_mul(DAY)
        .and_then(|micros| micros.checked_add(time))
        .ok_or_else(|| overflow(text))?;
    let named = if parts.zone.is_empty() {
        None
    } else {
        Some(zone_named(parts.zone).ok_or_else(|| invalid(name, text))?)
    };
    match (zone, named) {
        (None, _) => Ok(local),
        (Some(_), Some(named)) => to_utc(local, &named),
        (Some(zone), None) => to_utc(local, zone),
    }
}

/// A zone by its name or its offset: `+02`, `-03:30`, `Z`, `Europe/Berlin`.
pub(crate) fn zone_named(name: &str) -> Option<TimeZone> {
    let trimmed = name.trim();
    if matches!(trimmed, "Z" | "z" | "UTC" | "utc" | "GMT" | "Etc/UTC") {
        return Some(TimeZone::UTC);
    }
    let sign = match trimmed.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return TimeZone::get(trimmed).ok(),
    };
    let digits = trimmed.get(1..)?;
    let mut parts: Vec<&str> = digits.split(':').collect();
    if let (4, [all]) = (digits.len(), parts.as_slice()) {
        parts = vec![all.get(..2)?, all.get(2..)?];
    }
    let mut seconds = 0_i32;
    for (part, unit) in parts.iter().zip([3600_i32, 60, 1]) {
        let number: i32 = part
            .parse()
            .ok()
            .filter(|number| (0..60).contains(number))?;
        seconds = seconds.checked_add(number * unit)?;
    }
    let offset = jiff::tz::Offset::from_seconds(sign * seconds).ok()?;
    (parts.len() <= 3).then(|| offset.to_time_zone())
}

/// The moment at which the clock on the wall of `zone` shows `local`.
pub(crate) fn to_utc(local: i64, zone: &TimeZone) -> Result<i64> {
    if is_infinite(local) || *zone == TimeZone::UTC {
        return Ok(local);
    }
    let error = || SqlError::new(state::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let (year, month, day) = date_of(local.div_euclid(DAY));
    let time = local.rem_euclid(DAY);
    let small = |number: i64| i8::try_from(number).map_err(|_| error());
    let date_time = jiff::civil::DateTime::new(
        i16::try_from(year).map_err(|_| error())?,
        small(month)?,
        small(day)?,
        small(time / (3600 * SECOND))?,
        small(time / (60 * SECOND) % 60)?,
        small(time / SECOND % 60)?,
        i32::try_from(time % SECOND * 1000).map_err(|_| error())?,
    )
    .map_err(|_| error())?;
    let timestamp = zone.to_timestamp(date_time).map_err(|_| error())?;
    Ok(timestamp.as_microsecond() - EPOCH_DAYS * DAY)
}

/// What the clock on the wall of `zone` shows, and how far it is off UTC.
pub(crate) fn to_local(utc: i64, zone: &TimeZone) -> Result<(i64, i32)> {
    if is_infinite(utc) || *zone == TimeZone::UTC {
        return Ok((utc, 0));
    }
    let error = || SqlError::new(state::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let unix = utc.checked_add(EPOCH_DAYS * DAY).ok_or_else(error)?;
    let timestamp = Timestamp::from_microsecond(unix).map_err(|_| error())?;
    let seconds = zone.to_offset(timestamp).seconds();
    let local = utc
        .checked_add(i64::from(seconds) * SECOND)
        .ok_or_else(error)?;
    Ok((local, seconds))
}

/// A moment of the system's clock as it is stored.
pub(crate) fn of_unix(micros: i64) -> i64 {
    micros.saturating_sub(EPOCH_DAYS * DAY)
}

/// Seconds since 1970 of a stored moment.
#[allow(
    clippy::cast_precision_loss,
    reason = "PostgreSQL answers a number as coarse"
)]
pub(crate) fn unix_seconds(micros: i64) -> f64 {
    micros.saturating_add(EPOCH_DAYS * DAY) as f64 / 1e6
}

pub(crate) fn is_infinite(micros: i64) -> bool {
    micros == INFINITY || micros == MINUS_INFINITY
}

pub(crate) fn print_date(days: i64) -> String {
    match days {
        DATE_INFINITY => "infinity".to_owned(),
        DATE_MINUS_INFINITY => "-infinity".to_owned(),
        _ => {
            let (date, era) = show_date(days);
            format!("{date}{era}")
        }
    }
}

fn show_date(days: i64) -> (String, &'static str) {
    let (year, month, day) = date_of(days);
    let (year, era) = if year < 1 {
        (1 - year, " BC")
    } else {
        (year, "")
    };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

pub(crate) fn print_time(micros: i64) -> String {
    clock(micros.unsigned_abs())
}

/// Shows a stored timestamp, in a zone where it is one of all the world.
pub(crate) fn print_timestamp(micros: i64, zone: Option<&TimeZone>) -> Result<String> {
    match micros {
        INFINITY => return Ok("infinity".to_owned()),
        MINUS_INFINITY => return Ok("-infinity".to_owned()),
        _ => {}
    }
    let (local, offset) = match zone {
        Some(zone) => to_local(micros, zone)?,
        None => (micros, 0),
    };
    let (date, era) = show_date(local.div_euclid(DAY));
    let time = print_time(local.rem_euclid(DAY));
    let offset = zone.map(|_| show_offset(offset)).unwrap_or_default();
    Ok(format!("{date} {time}{offset}{era}"))
}

fn show_offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (minutes, rest) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// A stored timestamp, and a span later.
pub(crate) fn add(local: i64, interval: Interval) -> Result<i64> {
    if is_infinite(local) {
        return Ok(local);
    }
    let error = || SqlError::new(state::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let (year, month, day) = date_of(local.div_euclid(DAY));
    let months = year * 12 + month - 1 + i64::from(interval.months);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let day = day.min(month_days(year, month));
    let days = days_of(year, month, day).ok_or_else(error)? + i64::from(interval.days);
    days.checked_mul(DAY)
        .and_then(|micros| micros.checked_add(local.rem_euclid(DAY)))
        .and_then(|micros| micros.checked_add(interval.micros))
        .ok_or_else(error)
}

/// The span between two stored timestamps: days and a rest.
pub(crate) fn between(later: i64, earlier: i64) -> Result<Interval> {
    let micros = later.checked_sub(earlier).ok_or_else(out_of_range)?;
    Ok(Interval {
        months: 0,
        days: i32::try_from(micros / DAY).map_err(|_| out_of_range())?,
        micros: micros % DAY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_go_both_ways() {
        for days in (-800_000..3_000_000).step_by(997) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_of(year, month, day), Some(days));
        }
        assert_eq!(parse_date("2000-01-01").unwrap(), 0);
        for text in ["1999-12-31", "2024-02-29", "0044-03-15 BC", "infinity"] {
            assert_eq!(print_date(parse_date(text).unwrap()), text);
        }
        assert_eq!(print_date(parse_date("20240229").unwrap()), "2024-02-29");
    }

    #[test]
    fn days_that_are_not_are_refused() {
        for text in ["2023-02-29", "2023-13-01", "0000-01-01", "2023-04-31"] {
            let error = parse_date(text).unwrap_err();
            assert_eq!(error.state, state::DATETIME_FIELD_OVERFLOW, "{text}");
        }
        for text in ["", "yesterday-ish", "2023-02", "a-b-c"] {
            let error = parse_date(text).unwrap_err();
            assert_eq!(error.state, state::INVALID_DATETIME_FORMAT, "{text}");
        }
    }

    #[test]
    fn timestamps_go_both_ways() {
        for text in ["2024-02-29 13:14:15.5", "1969-12-31 23:59:59.999999"] {
            let micros = parse_timestamp(text, None).unwrap();
            assert_eq!(print_timestamp(micros, None).unwrap(), text);
        }
        assert!(parse_timestamp("2024-01-01 25:00", None).is_err());
        assert!(parse_timestamp("2024-01-01 nonsense", None).is_err());
    }

    #[test]
    fn a_zone_moves_the_clock_on_the_wall() {
        let berlin = zone_named("Europe/Berlin").unwrap();
        let utc = parse_timestamp("2024-07-01 12:00+00", Some(&berlin)).unwrap();
        assert_eq!(
            print_timestamp(utc, Some(&berlin)).unwrap(),
            "2024-07-01 14:00:00+02"
        );
        let read = parse_timestamp("2024-07-01 14:00", Some(&berlin)).unwrap();
        assert_eq!(read, utc);
        assert!(zone_named("Middle/Earth").is_none());
        let india = zone_named("+05:30").unwrap();
        assert_eq!(
            print_timestamp(utc, Some(&india)).unwrap(),
            "2024-07-01 17:30:00+05:30"
        );
    }

    #[test]
    fn a_month_later_is_a_day_that_there_is() {
        let start = parse_timestamp("2024-01-31 10:00", None).unwrap();
        let month = Interval::parse("1 month").unwrap();
        let later = add(start, month).unwrap();
        assert_eq!(print_timestamp(later, None).unwrap(), "2024-02-29 10:00:00");
    }
}
