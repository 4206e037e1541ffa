//! What conditions say of the rows of tables: which of them a statement can
//! touch. What is not understood says nothing.
//!
//! A condition is taken apart where `AND` joins it. What is left out by one side
//! of a `WHERE` or of a join cannot change the result, whatever it is. Names are
//! looked up as the rest of the statement does it, so that nothing is taken for
//! another table's column.

use sqlparser::ast::{BinaryOperator, DataType, Expr, InTarget, UnaryOperator, Value as Constant};

use super::scope::{Scope, Source, SourceColumn};
use super::{Compiler, parse, resolve_type};
use crate::catalog::schema::Column;
use crate::ranges::plan::{Fact, Operand, Place, Side, TouchId};
use crate::ranges::{Key, is_kin, is_ordered};
use crate::types::{Base, Class, SqlType, text};

/// A column of a table's rows, and how it stands to the scope that knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    place: Place,
    ty: SqlType,
    /// The number of the source in its own scope; none for one of a query around.
    source: Option<usize>,
}

impl Scope<'_> {
    /// The column of a table that an expression is.
    fn found(&self, expression: &Expr) -> Option<Found> {
        match expression {
            Expr::Nested(inner) => self.found(inner),
            Expr::Identifier(name) => self.found_by_name(&parse::fold(name)),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [alias, name] => self.found_in(&parse::fold(alias), &parse::fold(name)),
                _ => None,
            },
            _ => None,
        }
    }

    fn found_by_name(&self, name: &str) -> Option<Found> {
        if let Some(merged) = self.merged.iter().find(|column| column.name == name) {
            return self.place_of(&merged.sql);
        }
        let named = |column: &&SourceColumn| column.name == name && !column.is_merged;
        let has = |source: &Source| source.columns.iter().any(|own| named(&own));
        let Some(at) = self.sources.iter().position(has) else {
            return around(self.parent?.found_by_name(name));
        };
        let column = self.sources.get(at)?.columns.iter().find(named)?;
        self.at(at, column)
    }

    fn found_in(&self, alias: &str, name: &str) -> Option<Found> {
        let named = |source: &Source| source.alias == alias;
        let Some(at) = self.sources.iter().position(named) else {
            return around(self.parent?.found_in(alias, name));
        };
        let mut columns = self.sources.get(at)?.columns.iter();
        self.at(at, columns.find(|column| column.name == name)?)
    }

    /// The column of a source here that is written so for SQLite.
    pub(super) fn place_of(&self, sql: &str) -> Option<Found> {
        self.sources.iter().enumerate().find_map(|(at, source)| {
            let column = source.columns.iter().find(|column| column.sql == sql)?;
            self.at(at, column)
        })
    }

    fn at(&self, source: usize, column: &SourceColumn) -> Option<Found> {
        let alias = &self.sources.get(source)?.alias;
        let (_, touch) = self.touches.iter().find(|(own, _)| own == alias)?;
        let (_, number) = column.origin?;
        Some(Found {
            place: Place {
                touch: *touch,
                column: number,
            },
            ty: column.ty,
            source: Some(source),
        })
    }
}

/// What a query around knows is not narrowed by what is within.
fn around(found: Option<Found>) -> Option<Found> {
    let source = None;
    found.map(|found| Found { source, ..found })
}

impl Compiler<'_> {
    /// Notes what a condition says of sources that are `narrowed` by it.
    pub(super) fn narrow(
        &self,
        condition: &Expr,
        scope: &Scope<'_>,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        if !self.schema().has_ranges() {
            return;
        }
        match condition {
            Expr::Nested(inner) => self.narrow(inner, scope, narrowed),
            Expr::BinaryOp { left, op, right } if *op == BinaryOperator::And => {
                self.narrow(left, scope, narrowed);
                self.narrow(right, scope, narrowed);
            }
            Expr::BinaryOp { left, op, right } => match (&**left, &**right) {
                (Expr::Tuple(lefts), Expr::Tuple(rights)) if *op == BinaryOperator::Eq => {
                    for (left, right) in lefts.iter().zip(rights) {
                        self.narrow_by((left, op, right), scope, narrowed);
                    }
                }
                _ => self.narrow_by((left, op, right), scope, narrowed),
            },
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => {
                self.narrow_by((expr, &BinaryOperator::GtEq, low), scope, narrowed);
                self.narrow_by((expr, &BinaryOperator::LtEq, high), scope, narrowed);
            }
            Expr::In {
                expr,
                target: InTarget::List(items),
                negated: false,
                ..
            } => self.narrow_to_list((expr, items), scope, narrowed),
            _ => {}
        }
    }

    /// Of what is compared, either side may be a column.
    fn narrow_by(
        &self,
        (left, operator, right): (&Expr, &BinaryOperator, &Expr),
        scope: &Scope<'_>,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        if *operator == BinaryOperator::Or {
            return self.narrow_to_either(left, right, scope, narrowed);
        }
        let (found, other) = (scope.found(left), scope.found(right));
        match (found, other) {
            (Some(_), Some(_)) if *operator == BinaryOperator::Eq => {
                self.equate(found, other, narrowed);
            }
            (Some(found), None) => self.compare_with(found, operator, right, narrowed),
            (None, Some(other)) => {
                if let Some(operator) = turned(operator) {
                    self.compare_with(other, &operator, left, narrowed);
                }
            }
            _ => {}
        }
    }

    fn compare_with(
        &self,
        found: Found,
        operator: &BinaryOperator,
        value: &Expr,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        let Some(operand) = self.operand(value, found.ty).filter(|_| found.is(narrowed)) else {
            return;
        };
        let side = match operator {
            BinaryOperator::Eq => return self.note(Fact::OneOf(found.place, vec![operand])),
            BinaryOperator::Lt => Side::Below,
            BinaryOperator::LtEq => Side::AtMost,
            BinaryOperator::Gt => Side::Above,
            BinaryOperator::GtEq => Side::AtLeast,
            _ => return,
        };
        self.note(Fact::Beside(found.place, side, operand));
    }

    /// Notes that two columns are equal.
    pub(super) fn equate(
        &self,
        left: Option<Found>,
        right: Option<Found>,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        if !is_kin(left.ty, right.ty) {
            return;
        }
        for (from, to) in [(left, right), (right, left)] {
            if to.is(narrowed) {
                let (from, to) = (from.place, to.place);
                self.note(Fact::Same { from, to });
            }
        }
    }

    /// `column IN (…)`, `(column, …) IN ((…), …)`.
    fn narrow_to_list(
        &self,
        (left, items): (&Expr, &[Expr]),
        scope: &Scope<'_>,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        if let Expr::Tuple(lefts) = left {
            for (at, left) in lefts.iter().enumerate() {
                let column = items.iter().map(|item| match item {
                    Expr::Tuple(values) => values.get(at),
                    _ => None,
                });
                if let Some(column) = column.collect::<Option<Vec<&Expr>>>() {
                    self.narrow_to(scope.found(left), &column, narrowed);
                }
            }
            return;
        }
        let items: Vec<&Expr> = items.iter().collect();
        self.narrow_to(scope.found(left), &items, narrowed);
    }

    fn narrow_to(&self, found: Option<Found>, values: &[&Expr], narrowed: &dyn Fn(usize) -> bool) {
        let Some(found) = found.filter(|found| found.is(narrowed)) else {
            return;
        };
        let operands = values.iter().map(|value| self.operand(value, found.ty));
        if let Some(operands) = operands.collect() {
            self.note(Fact::OneOf(found.place, operands));
        }
    }

    /// `column = … OR column = …`, of one column.
    fn narrow_to_either(
        &self,
        left: &Expr,
        right: &Expr,
        scope: &Scope<'_>,
        narrowed: &dyn Fn(usize) -> bool,
    ) {
        let mut values = Vec::new();
        let mut column = None;
        let is_list = [left, right]
            .into_iter()
            .all(|side| alternatives(side, scope, &mut column, &mut values));
        if is_list {
            self.narrow_to(column, &values, narrowed);
        }
    }

    pub(super) fn note(&self, fact: Fact) {
        self.ranges.borrow_mut().note(fact);
    }

    /// A value that is known when the statement runs, as one of a column's type.
    pub(super) fn operand(&self, value: &Expr, ty: SqlType) -> Option<Operand> {
        if !is_ordered(ty) {
            return None;
        }
        match value {
            Expr::Nested(inner) => self.operand(inner, ty),
            Expr::Value(value) => self.constant_operand(&value.value, ty, ""),
            Expr::TypedString(typed) => {
                as_kin(&typed.data_type, ty)?;
                self.constant_operand(&typed.value.value, ty, "")
            }
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => match &**expr {
                Expr::Value(value) if matches!(value.value, Constant::Number(..)) => {
                    self.constant_operand(&value.value, ty, "-")
                }
                _ => None,
            },
            Expr::Cast {
                expr,
                data_type,
                format: None,
                ..
            } => {
                as_kin(data_type, ty)?;
                self.operand(expr, ty)
            }
            _ => None,
        }
    }

    fn constant_operand(&self, value: &Constant, ty: SqlType, sign: &str) -> Option<Operand> {
        let constant = match value {
            Constant::Null => return Some(Operand::Null),
            Constant::Placeholder(name) if sign.is_empty() => {
                let number: usize = name.strip_prefix('$')?.parse().ok()?;
                return Some(Operand::Parameter(number.checked_sub(1)?, ty));
            }
            Constant::Number(digits, _) if ty.class() == Class::Integer => {
                format!("{sign}{digits}")
            }
            Constant::SingleQuotedString(text) => text.clone(),
            _ => return None,
        };
        // An integer of any width is compared as the widest.
        let wide = match ty.class() {
            Class::Integer => SqlType::of(Base::Int8),
            _ => ty,
        };
        let value = text::parse(wide, &constant, self.environment.look).ok()?;
        Key::of(value).map(Operand::Key)
    }

    /// What a column is given: none where that is not what is stored, or not
    /// known before the statement runs.
    pub(super) fn given(&self, value: &Expr, column: &Column) -> Option<Operand> {
        self.operand(value, column.ty)
            .filter(|_| column.modifier < 0)
    }

    /// The rows of a table that a statement touches; none where no table has
    /// ranges.
    pub(super) fn touch(&self, table: &str, is_write: bool) -> Option<TouchId> {
        if !self.schema().has_ranges() {
            return None;
        }
        let table = self.schema().table(table)?;
        let mut ranges = self.ranges.borrow_mut();
        Some(ranges.touch(std::sync::Arc::clone(table), is_write))
    }
}

impl Found {
    fn is(&self, narrowed: &dyn Fn(usize) -> bool) -> bool {
        self.source.is_some_and(narrowed)
    }
}

/// A cast that leaves a value of a column's type as it is.
fn as_kin(data_type: &DataType, ty: SqlType) -> Option<()> {
    let (cast, modifier) = resolve_type(data_type).ok()?;
    (modifier < 0 && is_kin(cast, ty)).then_some(())
}

/// The operator with its sides turned.
fn turned(operator: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match operator {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}

/// Whether an expression says that one column has one of some values, the same
/// column as was found before.
fn alternatives<'e>(
    expression: &'e Expr,
    scope: &Scope<'_>,
    column: &mut Option<Found>,
    values: &mut Vec<&'e Expr>,
) -> bool {
    let mut is_same = |expression: &Expr| match (scope.found(expression), &column) {
        (Some(found), Some(known)) => found.place == known.place,
        (Some(found), None) => {
            *column = Some(found);
            true
        }
        (None, _) => false,
    };
    match expression {
        Expr::Nested(inner) => alternatives(inner, scope, column, values),
        Expr::BinaryOp { left, op, right } if *op == BinaryOperator::Or => {
            alternatives(left, scope, column, values) && alternatives(right, scope, column, values)
        }
        Expr::BinaryOp { left, op, right } if *op == BinaryOperator::Eq => {
            values.push(right);
            is_same(left)
        }
        Expr::In {
            expr,
            target: InTarget::List(items),
            negated: false,
            ..
        } => {
            values.extend(items);
            is_same(expr)
        }
        _ => false,
    }
}
