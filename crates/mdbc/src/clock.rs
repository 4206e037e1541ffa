//! The system's clock, read here alone.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, UTC; 0 for a clock before that.
pub(crate) fn unix_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = since.map(|since| since.as_micros()).unwrap_or_default();
    i64::try_from(micros).unwrap_or(i64::MAX)
}
