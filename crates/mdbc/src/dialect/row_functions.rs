//! Functions that return rows.

use super::cast::Strength;
use super::{Compiler, Typed};
use crate::error::{Result, SqlError};
use crate::types::{Base, SqlType};

/// Functions that return rows.
const SET_RETURNING: &[&str] = &[
    "_pg_expandarray",
    "generate_series",
    "generate_subscripts",
    "json_array_elements",
    "json_array_elements_text",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_object_keys",
    "json_object_keys",
    "regexp_split_to_table",
    "string_to_table",
    "unnest",
];

impl Compiler<'_> {
    /// The rows of a function that returns some.
    pub(super) fn row_function(&self, name: &str, values: &[Typed]) -> Result<RowFunction> {
        let types: Vec<SqlType> = values.iter().map(|value| value.ty).collect();
        let value = |ty: SqlType| vec![(name.to_owned(), ty, "{alias}.value".to_owned())];
        let key = |ty: SqlType| vec![(name.to_owned(), ty, "({alias}.key + 1)".to_owned())];
        let error = || super::function::undefined(name, &types);
        let each = |sql: &str, columns| {
            Ok(RowFunction {
                sql: format!("json_each({sql})"),
                columns,
            })
        };
        let int4 = SqlType::of(Base::Int4);
        match (name, values) {
            ("pg_partition_ancestors", [_]) => each("'[]'", value(SqlType::of(Base::Regclass))),
            ("unnest", [array]) => each(&array.sql, value(array.ty.element().ok_or_else(error)?)),
            ("_pg_expandarray", [array]) => {
                let element = array.ty.element().ok_or_else(error)?;
                let columns = vec![
                    ("x".to_owned(), element, "{alias}.value".to_owned()),
                    ("n".to_owned(), int4, "({alias}.key + 1)".to_owned()),
                ];
                each(&array.sql, columns)
            }
            ("generate_subscripts", [array, _]) => {
                array.ty.element().ok_or_else(error)?;
                if array.ty.is_array {
                    each(&array.sql, key(int4))
                } else {
                    each(
                        &array.sql,
                        vec![(name.to_owned(), int4, "{alias}.key".to_owned())],
                    )
                }
            }
            ("generate_series", [start, end, rest @ ..]) if rest.len() < 2 => {
                self.series(name, start, end, rest.first())
            }
            _ if name.contains("json") => self.json_rows(name, values),
            ("string_to_table", [text, separator]) => {
                let array = self.call("string_to_array", vec![text.clone(), separator.clone()])?;
                each(&array.sql, value(SqlType::of(Base::Text)))
            }
            ("regexp_split_to_table", [text, pattern]) => {
                let text = self.cast(text.clone(), SqlType::of(Base::Text), Strength::Implicit)?;
                let pattern =
                    self.cast(pattern.clone(), SqlType::of(Base::Text), Strength::Implicit)?;
                each(
                    &format!("pg_regexp_split({}, {})", text.sql, pattern.sql),
                    value(SqlType::of(Base::Text)),
                )
            }
            _ => Err(error()),
        }
    }

    fn json_rows(&self, name: &str, values: &[Typed]) -> Result<RowFunction> {
        let types: Vec<SqlType> = values.iter().map(|value| value.ty).collect();
        let [document] = values else {
            return Err(super::function::undefined(name, &types));
        };
        let own = SqlType::of(super::function::json_base(name));
        let document = self.cast(document.clone(), own, Strength::Implicit)?.sql;
        let text = SqlType::of(Base::Text);
        let (sql, column, ty) = match name.split_once('_').map(|(_, rest)| rest) {
            Some("array_elements") => (format!("pg_json_elements({document}, 0)"), "value", own),
            Some("array_elements_text") => {
                (format!("pg_json_elements({document}, 1)"), "value", text)
            }
            Some("object_keys") => (format!("pg_json_keys({document})"), name, text),
            _ => return Err(super::function::undefined(name, &types)),
        };
        let columns = vec![(column.to_owned(), ty, "{alias}.value".to_owned())];
        Ok(RowFunction {
            sql: format!("json_each({sql})"),
            columns,
        })
    }

    pub(super) fn series(
        &self,
        name: &str,
        start: &Typed,
        end: &Typed,
        step: Option<&Typed>,
    ) -> Result<RowFunction> {
        let common = Self::common_type(start.ty, end.ty).unwrap_or(SqlType::of(Base::Unknown));
        let common = if common.is_unknown() {
            SqlType::of(Base::Int4)
        } else {
            common
        };
        let is_time = matches!(
            common.base,
            Base::Timestamp | Base::Timestamptz | Base::Date
        );
        let wide = match common.base {
            Base::Date => SqlType::of(Base::Timestamptz),
            Base::Int2 => SqlType::of(Base::Int4),
            _ => common,
        };
        if !is_time && !matches!(wide.base, Base::Int4 | Base::Int8) {
            return Err(SqlError::refused(format!("generate_series of {common}")));
        }
        let start = self.cast(start.clone(), wide, Strength::Implicit)?;
        let end = self.cast(end.clone(), wide, Strength::Implicit)?;
        let step = match (step, is_time) {
            (Some(step), true) => {
                self.cast(
                    step.clone(),
                    SqlType::of(Base::Interval),
                    Strength::Implicit,
                )?
                .sql
            }
            (Some(step), false) => self.cast(step.clone(), wide, Strength::Implicit)?.sql,
            (None, false) => "1".to_owned(),
            (None, true) => return Err(super::function::undefined(name, &[common, common])),
        };
        let sql = format!("json_each(pg_series({}, {}, {step}))", start.sql, end.sql);
        Ok(RowFunction {
            sql,
            columns: vec![(name.to_owned(), wide, "{alias}.value".to_owned())],
        })
    }
}

pub(super) fn is_set_returning(name: &str) -> bool {
    SET_RETURNING.contains(&name)
}

/// A function's rows: what they are read from, and the columns, with
/// `{alias}` for the name that it gets.
pub(super) struct RowFunction {
    pub(super) sql: String,
    pub(super) columns: Vec<(String, SqlType, String)>,
}
