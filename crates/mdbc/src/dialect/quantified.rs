//! `ANY` and `ALL`.

use sqlparser::ast::{BinaryOperator, Expr};

use super::cast::Strength;
use super::operator::spelling;
use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

const BOOL: SqlType = SqlType::of(Base::Bool);
const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    /// `left operator ANY (array or subquery)`.
    pub(super) fn any(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let quantified = self.quantified(left, operator, right, scope)?;
        Ok(quantified.answer("=", "IN", ("max", 1, 0)))
    }

    /// `left operator ALL (array or subquery)`.
    pub(super) fn all(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let quantified = self.quantified(left, operator, right, scope)?;
        Ok(quantified.answer("<>", "NOT IN", ("min", 0, 1)))
    }

    fn quantified(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Quantified> {
        let operator = spelling(operator)?;
        let left = self.expression(left, scope)?;
        let alias = parse::quote(&self.alias("any"));
        let (item, from, array) = if let Expr::Subquery(query) = right {
            let (sql, column) = self.single_column(query, scope)?;
            let item = Typed::new(
                format!("{alias}.{}", parse::quote(&column.sql_name)),
                column.ty,
            );
            (item, format!("({sql}) AS {alias}"), None)
        } else {
            let mut array = self.expression(right, scope)?;
            if array.ty.is_unknown() {
                let element = if left.ty.is_unknown() { TEXT } else { left.ty };
                array = self.cast(array, SqlType::array_of(element.base), Strength::Implicit)?;
            }
            let Some(element) = array.ty.element() else {
                return Err(SqlError::new(
                    state::WRONG_OBJECT_TYPE,
                    "op ANY/ALL (array) requires array on right side",
                ));
            };
            let item = Typed::new(format!("{alias}.value"), element);
            (
                item,
                format!("json_each({}) AS {alias}", array.sql),
                Some(array.sql),
            )
        };
        let test = self.operate(&operator, left.clone(), item.clone())?.sql;
        let (left, item) = if matches!(operator.as_str(), "=" | "<>") {
            self.unify(left, item, &operator)?
        } else {
            (left, item)
        };
        Ok(Quantified {
            operator,
            left: left.collated(),
            item: item.sql,
            test,
            from,
            array,
        })
    }
}

/// A test over the rows of something.
struct Quantified {
    operator: String,
    left: String,
    item: String,
    test: String,
    from: String,
    array: Option<String>,
}

impl Quantified {
    /// The answer, null where it depends on a null. `listed` is what SQLite has
    /// for `operator`, which finds rows by an index.
    fn answer(
        self,
        operator: &str,
        listed: &str,
        (extreme, found, otherwise): (&str, u8, u8),
    ) -> Typed {
        let Self {
            left,
            item,
            test,
            from,
            ..
        } = &self;
        let sql = if self.operator == operator {
            format!("({left} {listed} (SELECT {item} FROM {from}))")
        } else {
            format!(
                "(SELECT CASE WHEN {extreme}(t) = {found} THEN {found} WHEN count(*) > count(t) \
                 THEN NULL ELSE {otherwise} END FROM (SELECT {test} AS t FROM {from}))"
            )
        };
        let sql = match &self.array {
            Some(array) => format!("(CASE WHEN {array} IS NOT NULL THEN {sql} END)"),
            None => sql,
        };
        Typed::new(sql, BOOL)
    }
}
