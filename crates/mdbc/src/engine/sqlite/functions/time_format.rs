//! `to_char` and `to_date`.

use super::Arguments;
use crate::error::{Result, SqlError, state};
use crate::types::Value;
use crate::types::datetime::{self, DAY, SECOND};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// The patterns of `to_char` that are parts of dates and times, longer ones
/// before those that they begin with, and what they stand for.
fn char_patterns(local: i64) -> [(&'static str, String); 26] {
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = datetime::date_of(days);
    let weekday = usize::try_from((days + 6).rem_euclid(7)).unwrap_or_default();
    let hour = time / (3600 * SECOND);
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = MONTHS
        .get(usize::try_from(month - 1).unwrap_or_default())
        .copied()
        .unwrap_or_default();
    let day_name = WEEKDAYS.get(weekday).copied().unwrap_or_default();
    let half = if hour < 12 { "AM" } else { "PM" };
    let first = datetime::days_of(year, 1, 1).unwrap_or_default();
    [
        ("YYYY", format!("{year:04}")),
        ("HH24", format!("{hour:02}")),
        ("HH12", format!("{twelve:02}")),
        ("Month", format!("{month_name:<9}")),
        ("MONTH", format!("{:<9}", month_name.to_uppercase())),
        ("month", format!("{:<9}", month_name.to_lowercase())),
        ("Day", format!("{day_name:<9}")),
        ("DAY", format!("{:<9}", day_name.to_uppercase())),
        ("day", format!("{:<9}", day_name.to_lowercase())),
        ("Mon", month_name.get(..3).unwrap_or_default().to_owned()),
        (
            "MON",
            month_name.get(..3).unwrap_or_default().to_uppercase(),
        ),
        (
            "mon",
            month_name.get(..3).unwrap_or_default().to_lowercase(),
        ),
        ("DDD", format!("{:03}", days - first + 1)),
        ("Dy", day_name.get(..3).unwrap_or_default().to_owned()),
        ("DY", day_name.get(..3).unwrap_or_default().to_uppercase()),
        ("YY", format!("{:02}", year.rem_euclid(100))),
        ("MM", format!("{month:02}")),
        ("DD", format!("{day:02}")),
        ("HH", format!("{twelve:02}")),
        ("MI", format!("{:02}", time / (60 * SECOND) % 60)),
        ("SS", format!("{:02}", time / SECOND % 60)),
        ("MS", format!("{:03}", time % SECOND / 1000)),
        ("US", format!("{:06}", time % SECOND)),
        ("AM", half.to_owned()),
        ("PM", half.to_owned()),
        ("Q", ((month - 1) / 3 + 1).to_string()),
    ]
}

/// `to_char` of a timestamp.
pub(super) fn to_char(arguments: &Arguments<'_>) -> Result<Value> {
    let mut rest = arguments.text(1)?;
    let patterns = char_patterns(arguments.integer(0)?);
    let mut output = String::new();
    while let Some(character) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            output.push_str(inside);
            rest = after;
            continue;
        }
        let (is_filled, body) = match rest.strip_prefix("FM") {
            Some(body) => (false, body),
            None => (true, rest),
        };
        if let Some((pattern, shown)) = patterns
            .iter()
            .find(|(pattern, _)| body.starts_with(pattern))
        {
            let trimmed = shown.trim_end().trim_start_matches('0');
            output.push_str(if is_filled { shown } else { trimmed });
            rest = body.strip_prefix(pattern).unwrap_or_default();
            continue;
        }
        if character.is_ascii_alphabetic() {
            return Err(SqlError::refused(format!("the pattern {rest} of to_char")));
        }
        output.push(character);
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    Ok(Value::Text(output))
}

/// `to_date` with a pattern of numbers.
pub(super) fn to_date(arguments: &Arguments<'_>) -> Result<Value> {
    let (mut text, mut pattern) = (arguments.text(0)?, arguments.text(1)?);
    let (mut year, mut month, mut day) = (1, 1, 1);
    while let Some(character) = pattern.chars().next() {
        let known = [("YYYY", 4), ("MM", 2), ("DD", 2)];
        let found = known.iter().find(|(name, _)| pattern.starts_with(name));
        let Some((name, width)) = found else {
            if character.is_ascii_alphabetic() {
                return Err(SqlError::refused(format!(
                    "the pattern {pattern} of to_date"
                )));
            }
            pattern = pattern.get(character.len_utf8()..).unwrap_or_default();
            let skipped = text.chars().next().filter(|c| !c.is_ascii_digit());
            text = text
                .get(skipped.map_or(0, char::len_utf8)..)
                .unwrap_or_default();
            continue;
        };
        let end = text
            .bytes()
            .take(*width)
            .take_while(u8::is_ascii_digit)
            .count();
        let number: i64 = text
            .get(..end)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| {
                SqlError::new(
                    state::INVALID_DATETIME_FORMAT,
                    format!("invalid value \"{text}\" for \"{name}\""),
                )
            })?;
        match *name {
            "YYYY" => year = number,
            "MM" => month = number,
            _ => day = number,
        }
        text = text.get(end..).unwrap_or_default();
        pattern = pattern.get(name.len()..).unwrap_or_default();
    }
    let days = datetime::days_of(year, month, day).ok_or_else(|| {
        SqlError::new(
            state::DATETIME_FIELD_OVERFLOW,
            "date/time field value out of range",
        )
    })?;
    Ok(Value::Integer(days))
}
