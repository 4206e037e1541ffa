//! Calls of functions and aggregates.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, ObjectName,
};

use super::cast::{Strength, is_castable};
use super::expression::json_array;
use super::scope::Scope;
use super::signatures::{SIGNATURES, Signature};
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, Class, SqlType};

const TEXT: SqlType = SqlType::of(Base::Text);

/// Functions over the rows of a group.
const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Whether a name is that of an aggregate.
pub(super) fn is_aggregate(name: &ObjectName) -> bool {
    parse::place(name).is_ok_and(|(_, name)| AGGREGATES.contains(&name.as_str()))
}

/// The arguments of a call, taken apart.
struct Arguments<'a> {
    expressions: Vec<&'a Expr>,
    is_star: bool,
    is_distinct: bool,
    order_by: &'a [sqlparser::ast::OrderByExpr],
}

impl<'a> Arguments<'a> {
    fn of(function: &'a Function) -> Result<Self> {
        let mut arguments = Self {
            expressions: Vec::new(),
            is_star: false,
            is_distinct: false,
            order_by: &[],
        };
        let list = match &function.args {
            FunctionArguments::None => return Ok(arguments),
            FunctionArguments::Subquery(_) => {
                return Err(SqlError::refused("a query as an argument"));
            }
            FunctionArguments::List(list) => list,
        };
        arguments.is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    arguments.expressions.push(expression);
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => arguments.is_star = true,
                other => return Err(SqlError::refused(format!("the argument {other}"))),
            }
        }
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(order_by) => arguments.order_by = order_by,
                other => return Err(SqlError::refused(format!("the clause {other}"))),
            }
        }
        Ok(arguments)
    }

    fn is_plain(&self) -> bool {
        !self.is_star && !self.is_distinct && self.order_by.is_empty()
    }
}

impl Compiler<'_> {
    pub(super) fn function(&self, function: &Function, scope: &Scope<'_>) -> Result<Typed> {
        let (_, name) = parse::place(&function.name)?;
        if !function.within_group.is_empty() {
            return Err(SqlError::refused("WITHIN GROUP"));
        }
        if function.null_treatment.is_some() {
            return Err(SqlError::refused("IGNORE NULLS"));
        }
        if let (FunctionArguments::Subquery(query), "array") = (&function.args, name.as_str()) {
            let (sql, column) = self.single_column(query, scope)?;
            let item = parse::quote(&column.sql_name);
            let array = format!("(SELECT coalesce(json_group_array({item}), '[]') FROM ({sql}))");
            return Ok(Typed::new(array, SqlType::array_of(column.ty.base)));
        }
        let arguments = Arguments::of(function)?;
        if let Some(over) = &function.over {
            return self.window_function(&name, &arguments.expressions, (function, over), scope);
        }
        if AGGREGATES.contains(&name.as_str()) {
            return self.aggregate(&name, &arguments, function.filter.as_deref(), scope);
        }
        if !arguments.is_plain() || function.filter.is_some() {
            return Err(SqlError::new(
                state::WRONG_OBJECT_TYPE,
                format!("{name} is not an aggregate function"),
            ));
        }
        if super::from::is_set_returning(&name) {
            return Err(SqlError::refused(format!(
                "{name}(), which returns rows, here"
            )));
        }
        let typed: Result<Vec<Typed>> = arguments
            .expressions
            .iter()
            .map(|argument| self.expression(argument, scope))
            .collect();
        self.call(&name, typed?)
    }

    /// A call of a function that is no aggregate.
    pub(super) fn call(&self, name: &str, arguments: Vec<Typed>) -> Result<Typed> {
        if let Some(done) = self.special(name, &arguments)? {
            return Ok(done);
        }
        if let Some(done) = self.system_function(name, &arguments)? {
            return Ok(done);
        }
        let types: Vec<SqlType> = arguments.iter().map(|argument| argument.ty).collect();
        let Some(signature) = best(name, &types) else {
            // A type's name is a function that casts to it.
            if let ([_], Some(ty)) = (types.as_slice(), SqlType::by_name(name))
                && let Some(value) = arguments.into_iter().next()
            {
                return self.cast(value, ty, Strength::Explicit);
            }
            return Err(undefined(name, &types));
        };
        if signature.is_volatile {
            self.needs_freedom(&format!("{name}()"))?;
        }
        let mut sql = signature.sql.to_owned();
        for (number, (value, base)) in arguments.into_iter().zip(signature.arguments).enumerate() {
            let value = self.cast(value, SqlType::of(*base), Strength::Assignment)?;
            sql = sql.replace(&format!("{{{number}}}"), &value.sql);
        }
        Ok(Typed::of(sql, signature.result))
    }

    /// Functions whose arguments may be of any type.
    fn special(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
        let list = |values: &[Typed]| -> String {
            let sql: Vec<&str> = values.iter().map(|value| value.sql.as_str()).collect();
            sql.join(", ")
        };
        let texts = |values: &[Typed]| -> Result<Vec<Typed>> {
            values
                .iter()
                .map(|value| self.cast(value.clone(), TEXT, Strength::Explicit))
                .collect()
        };
        Ok(Some(match (name, arguments) {
            ("coalesce", [_, ..]) => {
                let values = self.unify_all(arguments.to_vec(), "COALESCE")?;
                let ty = values.first().map_or(TEXT, |value| value.ty);
                match values.as_slice() {
                    [only] => only.clone(),
                    _ => Typed::new(format!("coalesce({})", list(&values)), ty),
                }
            }
            ("greatest" | "least", [_, ..]) => {
                let values = self.unify_all(arguments.to_vec(), "GREATEST/LEAST")?;
                let ty = values.first().map_or(TEXT, |value| value.ty);
                let items = values
                    .iter()
                    .map(|value| format!("SELECT {} AS v", value.sql));
                let items: Vec<String> = items.collect();
                let pick = if name == "greatest" { "max" } else { "min" };
                let value = Typed::new("v", ty).collated();
                Typed::new(
                    format!(
                        "(SELECT {pick}({value}) FROM ({}))",
                        items.join(" UNION ALL ")
                    ),
                    ty,
                )
            }
            ("nullif", [left, right]) => {
                let test = self.compare("=", left.clone(), right.clone())?;
                let value = if left.ty.is_unknown() {
                    self.cast(left.clone(), TEXT, Strength::Implicit)?
                } else {
                    left.clone()
                };
                Typed::new(
                    format!("(CASE WHEN {} THEN NULL ELSE {} END)", test.sql, value.sql),
                    value.ty,
                )
            }
            ("concat", [_, ..]) => {
                let values = texts(arguments)?;
                Typed::new(format!("pg_concat('', {})", list(&values)), TEXT)
            }
            ("concat_ws", [_, _, ..]) => {
                let values = texts(arguments)?;
                Typed::new(format!("pg_concat({})", list(&values)), TEXT)
            }
            ("pg_typeof", [value]) => {
                let ty = value.ty;
                Typed::new(ty.oid().to_string(), SqlType::of(Base::Regtype))
            }
            ("quote_nullable", [value]) => {
                let value = self.cast(value.clone(), TEXT, Strength::Explicit)?;
                Typed::new(
                    format!("coalesce(pg_quote_literal({}), 'NULL')", value.sql),
                    TEXT,
                )
            }
            ("to_json" | "to_jsonb", [value]) => Typed::of(
                self.document(value)?,
                if name == "to_json" {
                    Base::Json
                } else {
                    Base::Jsonb
                },
            ),
            ("json_build_object" | "jsonb_build_object", values) if values.len() % 2 == 0 => {
                self.build_object(name, values)?
            }
            ("json_build_array" | "jsonb_build_array", values) => {
                let values: Result<Vec<String>> =
                    values.iter().map(|value| self.document(value)).collect();
                let base = if name.starts_with("jsonb") {
                    Base::Jsonb
                } else {
                    Base::Json
                };
                let concat = values?.join(", ");
                Typed::of(
                    format!(
                        "pg_json_array({})",
                        if concat.is_empty() {
                            String::new()
                        } else {
                            concat
                        }
                    ),
                    base,
                )
            }
            _ => return self.array_function(name, arguments),
        }))
    }

    fn build_object(&self, name: &str, values: &[Typed]) -> Result<Typed> {
        let mut parts = Vec::new();
        for pair in values.chunks(2) {
            let [key, value] = pair else { continue };
            parts.push(self.cast(key.clone(), TEXT, Strength::Explicit)?.sql);
            parts.push(self.document(value)?);
        }
        let base = if name.starts_with("jsonb") {
            Base::Jsonb
        } else {
            Base::Json
        };
        Ok(Typed::of(
            format!("pg_json_object({})", parts.join(", ")),
            base,
        ))
    }

    /// A value as a document.
    fn document(&self, value: &Typed) -> Result<String> {
        let value = if value.ty.is_unknown() {
            self.cast(value.clone(), TEXT, Strength::Explicit)?
        } else {
            value.clone()
        };
        Ok(match value.ty.class() {
            Class::Json => value.sql,
            _ => format!("pg_to_json({}, {})", value.ty.oid(), value.sql),
        })
    }

    fn array_function(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
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
            ("array_append", [array, item]) => {
                let item = self.cast(item.clone(), element, Strength::Implicit)?;
                Typed::new(
                    format!(
                        "pg_array_concat({}, {})",
                        array.sql,
                        json_array(&[item.sql])
                    ),
                    ty,
                )
            }
            ("array_prepend", [item, array]) => {
                let item = self.cast(item.clone(), element, Strength::Implicit)?;
                Typed::new(
                    format!(
                        "pg_array_concat({}, {})",
                        json_array(&[item.sql]),
                        array.sql
                    ),
                    ty,
                )
            }
            ("array_cat", [left, right]) => self.operate("||", left.clone(), right.clone())?,
            ("array_remove", [array, item]) => {
                let item = self.cast(item.clone(), element, Strength::Implicit)?;
                Typed::new(format!("pg_array_remove({}, {})", array.sql, item.sql), ty)
            }
            ("array_position", [array, item]) => {
                let item = self.cast(item.clone(), element, Strength::Implicit)?;
                Typed::of(
                    format!("pg_array_position({}, {})", array.sql, item.sql),
                    Base::Int4,
                )
            }
            _ => return Ok(None),
        }))
    }

    fn aggregate(
        &self,
        name: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        self.needs_freedom("an aggregate")?;
        scope.enter_aggregate(name)?;
        let compiled = self.aggregate_parts(name, arguments, filter, scope);
        scope.leave_aggregate();
        compiled
    }

    fn aggregate_parts(
        &self,
        name: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let filter = match filter {
            Some(filter) => {
                let condition = self.condition(self.expression(filter, scope)?, "FILTER")?;
                format!(" FILTER (WHERE {})", condition.sql)
            }
            None => String::new(),
        };
        let mut order = Vec::new();
        for item in arguments.order_by {
            order.push(self.order_item(item, self.expression(&item.expr, scope)?)?);
        }
        let order = if order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", order.join(", "))
        };
        let mut values = Vec::new();
        for argument in &arguments.expressions {
            values.push(self.expression(argument, scope)?);
        }
        if arguments.is_star && name == "count" {
            return Ok(Typed::of(format!("count(*){filter}"), Base::Int8));
        }
        let distinct = if arguments.is_distinct {
            "DISTINCT "
        } else {
            ""
        };
        let (call, inner, ty, finish) = self.aggregate_call(name, values)?;
        if !distinct.is_empty() && inner.len() > 1 {
            return Err(SqlError::refused(format!(
                "{name}(DISTINCT …) of more than one argument"
            )));
        }
        let sql = format!("{call}({distinct}{}{order}){filter}", inner.join(", "));
        Ok(Typed::new(finish.replace("{}", &sql), ty))
    }

    /// What an aggregate is in SQLite: its name, its arguments, the type of
    /// its result, and what is done to it.
    pub(super) fn aggregate_call(
        &self,
        name: &str,
        mut values: Vec<Typed>,
    ) -> Result<(String, Vec<String>, SqlType, &'static str)> {
        let types: Vec<SqlType> = values.iter().map(|value| value.ty).collect();
        for value in &mut values {
            if value.ty.is_unknown() {
                *value = self.cast(value.clone(), TEXT, Strength::Implicit)?;
            }
        }
        let error = || undefined(name, &types);
        let first = values.first().ok_or_else(error)?.clone();
        let one =
            |call: &str, value: String, ty: SqlType| Ok((call.to_owned(), vec![value], ty, "{}"));
        let number = |call: &str| -> Result<_> {
            let class = first.ty.class();
            let (call, ty) = match (class, first.ty.base) {
                (Class::Integer, Base::Int8) => (format!("pg_{call}_int8"), Base::Numeric),
                (Class::Integer, _) if call == "sum" => ("sum".to_owned(), Base::Int8),
                (Class::Integer, _) => (format!("pg_{call}_int8"), Base::Numeric),
                (Class::Float, base) => {
                    let base = if call == "sum" { base } else { Base::Float8 };
                    (format!("pg_{call}_float"), base)
                }
                (Class::Numeric, _) => (format!("pg_{call}_numeric"), Base::Numeric),
                (Class::Interval, _) => (format!("pg_{call}_interval"), Base::Interval),
                _ => return Err(error()),
            };
            Ok((call, vec![first.sql.clone()], SqlType::of(ty), "{}"))
        };
        match (name, values.len()) {
            ("count", 1) => one("count", first.collated(), SqlType::of(Base::Int8)),
            ("sum", 1) => number("sum"),
            ("avg", 1) => number("avg"),
            ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", 1) => {
                let value =
                    self.cast(first.clone(), SqlType::of(Base::Float8), Strength::Implicit)?;
                let name = match name {
                    "stddev" => "stddev_samp",
                    "variance" => "var_samp",
                    other => other,
                };
                one(&format!("pg_{name}"), value.sql, SqlType::of(Base::Float8))
            }
            ("min" | "max", 1)
                if !matches!(first.ty.class(), Class::Json | Class::Bool | Class::Uuid) =>
            {
                one(name, first.collated(), first.ty)
            }
            ("bool_and" | "every", 1) => one(
                "min",
                self.condition(first, name)?.sql,
                SqlType::of(Base::Bool),
            ),
            ("bool_or", 1) => one(
                "max",
                self.condition(first, name)?.sql,
                SqlType::of(Base::Bool),
            ),
            ("string_agg", 2) if first.ty.class() == Class::Text => {
                let separator = values.get(1).ok_or_else(error)?.clone();
                let separator = self.cast(separator, TEXT, Strength::Implicit)?;
                Ok((
                    "string_agg".to_owned(),
                    vec![first.sql, separator.sql],
                    TEXT,
                    "{}",
                ))
            }
            ("array_agg", 1) if !first.ty.is_array && first.ty.base != Base::Bytea => {
                let ty = SqlType::array_of(first.ty.base);
                Ok((
                    "json_group_array".to_owned(),
                    vec![first.sql],
                    ty,
                    "nullif({}, '[]')",
                ))
            }
            ("json_agg" | "jsonb_agg", 1) => {
                let base = if name == "json_agg" {
                    Base::Json
                } else {
                    Base::Jsonb
                };
                one("pg_json_agg", self.document(&first)?, SqlType::of(base))
            }
            ("json_object_agg" | "jsonb_object_agg", 2) => {
                let base = if name == "json_object_agg" {
                    Base::Json
                } else {
                    Base::Jsonb
                };
                let key = self.cast(first, TEXT, Strength::Explicit)?;
                let value = self.document(values.get(1).ok_or_else(error)?)?;
                Ok((
                    "pg_json_object_agg".to_owned(),
                    vec![key.sql, value],
                    SqlType::of(base),
                    "{}",
                ))
            }
            _ => Err(error()),
        }
    }
}

/// The signature that fits arguments best.
fn best(name: &str, types: &[SqlType]) -> Option<&'static Signature> {
    let candidates = SIGNATURES
        .iter()
        .filter(|signature| signature.name == name && signature.arguments.len() == types.len());
    let mut best: Option<(usize, &Signature)> = None;
    for signature in candidates {
        let Some(score) = score(signature, types) else {
            continue;
        };
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, signature));
        }
    }
    best.map(|(_, signature)| signature)
}

/// How well arguments fit; none where they do not.
fn score(signature: &Signature, types: &[SqlType]) -> Option<usize> {
    let mut score = 0;
    for (&ty, &base) in types.iter().zip(signature.arguments) {
        let wanted = SqlType::of(base);
        score += match ty {
            _ if ty == wanted => 20,
            // PostgreSQL prefers text for what it does not know.
            _ if ty.is_unknown() && wanted.class() == Class::Text => 8,
            _ if ty.is_unknown() => 6,
            _ if !is_castable(ty, wanted, Strength::Implicit) => return None,
            // Among numbers and times the preferred type of the category.
            _ if matches!(base, Base::Float8 | Base::Timestamptz | Base::Text) => 5,
            _ => match (super::cast::rank(ty.base), super::cast::rank(base)) {
                (Some(from), Some(to)) => usize::from(4_u8.saturating_sub(to - from)),
                _ => 4,
            },
        };
    }
    Some(score)
}

/// The error of a function that is not.
pub(super) fn undefined(name: &str, types: &[SqlType]) -> SqlError {
    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
    SqlError::new(
        state::UNDEFINED_FUNCTION,
        format!("function {name}({}) does not exist", types.join(", ")),
    )
    .with_hint(
        "No function matches the given name and argument types. You might need to add explicit \
         type casts. mdbc has the functions that docs/sql.md lists.",
    )
}
