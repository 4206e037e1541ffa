//! Settings: `SET`, `SHOW`, and what clients are told of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Answer, Session};
use crate::dialect::Output;
use crate::error::{Result, SqlError, state};
use crate::freshness;
use crate::types::text::parse_bool;
use crate::types::{Base, SqlType, Value, datetime};

type Settings = BTreeMap<String, String>;

/// Settings of one session.
const SETTINGS_MAX: usize = 500;

/// What settings were before a transaction changed them.
#[derive(Debug)]
pub(super) struct Before {
    settings: Settings,
    /// Names that are as before when the transaction has ended, whichever way.
    local: Vec<String>,
}

/// Names, and values at the start of a session.
const DEFAULTS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("check_function_bodies", "on"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_read_only", "off"),
    ("escape_string_warning", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "60000"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "on"),
    ("jit", "off"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("lock_timeout", "30000"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("music.read", "latest"),
    ("quote_all_identifiers", "off"),
    ("row_security", "on"),
    ("search_path", "\"$user\", public"),
    ("server_encoding", "UTF8"),
    ("server_version", "15.0"),
    ("server_version_num", "150000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("transaction_deferrable", "off"),
    ("transaction_isolation", "serializable"),
    ("transaction_read_only", "off"),
    ("work_mem", "4MB"),
    ("xmloption", "content"),
];

/// Settings that no client can change.
const FIXED: &[&str] = &[
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
];

/// Settings that clients are told of, by the names that they know.
const REPORTED: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    (
        "default_transaction_read_only",
        "default_transaction_read_only",
    ),
    ("in_hot_standby", "in_hot_standby"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("session_authorization", "session_authorization"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

pub(super) fn defaults(user: &str) -> Settings {
    let defaults = DEFAULTS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let own = ("session_authorization".to_owned(), user.to_owned());
    defaults.chain([own]).collect()
}

/// Settings that are the same in every session, which the catalogue can tell.
pub(crate) fn fixed() -> Vec<(String, String)> {
    let own = DEFAULTS.iter().filter(|(name, _)| FIXED.contains(name));
    own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn reported(settings: &Settings) -> Vec<(String, String)> {
    let value = |name: &str| settings.get(name).cloned().unwrap_or_default();
    REPORTED
        .iter()
        .map(|(name, shown)| ((*shown).to_owned(), value(name)))
        .collect()
}

/// A time limit that a setting tells; none for zero.
pub(super) fn timeout(settings: &Settings, name: &str) -> Option<Duration> {
    let millis = settings
        .get(name)?
        .parse()
        .ok()
        .filter(|millis| *millis > 0)?;
    Some(Duration::from_millis(millis))
}

/// Milliseconds, with PostgreSQL's units.
fn millis(value: &str) -> Option<u64> {
    let trimmed = value.trim();
    let end = trimmed
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at_checked(end)?;
    let number: u64 = digits.trim().parse().ok()?;
    let scale = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .checked_mul(scale)
        .filter(|millis| i32::try_from(*millis).is_ok())
}

/// Settings that are times.
const TIMEOUTS: &[&str] = &[
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
];

/// Milliseconds in the largest unit that fits.
fn show_millis(value: &str) -> String {
    let millis: u64 = value.parse().unwrap_or_default();
    let units = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("min", 60_000),
        ("s", 1000),
    ];
    let fitting = units
        .iter()
        .find(|(_, scale)| millis > 0 && millis.is_multiple_of(*scale));
    match fitting {
        Some((unit, scale)) => format!("{}{unit}", millis / scale),
        None if millis == 0 => "0".to_owned(),
        None => format!("{millis}ms"),
    }
}

fn invalid(name: &str, value: &str, hint: &str) -> SqlError {
    SqlError::new(
        state::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": \"{value}\""),
    )
    .with_hint(hint)
}

/// What a setting may be: whether a value is right, how it is kept, and what
/// would be right.
fn rule(name: &str, value: &str, lower: &str) -> Option<(bool, String, &'static str)> {
    let all = |allowed: &[&str]| {
        let mut parts = lower.split(',');
        parts.all(|part| allowed.contains(&part.trim().trim_matches(['"', '\''])))
    };
    let own = value.to_owned();
    Some(match name {
        "client_encoding" => {
            let plain = lower.trim_matches('\'').replace(['-', '_'], "");
            let is_utf8 = matches!(plain.as_str(), "utf8" | "unicode");
            (is_utf8, "UTF8".to_owned(), "mdbc speaks UTF8 alone")
        }
        "datestyle" => {
            let is_iso = all(&["iso", "mdy", "ymd", "dmy", "us", "european", "default"]);
            (
                is_iso,
                "ISO, MDY".to_owned(),
                "mdbc writes dates in the style ISO alone",
            )
        }
        "intervalstyle" => {
            let is_own = lower == "postgres";
            (
                is_own,
                lower.to_owned(),
                "mdbc writes intervals in the style postgres alone",
            )
        }
        "bytea_output" => (
            lower == "hex",
            lower.to_owned(),
            "mdbc writes bytea in hex alone",
        ),
        "standard_conforming_strings" => {
            let is_on = parse_bool(lower) == Some(true);
            (
                is_on,
                "on".to_owned(),
                "backslashes in plain strings are not supported",
            )
        }
        "search_path" => {
            let is_known = all(&["", "public", "pg_catalog", "$user", "information_schema"]);
            (is_known, own, "mdbc has one schema, public")
        }
        "transaction_isolation" | "default_transaction_isolation" => {
            let levels = "serializable, repeatable read, read committed or read uncommitted";
            let is_level = levels
                .split(", ")
                .flat_map(|part| part.split(" or "))
                .any(|level| level == lower);
            // Whatever is asked for, transactions are serializable.
            (is_level, "serializable".to_owned(), levels)
        }
        "timezone" => {
            let is_zone = datetime::zone_named(value).is_some();
            (is_zone, own, "a name of the IANA time zone database")
        }
        "music.read" => (
            matches!(lower, "latest" | "local"),
            lower.to_owned(),
            "latest or local",
        ),
        _ => return None,
    })
}

/// A value as it is kept; refused if mdbc could not do as it says.
fn checked(name: &str, value: &str) -> Result<String> {
    let lower = value.trim().to_ascii_lowercase();
    if let Some((is_right, kept, hint)) = rule(name, value, &lower) {
        return if is_right {
            Ok(kept)
        } else {
            Err(invalid(name, value, hint))
        };
    }
    if TIMEOUTS.contains(&name) {
        let millis = millis(value);
        let millis =
            millis.ok_or_else(|| invalid(name, value, "milliseconds, or ms, s, min, h, d"))?;
        return Ok(millis.to_string());
    }
    let default = DEFAULTS.iter().find(|(own, _)| *own == name);
    if matches!(default, Some((_, "on" | "off"))) {
        let truth = parse_bool(&lower).ok_or_else(|| invalid(name, value, "on or off"))?;
        return Ok(if truth { "on" } else { "off" }.to_owned());
    }
    Ok(value.to_owned())
}

impl Session {
    /// Sets a setting, to its default for none.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let name = name.to_lowercase();
        let default = defaults(&self.user).get(&name).cloned();
        let is_custom = name.contains('.') && default.is_none();
        if default.is_none()
            && !is_custom
            && !matches!(
                name.as_str(),
                "options"
                    | "geqo"
                    | "ssl_renegotiation_limit"
                    | "force_parallel_mode"
                    | "max_parallel_workers_per_gather"
                    | "enable_seqscan"
                    | "default_with_oids"
            )
        {
            return Err(SqlError::new(
                state::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{name}\""),
            ));
        }
        if FIXED.contains(&name.as_str()) {
            return Err(SqlError::new(
                state::INVALID_PARAMETER_VALUE,
                format!("parameter \"{name}\" cannot be changed"),
            ));
        }
        if self.state.settings.len() >= SETTINGS_MAX {
            return Err(SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                "too many settings",
            ));
        }
        let value = match (value, default) {
            (Some(value), _) => checked(&name, value)?,
            (None, Some(default)) => default,
            (None, None) => String::new(),
        };
        self.put(name, value);
        Ok(())
    }

    fn put(&mut self, name: String, value: String) {
        if name == "timezone"
            && let Some(zone) = datetime::zone_named(&value)
        {
            self.state.look.zone = zone;
        }
        if let Some((_, shown)) = REPORTED.iter().find(|(own, _)| *own == name)
            && self.state.settings.get(&name) != Some(&value)
        {
            self.reports.push(((*shown).to_owned(), value.clone()));
        }
        if name == "transaction_read_only" {
            self.is_read_only = value == "on";
        }
        self.state.settings.insert(name, value);
    }

    pub(super) fn set_statement(
        &mut self,
        name: &str,
        value: Option<&str>,
        is_local: bool,
    ) -> Result<Answer> {
        if name == "all" {
            self.remember(None);
            for (name, value) in defaults(&self.user) {
                if !FIXED.contains(&name.as_str()) && name != "transaction_read_only" {
                    self.put(name, value);
                }
            }
            return Ok(Answer::tagged("RESET"));
        }
        self.remember(is_local.then_some(name));
        self.set(name, value)?;
        Ok(Answer::tagged("SET"))
    }

    /// Keeps what settings were, for the end of the transaction.
    fn remember(&mut self, local: Option<&str>) {
        let settings = &self.state.settings;
        let before = self.before.get_or_insert_with(|| Before {
            settings: settings.clone(),
            local: Vec::new(),
        });
        before.local.extend(local.map(str::to_lowercase));
    }

    /// Settings at the end of a transaction.
    pub(super) fn settle_settings(&mut self, is_committed: bool) {
        let Some(before) = self.before.take() else {
            return;
        };
        for (name, value) in before.settings {
            if !is_committed || before.local.contains(&name) {
                self.put(name, value);
            }
        }
    }

    pub(super) fn show(&mut self, name: &str) -> Result<Answer> {
        let column = |name: &str| Output {
            name: name.to_owned(),
            sql_name: name.to_owned(),
            ty: SqlType::of(Base::Text),
            modifier: -1,
            origin: None,
        };
        let lower = name.to_lowercase();
        if lower == "all" {
            let rows = self.state.settings.iter().map(|(name, value)| {
                vec![
                    Value::from(name.as_str()),
                    Value::from(value.as_str()),
                    Value::from(""),
                ]
            });
            let columns = Some(vec![
                column("name"),
                column("setting"),
                column("description"),
            ]);
            return Ok(Answer {
                tag: "SHOW".to_owned(),
                rows: rows.collect(),
                columns,
                copy: None,
            });
        }
        let value = match lower.as_str() {
            "music.age" => Some(freshness::in_words(self.shared.replication.age())),
            "transaction_read_only" => {
                Some(if self.is_read_only { "on" } else { "off" }.to_owned())
            }
            _ => self.state.settings.get(&lower).cloned(),
        };
        let value = value.ok_or_else(|| {
            SqlError::new(
                state::UNDEFINED_OBJECT,
                format!("unrecognized configuration parameter \"{lower}\""),
            )
        })?;
        let value = if TIMEOUTS.contains(&lower.as_str()) {
            show_millis(&value)
        } else {
            value
        };
        let shown = REPORTED
            .iter()
            .find(|(own, _)| *own == lower)
            .map_or(lower.as_str(), |(_, shown)| shown);
        let columns = Some(vec![column(shown)]);
        Ok(Answer {
            tag: "SHOW".to_owned(),
            rows: vec![vec![Value::from(value)]],
            columns,
            copy: None,
        })
    }

    pub(super) fn lock_timeout(&self) -> Option<Duration> {
        timeout(&self.state.settings, "lock_timeout")
    }

    /// How long the client may be silent within a transaction.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        timeout(&self.state.settings, "idle_in_transaction_session_timeout")
            .filter(|_| self.holds_something())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mdbc_cannot_do_is_not_set() {
        for (name, value) in [
            ("client_encoding", "latin1"),
            ("datestyle", "German"),
            ("timezone", "Middle/Earth"),
            ("statement_timeout", "soon"),
            ("search_path", "tenant_1"),
            ("standard_conforming_strings", "off"),
            ("music.read", "sometimes"),
        ] {
            assert_eq!(
                checked(name, value).unwrap_err().state.code(),
                "22023",
                "{name}"
            );
        }
    }

    #[test]
    fn values_are_kept_in_one_form() {
        assert_eq!(checked("client_encoding", "utf-8").unwrap(), "UTF8");
        assert_eq!(checked("statement_timeout", "2s").unwrap(), "2000");
        assert_eq!(
            checked("default_transaction_read_only", "TRUE").unwrap(),
            "on"
        );
        assert_eq!(checked("application_name", "Any Name").unwrap(), "Any Name");
    }
}
