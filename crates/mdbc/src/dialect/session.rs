//! `SET`, `RESET`, `SHOW`.

use sqlparser::ast::{ContextModifier, Expr, Ident, Reset, ResetStatement, Set};

use super::statement::{is_read_only, plain_constant};
use super::{Plan, parse};
use crate::error::{Result, SqlError};

pub(super) fn set(set: &Set) -> Result<Plan> {
    match set {
        Set::SingleAssignment {
            scope,
            hivevar: false,
            variable,
            values,
        } => {
            let name = parse::parts(variable)?.join(".");
            let is_local = matches!(scope, Some(ContextModifier::Local));
            Ok(Plan::Set {
                name,
                value: value(values)?,
                is_local,
            })
        }
        Set::SetTimeZone { local, value: zone } => Ok(Plan::Set {
            name: "timezone".to_owned(),
            value: value(std::slice::from_ref(zone))?,
            is_local: *local,
        }),
        Set::SetNames { charset_name, .. } => Ok(Plan::Set {
            name: "client_encoding".to_owned(),
            value: Some(parse::fold(charset_name)),
            is_local: false,
        }),
        Set::SetTransaction {
            modes,
            snapshot: None,
            session,
        } => {
            let is_read_only = is_read_only(modes);
            if *session {
                return Ok(match is_read_only {
                    Some(truth) => Plan::Set {
                        name: "default_transaction_read_only".to_owned(),
                        value: Some(if truth { "on" } else { "off" }.to_owned()),
                        is_local: false,
                    },
                    // One level is all there is: the strongest.
                    None => Plan::Nothing("SET"),
                });
            }
            Ok(Plan::SetTransaction { is_read_only })
        }
        other => Err(SqlError::refused(format!("{other}"))),
    }
}

/// The value of a setting; none for its default.
fn value(values: &[Expr]) -> Result<Option<String>> {
    let words: Option<Vec<String>> = values.iter().map(plain_constant).collect();
    let words = words.ok_or_else(|| SqlError::refused("SET to an expression"))?;
    let text = words.join(", ");
    Ok((!text.eq_ignore_ascii_case("default")).then_some(text))
}

pub(super) fn reset(statement: &ResetStatement) -> Plan {
    match &statement.reset {
        Reset::ALL => Plan::Reset("all".to_owned()),
        Reset::SessionAuthorization => Plan::Nothing("RESET"),
        Reset::ConfigurationParameter(name) => Plan::Reset(
            parse::parts(name)
                .map(|parts| parts.join("."))
                .unwrap_or_default(),
        ),
    }
}

pub(super) fn show(variable: &[Ident]) -> Plan {
    let words: Vec<String> = variable
        .iter()
        .map(|word| word.value.to_lowercase())
        .collect();
    Plan::Show(match words.join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        _ => words.join("."),
    })
}
