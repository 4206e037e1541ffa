//! `interval`: months, days and microseconds, which PostgreSQL keeps apart.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::error::{Result, SqlError, state};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

fn invalid(text: &str) -> SqlError {
    SqlError::new(
        state::INVALID_DATETIME_FORMAT,
        format!("invalid input syntax for type interval: \"{text}\""),
    )
}

pub(crate) fn out_of_range() -> SqlError {
    SqlError::new(state::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

impl Interval {
    /// Reads the stored form.
    pub(crate) fn load(stored: &str) -> Result<Self> {
        let mut parts = stored.split(' ');
        let read = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok());
        let (months, days, micros) = (read(parts.next()), read(parts.next()), read(parts.next()));
        let (Some(months), Some(days), Some(micros)) = (months, days, micros) else {
            return Err(invalid(stored));
        };
        Ok(Self {
            months: i32::try_from(months).map_err(|_| out_of_range())?,
            days: i32::try_from(days).map_err(|_| out_of_range())?,
            micros,
        })
    }

    /// The stored form.
    pub(crate) fn store(self) -> String {
        format!("{} {} {}", self.months, self.days, self.micros)
    }

    /// Its length with months of 30 days, by which PostgreSQL compares.
    fn length(self) -> i128 {
        let days = i128::from(self.months) * 30 + i128::from(self.days);
        days * i128::from(DAY) + i128::from(self.micros)
    }

    /// Its length in microseconds, with years of 365.25 days.
    #[allow(clippy::cast_precision_loss, reason = "PostgreSQL answers a float too")]
    pub(crate) fn epoch(self) -> f64 {
        let years = f64::from(self.months / 12) * 365.25 * 86_400.0;
        let months = f64::from(self.months % 12) * 30.0 * 86_400.0;
        years + months + f64::from(self.days) * 86_400.0 + self.micros as f64 / 1e6
    }

    pub(crate) fn add(self, other: Self) -> Result<Self> {
        Ok(Self {
            months: self
                .months
                .checked_add(other.months)
                .ok_or_else(out_of_range)?,
            days: self.days.checked_add(other.days).ok_or_else(out_of_range)?,
            micros: self
                .micros
                .checked_add(other.micros)
                .ok_or_else(out_of_range)?,
        })
    }

    pub(crate) fn negate(self) -> Result<Self> {
        Ok(Self {
            months: self.months.checked_neg().ok_or_else(out_of_range)?,
            days: self.days.checked_neg().ok_or_else(out_of_range)?,
            micros: self.micros.checked_neg().ok_or_else(out_of_range)?,
        })
    }

    /// `factor` times as long; fractions of months become days of 30.
    #[allow(clippy::cast_possible_truncation, reason = "checked to be in range")]
    #[allow(
        clippy::cast_precision_loss,
        reason = "a float times microseconds is one"
    )]
    pub(crate) fn times(self, factor: f64) -> Result<Self> {
        let months = f64::from(self.months) * factor;
        let days = f64::from(self.days) * factor + months.fract() * 30.0;
        let micros = self.micros as f64 * factor + days.fract() * DAY as f64;
        let fits = months.abs() < 2e9 && days.abs() < 2e9 && micros.abs() < 9e18;
        if !fits {
            return Err(out_of_range());
        }
        Ok(Self {
            months: months.trunc() as i32,
            days: days.trunc() as i32,
            micros: micros.round() as i64,
        })
    }

    /// As PostgreSQL's style `postgres` writes it.
    pub(crate) fn print(self) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut was_negative = false;
        let units = [
            (self.months / 12, "year"),
            (self.months % 12, "mon"),
            (self.days, "day"),
        ];
        for (count, unit) in units.into_iter().filter(|(count, _)| *count != 0) {
            let sign = if was_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            words.push(format!("{sign}{count} {unit}{plural}"));
            was_negative = count < 0;
        }
        if self.micros != 0 || words.is_empty() {
            let sign = match (self.micros < 0, was_negative) {
                (true, _) => "-",
                (false, true) => "+",
                (false, false) => "",
            };
            words.push(format!("{sign}{}", clock(self.micros.unsigned_abs())));
        }
        words.join(" ")
    }

    /// Reads `1 year 2 days 03:04:05`, `P1Y2DT3H` and the like.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        if let Some(rest) = trimmed.strip_prefix('P') {
            return Self::parse_iso(rest).ok_or_else(|| invalid(text));
        }
        Self::parse_words(trimmed, None).ok_or_else(|| invalid(text))
    }

    /// Reads a number of `unit`, or what [`parse`](Self::parse) reads.
    pub(crate) fn parse_with(text: &str, unit: Option<&str>) -> Result<Self> {
        if unit.is_none() {
            return Self::parse(text);
        }
        Self::parse_words(text.trim(), unit).ok_or_else(|| invalid(text))
    }

    fn parse_words(text: &str, unit: Option<&str>) -> Option<Self> {
        let lower = text.to_lowercase();
        let mut words = words(&lower).into_iter().peekable();
        let mut total = Self::default();
        words.peek()?;
        while let Some(word) = words.next() {
            if word == "ago" && words.peek().is_none() {
                return total.negate().ok();
            }
            if word.contains(':') {
                total.micros = total.micros.checked_add(parse_clock(word)?)?;
                continue;
            }
            let amount: f64 = word
                .parse()
                .ok()
                .filter(|amount: &f64| amount.is_finite())?;
            let unit = words.next().or(unit).unwrap_or("second");
            total = total.add(unit_of(unit)?.times(amount).ok()?).ok()?;
        }
        Some(total)
    }

    fn parse_iso(text: &str) -> Option<Self> {
        let mut total = Self::default();
        let mut is_time = false;
        let mut number = String::new();
        for character in text.chars() {
            match character {
                'T' => is_time = true,
                '0'..='9' | '.' | '-' | '+' => number.push(character),
                _ => {
                    let unit = match (character, is_time) {
                        ('Y', _) => "year",
                        ('M', false) => "month",
                        ('W', _) => "week",
                        ('D', _) => "day",
                        ('H', _) => "hour",
                        ('M', true) => "minute",
                        ('S', _) => "second",
                        _ => return None,
                    };
                    let amount = number.parse().ok()?;
                    number.clear();
                    total = total.add(unit_of(unit)?.times(amount).ok()?).ok()?;
                }
            }
        }
        number.is_empty().then_some(total)
    }
}

/// Words and numbers, which may touch each other: `1day`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        let end = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        match word.split_at_checked(end) {
            Some((number, unit)) if !number.is_empty() => words.extend([number, unit]),
            _ => words.push(word),
        }
    }
    words
}

fn unit_of(name: &str) -> Option<Interval> {
    let months = |months| Interval {
        months,
        ..Interval::default()
    };
    let days = |days| Interval {
        days,
        ..Interval::default()
    };
    let micros = |micros| Interval {
        micros,
        ..Interval::default()
    };
    let singular = name.strip_suffix('s').unwrap_or(name);
    Some(match singular {
        "millennium" | "millennia" | "mil" => months(12_000),
        "century" | "centurie" | "c" | "cent" => months(1200),
        "decade" | "dec" => months(120),
        "year" | "y" | "yr" => months(12),
        "month" | "mon" => months(1),
        "week" | "w" => days(7),
        "day" | "d" => days(1),
        "hour" | "h" | "hr" => micros(HOUR),
        "minute" | "m" | "min" => micros(MINUTE),
        "" | "second" | "sec" => micros(SECOND),
        "millisecond" | "msec" | "m_" | "millisec" => micros(1000),
        "microsecond" | "usec" | "u" | "microsec" => micros(1),
        _ => return None,
    })
}

/// `HH:MM[:SS[.ffffff]]`, with a sign.
fn parse_clock(text: &str) -> Option<i64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = text.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok().filter(|minutes| *minutes < 60)?;
    let seconds = super::datetime::parse_seconds(parts.next().unwrap_or("0"))?;
    let is_over = parts.next().is_some() || hours < 0 || minutes < 0;
    let total = hours.checked_mul(HOUR)?.checked_add(minutes * MINUTE)?;
    (!is_over).then_some(sign * total.checked_add(seconds)?)
}

/// `HH:MM:SS[.ffffff]` of microseconds.
pub(crate) fn clock(micros: u64) -> String {
    let second = SECOND.unsigned_abs();
    let (hours, rest) = (micros / HOUR.unsigned_abs(), micros % HOUR.unsigned_abs());
    let (minutes, rest) = (rest / MINUTE.unsigned_abs(), rest % MINUTE.unsigned_abs());
    let mut text = format!("{hours:02}:{minutes:02}:{:02}", rest / second);
    let fraction = rest % second;
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        // Writing to a string cannot fail.
        write!(text, ".{}", digits.trim_end_matches('0')).unwrap_or_default();
    }
    text
}

/// Compares stored spans; text that is none sorts as text.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    match (Interval::load(left), Interval::load(right)) {
        (Ok(left), Ok(right)) => left.length().cmp(&right.length()),
        _ => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown_as_in_postgresql() {
        for (text, shown) in [
            (
                "1 year 2 mons 3 days 04:05:06.7",
                "1 year 2 mons 3 days 04:05:06.7",
            ),
            ("1 day", "1 day"),
            ("90 minutes", "01:30:00"),
            ("-1 day", "-1 days"),
            ("1.5 days", "1 day 12:00:00"),
            ("1 month ago", "-1 mons"),
            ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            ("0", "00:00:00"),
            ("1 week", "7 days"),
            ("-1 mons +2 days -03:00:00", "-1 mons +2 days -03:00:00"),
        ] {
            let interval = Interval::parse(text).unwrap();
            assert_eq!(interval.print(), shown, "{text}");
            assert_eq!(Interval::load(&interval.store()).unwrap(), interval);
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in ["", "abc", "1 lightyear", "P1", "99999999999 years", "12:70"] {
            assert!(Interval::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_compare_by_length() {
        assert_eq!(compare("1 0 0", "0 30 0"), Ordering::Equal);
        assert_eq!(compare("0 1 0", "0 0 86400000001"), Ordering::Less);
    }
}
