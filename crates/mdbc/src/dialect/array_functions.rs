//! Functions on arrays.

use super::cast::Strength;
use super::expression::json_array;
use super::{Compiler, Typed};
use crate::error::Result;
use crate::types::{Base, SqlType};

const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    pub(super) fn array_function(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
        let array_type = arguments
            .iter()
            .map(|argument| argument.ty)
            .find(|ty| ty.element().is_some());
        let is_split = matches!(name, "string_to_array");
        if is_split && let [text, separator] = arguments {
            let text = self.cast(text.clone(), TEXT, Strength::Implicit)?;
            let separator = self.cast(separator.clone(), TEXT, Strength::Implicit)?;
            let sql = format!("pg_string_to_array({}, {})", text.sql, separator.sql);
            return Ok(Some(Typed::new(sql, SqlType::array_of(Base::Text))));
        }
        let Some(ty) = array_type else {
            return Ok(None);
        };
        let element = ty.element().unwrap_or(TEXT);
        let first = arguments
            .first()
            .map(|argument| argument.sql.clone())
            .unwrap_or_default();
        let length = format!("json_array_length({first})");
        Ok(Some(match (name, arguments) {
            ("array_length" | "array_upper", [_, dimension]) => {
                let dimension = self.cast(
                    dimension.clone(),
                    SqlType::of(Base::Int4),
                    Strength::Implicit,
                )?;
                // Vectors count from zero.
                let shift = u8::from(!ty.is_array && name == "array_upper");
                let sql = format!(
                    "(CASE WHEN {} = 1 AND {length} > 0 THEN {length} - {shift} END)",
                    dimension.sql
                );
                Typed::of(sql, Base::Int4)
            }
            ("array_lower", [_, _]) => {
                let least = u8::from(ty.is_array);
                Typed::of(
                    format!("(CASE WHEN {length} > 0 THEN {least} END)"),
                    Base::Int4,
                )
            }
            ("array_ndims", [_]) => {
                Typed::of(format!("(CASE WHEN {length} > 0 THEN 1 END)"), Base::Int4)
            }
            ("cardinality", [_]) => Typed::of(length, Base::Int4),
            ("array_to_string", [array, separator, rest @ ..]) if rest.len() < 2 => {
                let separator = self.cast(separator.clone(), TEXT, Strength::Implicit)?;
                let null = match rest.first() {
                    Some(null) => self.cast(null.clone(), TEXT, Strength::Implicit)?.sql,
                    None => "NULL".to_owned(),
                };
                let sql = format!(
                    "pg_array_to_string({}, {}, {}, {null})",
                    ty.oid(),
                    array.sql,
                    separator.sql
                );
                Typed::of(sql, Base::Text)
            }
            ("array_cat", [left, right]) => self.operate("||", left.clone(), right.clone())?,
            ("array_append" | "array_remove" | "array_position", [array, item])
            | ("array_prepend", [item, array]) => {
                let item = self.cast(item.clone(), element, Strength::Implicit)?.sql;
                with_item(name, ty, &array.sql, item)
            }
            _ => return Ok(None),
        }))
    }
}

/// A function of an array and an item.
fn with_item(name: &str, ty: SqlType, array: &str, item: String) -> Typed {
    match name {
        "array_append" => Typed::new(
            format!("pg_array_concat({array}, {})", json_array(&[item])),
            ty,
        ),
        "array_prepend" => Typed::new(
            format!("pg_array_concat({}, {array})", json_array(&[item])),
            ty,
        ),
        "array_remove" => Typed::new(format!("pg_array_remove({array}, {item})"), ty),
        _ => Typed::of(format!("pg_array_position({array}, {item})"), Base::Int4),
    }
}
