//! From one type to another.

use super::{Compiler, Literal, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::Class::{
    Bool, Bytes, Float, Integer, Interval, Json, Numeric, Registered, Text, Time, Unknown, Uuid,
    Vector,
};
use crate::types::{Base, SqlType, Value, text};

/// How much a cast may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    /// What happens by itself in an expression.
    Implicit,
    /// What happens on the way into a column.
    Assignment,
    /// What the statement asks for.
    Explicit,
}

/// A value as SQL.
pub(crate) fn constant(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Integer(number) if *number < 0 => format!("({number})"),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_infinite() => {
            if *number > 0.0 { "9e999" } else { "(-9e999)" }.to_owned()
        }
        Value::Real(number) => format!("({number:?})"),
        Value::Text(text) => parse::literal(text),
        Value::Blob(bytes) => {
            let hex = text::print_bytes(bytes);
            format!("X'{}'", hex.trim_start_matches("\\x"))
        }
    }
}

/// The place of a number type in the order in which they widen.
pub(super) fn rank(base: Base) -> Option<u8> {
    Some(match base {
        Base::Int2 => 1,
        Base::Int4 => 2,
        Base::Int8 => 3,
        Base::Numeric => 4,
        Base::Float4 => 5,
        Base::Float8 => 6,
        _ => return None,
    })
}

/// Whether there is a cast of that strength.
pub(super) fn is_castable(from: SqlType, to: SqlType, strength: Strength) -> bool {
    if from == to || from.is_unknown() {
        return true;
    }
    if let (Some(from), Some(to)) = (from.element(), to.element()) {
        return is_castable(from, to, strength);
    }
    if from.is_array || to.is_array {
        let to_text = to.class() == Text && !to.is_array;
        return strength >= Strength::Assignment && to_text
            || strength == Strength::Explicit && from.class() == Text && !from.is_array;
    }
    if let (Some(from), Some(to)) = (rank(from.base), rank(to.base)) {
        return from <= to || strength >= Strength::Assignment;
    }
    match (from.class(), to.class()) {
        (Text, Text | Registered) | (Json, Json) | (Integer | Registered, Integer | Registered) => {
            true
        }
        (Time, Time) => match (from.base, to.base) {
            (Base::Date, Base::Timestamp | Base::Timestamptz)
            | (Base::Timestamp, Base::Timestamptz) => true,
            (Base::Date, Base::Time) | (Base::Time, _) => false,
            _ => strength >= Strength::Assignment,
        },
        (Time, Interval) => from.base == Base::Time,
        (Interval, Time) => to.base == Base::Time && strength >= Strength::Assignment,
        (
            Bool | Integer | Float | Numeric | Bytes | Time | Interval | Uuid | Json | Registered,
            Text,
        ) => strength >= Strength::Assignment,
        (Text, _) | (Bool, Integer) | (Integer, Bool) => strength == Strength::Explicit,
        (Json, Bool | Integer | Float | Numeric) => {
            strength == Strength::Explicit && from.base == Base::Jsonb
        }
        _ => false,
    }
}

impl Compiler<'_> {
    /// `value` as `to`.
    pub(super) fn cast(&self, value: Typed, to: SqlType, strength: Strength) -> Result<Typed> {
        if let Some(literal) = &value.literal
            && let Some(done) = self.cast_literal(&value, literal, to)?
        {
            return Ok(done);
        }
        if value.ty == to {
            return Ok(value);
        }
        if !is_castable(value.ty, to, strength) {
            return Err(no_cast(value.ty, to, strength));
        }
        let sql = self.cast_sql(&value, to)?;
        Ok(Typed {
            origin: None,
            ..Typed::new(sql, to)
        })
    }

    fn cast_literal(&self, value: &Typed, literal: &Literal, to: SqlType) -> Result<Option<Typed>> {
        if to.is_unknown() {
            return Ok(None);
        }
        let sql = match literal {
            Literal::Null => "NULL".to_owned(),
            Literal::Parameter(index) => {
                if !value.ty.is_unknown() {
                    return Ok(None);
                }
                if to.class() == Registered {
                    // What it names is looked up when it is known.
                    self.set_parameter_type(*index, SqlType::of(Base::Text));
                    self.uses_catalog.set(true);
                    return Ok(Some(Typed::new(registered_oid(to, &value.sql), to)));
                }
                self.set_parameter_type(*index, to);
                value.sql.clone()
            }
            Literal::Text(text) => match self.registered(to, text)? {
                Some(oid) => oid.to_string(),
                None => constant(&text::parse(to, text, self.environment.look)?),
            },
            Literal::Number(digits) => {
                if !matches!(to.class(), Integer | Float | Numeric)
                    || digits.contains(['.', 'e', 'E']) && to.class() == Integer
                {
                    return Ok(None);
                }
                constant(&text::parse(to, digits, self.environment.look)?)
            }
        };
        Ok(Some(Typed {
            literal: matches!(literal, Literal::Null).then_some(Literal::Null),
            ..Typed::new(sql, to)
        }))
    }

    fn cast_sql(&self, value: &Typed, to: SqlType) -> Result<String> {
        let (from, sql) = (value.ty, &value.sql);
        if let (Some(from), Some(to)) = (from.element(), to.element())
            && from.storage() == to.storage()
        {
            return Ok(sql.clone());
        }
        Ok(match (from.class(), to.class()) {
            _ if is_same_storage(from, to) => sql.clone(),
            (Integer, Numeric | Text) => format!("CAST({sql} AS TEXT)"),
            (Integer | Numeric, Float) if to.base == Base::Float8 => {
                format!("CAST({sql} AS REAL)")
            }
            (Bool, Text) => format!("CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"),
            (Integer, Bool) => format!("({sql} <> 0)"),
            (Registered, Text) => self.registered_name(from, sql),
            (Text, Registered) => {
                self.uses_catalog.set(true);
                registered_oid(to, sql)
            }
            (Vector, Vector) => {
                return Err(SqlError::refused(format!("a cast from {from} to {to}")));
            }
            _ => {
                if matches!(from.base, Base::Timestamptz) || matches!(to.base, Base::Timestamptz) {
                    self.needs_freedom("a cast that depends on the time zone")?;
                }
                format!("pg_cast({}, {}, {sql})", from.oid(), to.oid())
            }
        })
    }

    /// A value that fits a type with a modifier.
    pub(super) fn fit(value: Typed, modifier: i32, strength: Strength) -> Typed {
        if modifier < 0 || value.modifier == modifier {
            return value;
        }
        let is_explicit = u8::from(strength == Strength::Explicit);
        let (oid, sql) = (value.ty.oid(), &value.sql);
        let sql = if value.ty.is_array {
            sql.clone()
        } else {
            format!("pg_fit({oid}, {modifier}, {is_explicit}, {sql})")
        };
        Typed {
            modifier,
            ..Typed::new(sql, value.ty)
        }
    }

    /// `value` for a column.
    pub(super) fn assign(
        &self,
        value: Typed,
        to: SqlType,
        modifier: i32,
        column: &str,
    ) -> Result<Typed> {
        let from = value.ty;
        let cast = self
            .cast(value, to, Strength::Assignment)
            .map_err(|error| {
                if error.state != state::CANNOT_COERCE {
                    return error;
                }
                SqlError::new(
                    state::DATATYPE_MISMATCH,
                    format!("column \"{column}\" is of type {to} but expression is of type {from}"),
                )
                .with_hint("You will need to rewrite or cast the expression.")
            })?;
        Ok(Self::fit(cast, modifier, Strength::Assignment))
    }

    /// `value` as a truth value.
    pub(super) fn condition(&self, value: Typed, place: &str) -> Result<Typed> {
        let ty = value.ty;
        if !ty.is_unknown() && ty != SqlType::of(Base::Bool) {
            return Err(SqlError::new(
                state::DATATYPE_MISMATCH,
                format!("argument of {place} must be type boolean, not type {ty}"),
            ));
        }
        self.cast(value, SqlType::of(Base::Bool), Strength::Implicit)
    }

    /// The type that values of two types are compared as.
    pub(super) fn common_type(left: SqlType, right: SqlType) -> Option<SqlType> {
        if left == right {
            return Some(left);
        }
        match (left.is_unknown(), right.is_unknown()) {
            (true, _) => return Some(right),
            (_, true) => return Some(left),
            _ => {}
        }
        if let (Some(a), Some(b)) = (rank(left.base), rank(right.base))
            && !left.is_array
            && !right.is_array
        {
            let wide = if a >= b { left } else { right };
            let is_mixed = wide.base == Base::Float4;
            return Some(if is_mixed && a != b {
                SqlType::of(Base::Float8)
            } else {
                wide
            });
        }
        if left.class() == Text && right.class() == Text {
            return Some(SqlType::of(Base::Text));
        }
        let is_number = |ty: SqlType| matches!(ty.class(), Integer | Registered);
        if is_number(left) && is_number(right) {
            return Some(SqlType::of(Base::Int8));
        }
        if is_castable(left, right, Strength::Implicit) {
            return Some(right);
        }
        is_castable(right, left, Strength::Implicit).then_some(left)
    }

    /// Both values as one type, by which they are compared.
    pub(super) fn unify(
        &self,
        left: Typed,
        right: Typed,
        operator: &str,
    ) -> Result<(Typed, Typed)> {
        let common = Self::common_type(left.ty, right.ty)
            .map(|ty| {
                if ty.is_unknown() {
                    SqlType::of(Base::Text)
                } else {
                    ty
                }
            })
            .ok_or_else(|| no_operator(operator, left.ty, right.ty))?;
        let (left_type, right_type) = (left.ty, right.ty);
        let mismatch = |error: SqlError| match error.state {
            state::CANNOT_COERCE => no_operator(operator, left_type, right_type),
            _ => error,
        };
        let implicit = |value| {
            self.cast(value, common, Strength::Implicit)
                .map_err(mismatch)
        };
        Ok((implicit(left)?, implicit(right)?))
    }

    /// All values as one type, as in `CASE` and `UNION`.
    pub(super) fn unify_all(&self, values: Vec<Typed>, place: &str) -> Result<Vec<Typed>> {
        let mut common = SqlType::of(Base::Unknown);
        for value in &values {
            common = Self::common_type(common, value.ty).ok_or_else(|| {
                SqlError::new(
                    state::DATATYPE_MISMATCH,
                    format!("{place} types {common} and {} cannot be matched", value.ty),
                )
            })?;
        }
        if common.is_unknown() {
            common = SqlType::of(Base::Text);
        }
        values
            .into_iter()
            .map(|value| self.cast(value, common, Strength::Implicit))
            .collect()
    }
}

/// Whether a value is stored as one type as it is as the other.
fn is_same_storage(from: SqlType, to: SqlType) -> bool {
    match (from.class(), to.class()) {
        (Text | Unknown, Text) => to.base != Base::Bpchar && to.base != Base::Char,
        (Json, Json) => to.base == Base::Json,
        (Integer | Registered, Integer | Registered) => {
            let is_wider = rank(from.base) < rank(to.base) && from.class() == to.class();
            is_wider || from.class() != to.class() || text::range(from.base) == text::range(to.base)
        }
        (Float, Float) => to.base == Base::Float8,
        (Numeric, Text) | (Bool, Integer) => true,
        _ => false,
    }
}

/// The error of an operator that is not.
pub(super) fn no_operator(operator: &str, left: SqlType, right: SqlType) -> SqlError {
    SqlError::new(
        state::UNDEFINED_FUNCTION,
        format!("operator does not exist: {left} {operator} {right}"),
    )
    .with_hint(
        "No operator matches the given name and argument types. You might need to add explicit \
         type casts.",
    )
}

fn no_cast(from: SqlType, to: SqlType, strength: Strength) -> SqlError {
    let error = SqlError::new(
        state::CANNOT_COERCE,
        format!("cannot cast type {from} to {to}"),
    );
    if strength == Strength::Explicit {
        error
    } else {
        error.with_hint("You will need to rewrite or cast the expression.")
    }
}

/// The object id of a name that is only known when the statement runs.
fn registered_oid(to: SqlType, sql: &str) -> String {
    let (table, column) = registry(to);
    let noun = if to.base == Base::Regclass {
        "relation"
    } else {
        to.base.name()
    };
    format!(
        "(CASE WHEN {sql} IS NULL THEN NULL WHEN {sql} GLOB '[0-9]*' THEN CAST({sql} AS INTEGER) \
         ELSE coalesce((SELECT mdbc_c.oid FROM pg_catalog.{table} AS mdbc_c WHERE \
          mdbc_c.{column} = \
         replace(replace(replace({sql}, 'pg_catalog.', ''), 'public.', ''), '\"', '') LIMIT 1), \
         mdbc_refuse('42P01', '{noun} \"' || {sql} || '\" does not exist')) END)"
    )
}

/// The catalogue that has the names of a type of object ids.
pub(super) fn registry(ty: SqlType) -> (&'static str, &'static str) {
    match ty.base {
        Base::Regtype => ("pg_type", "typname"),
        Base::Regproc => ("pg_proc", "proname"),
        Base::Regnamespace => ("pg_namespace", "nspname"),
        Base::Regrole => ("pg_authid", "rolname"),
        _ => ("pg_class", "relname"),
    }
}
