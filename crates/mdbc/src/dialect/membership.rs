//! `IN`.

use sqlparser::ast::{Expr, InTarget};

use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

const BOOL: SqlType = SqlType::of(Base::Bool);
const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    pub(super) fn membership(
        &self,
        left: &Expr,
        target: &InTarget,
        is_negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let not = if is_negated { " NOT" } else { "" };
        if let Expr::Tuple(lefts) = left {
            return self.row_membership(lefts, target, not, scope);
        }
        let left = self.expression(left, scope)?;
        match target {
            InTarget::List(items) => {
                let mut values = vec![left];
                for item in items {
                    values.push(self.expression(item, scope)?);
                }
                let values = self.unify_operands(values)?;
                let mut values = values.iter();
                let left = values.next().map(Typed::collated).unwrap_or_default();
                let items: Vec<&str> = values.map(|value| value.sql.as_str()).collect();
                Ok(Typed::new(
                    format!("({left}{not} IN ({}))", items.join(", ")),
                    BOOL,
                ))
            }
            InTarget::Subquery(query) => {
                let (sql, column) = self.single_column(query, scope)?;
                let inner = Typed::new(parse::quote(&column.sql_name), column.ty);
                let (left, right) = self.unify(left, inner, "=")?;
                let alias = parse::quote(&self.alias("in"));
                Ok(Typed::new(
                    format!(
                        "({}{not} IN (SELECT {} FROM ({sql}) AS {alias}))",
                        left.collated(),
                        right.sql
                    ),
                    BOOL,
                ))
            }
            _ => Err(SqlError::refused("this form of IN")),
        }
    }

    pub(super) fn unify_operands(&self, values: Vec<Typed>) -> Result<Vec<Typed>> {
        let first = values.first().map_or(TEXT, |value| value.ty);
        let other = values.iter().map(|value| value.ty).find(|ty| *ty != first);
        self.unify_all(values, "IN").map_err(|error| match other {
            Some(other) if error.state == state::DATATYPE_MISMATCH => {
                super::cast::no_operator("=", first, other)
            }
            _ => error,
        })
    }

    pub(super) fn row_membership(
        &self,
        lefts: &[Expr],
        target: &InTarget,
        not: &str,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let InTarget::List(rows) = target else {
            return Err(SqlError::refused("a row IN a subquery"));
        };
        let mut alternatives = Vec::new();
        for row in rows {
            let Expr::Tuple(rights) = row else {
                return Err(SqlError::refused("a row IN values that are no rows"));
            };
            alternatives.push(self.row_equality(lefts, rights, scope)?);
        }
        let not = not.trim();
        Ok(Typed::new(
            format!("({not} ({}))", alternatives.join(" OR ")),
            BOOL,
        ))
    }

    /// `(a, b) = (c, d)`.
    pub(super) fn row_equality(
        &self,
        lefts: &[Expr],
        rights: &[Expr],
        scope: &Scope<'_>,
    ) -> Result<String> {
        if lefts.len() != rights.len() || lefts.is_empty() {
            return Err(SqlError::new(
                state::SYNTAX_ERROR,
                "unequal number of entries in row expressions",
            ));
        }
        let mut tests = Vec::new();
        for (left, right) in lefts.iter().zip(rights) {
            let left = self.expression(left, scope)?;
            let right = self.expression(right, scope)?;
            tests.push(self.compare("=", left, right)?.sql);
        }
        Ok(format!("({})", tests.join(" AND ")))
    }
}
