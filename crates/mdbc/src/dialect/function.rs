//! Calls of functions and aggregates.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments,
};

use super::aggregate::AGGREGATES;
use super::cast::{Strength, is_castable};
use super::scope::Scope;
use super::signatures::{SIGNATURES, Signature};
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, Class, SqlType};

const TEXT: SqlType = SqlType::of(Base::Text);

/// The arguments of a call, taken apart.
pub(super) struct Arguments<'a> {
    pub(super) expressions: Vec<&'a Expr>,
    pub(super) is_star: bool,
    pub(super) is_distinct: bool,
    pub(super) order_by: &'a [sqlparser::ast::OrderByExpr],
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
        if super::row_functions::is_set_returning(&name) {
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
            ("greatest" | "least", [_, ..]) => self.extreme(name, arguments)?,
            ("nullif", [left, right]) => self.nullif(left, right)?,
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
            _ => match self.json_function(name, arguments)? {
                Some(value) => value,
                None => return self.array_function(name, arguments),
            },
        }))
    }

    /// The greatest or the least that is not null.
    fn extreme(&self, name: &str, arguments: &[Typed]) -> Result<Typed> {
        let values = self.unify_all(arguments.to_vec(), "GREATEST/LEAST")?;
        let ty = values.first().map_or(TEXT, |value| value.ty);
        let items = values
            .iter()
            .map(|value| format!("SELECT {} AS v", value.sql));
        let items: Vec<String> = items.collect();
        let pick = if name == "greatest" { "max" } else { "min" };
        let value = Typed::new("v", ty).collated();
        let rows = items.join(" UNION ALL ");
        Ok(Typed::new(
            format!("(SELECT {pick}({value}) FROM ({rows}))"),
            ty,
        ))
    }

    fn nullif(&self, left: &Typed, right: &Typed) -> Result<Typed> {
        let test = self.compare("=", left.clone(), right.clone())?;
        let value = if left.ty.is_unknown() {
            self.cast(left.clone(), TEXT, Strength::Implicit)?
        } else {
            left.clone()
        };
        let sql = format!("(CASE WHEN {} THEN NULL ELSE {} END)", test.sql, value.sql);
        Ok(Typed::new(sql, value.ty))
    }

    fn json_function(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
        Ok(Some(match (name, arguments) {
            ("to_json" | "to_jsonb", [value]) => Typed::of(self.document(value)?, json_base(name)),
            ("json_build_object" | "jsonb_build_object", values) if values.len() % 2 == 0 => {
                self.build_object(name, values)?
            }
            ("json_build_array" | "jsonb_build_array", values) => {
                let values: Result<Vec<String>> =
                    values.iter().map(|value| self.document(value)).collect();
                let sql = format!("pg_json_array({})", values?.join(", "));
                Typed::of(sql, json_base(name))
            }
            _ => return Ok(None),
        }))
    }

    fn build_object(&self, name: &str, values: &[Typed]) -> Result<Typed> {
        let mut parts = Vec::new();
        for pair in values.chunks(2) {
            let [key, value] = pair else { continue };
            parts.push(self.cast(key.clone(), TEXT, Strength::Explicit)?.sql);
            parts.push(self.document(value)?);
        }
        let base = json_base(name);
        Ok(Typed::of(
            format!("pg_json_object({})", parts.join(", ")),
            base,
        ))
    }

    /// A value as a document.
    pub(super) fn document(&self, value: &Typed) -> Result<String> {
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
}

/// The type that a function's name says its documents have.
pub(super) fn json_base(name: &str) -> Base {
    if name.contains("jsonb") {
        Base::Jsonb
    } else {
        Base::Json
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
