//! Joins, and the columns that they merge.

use sqlparser::ast::{Join, JoinConstraint, JoinOperator, TableWithJoins};

use super::scope::{Scope, Source, SourceColumn};
use super::{Compiler, parse};
use crate::error::{Result, SqlError, state};

impl Compiler<'_> {
    pub(super) fn joined(&self, item: &TableWithJoins, scope: &mut Scope<'_>) -> Result<String> {
        let first = scope.sources.len();
        let mut sql = self.factor(&item.relation, scope)?;
        let mut is_outer = false;
        for join in &item.joins {
            let (joined, may_lack_left) = self.join(&sql, join, first, scope)?;
            sql = joined;
            is_outer |= may_lack_left;
        }
        // What is joined so must be one for SQLite, whatever stands beside it.
        Ok(if is_outer { format!("({sql})") } else { sql })
    }

    fn join(
        &self,
        left: &str,
        join: &Join,
        first: usize,
        scope: &mut Scope<'_>,
    ) -> Result<(String, bool)> {
        let middle = scope.sources.len();
        let right = self.factor(&join.relation, scope)?;
        let none = &JoinConstraint::None;
        let (word, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                ("JOIN", constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT JOIN", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT JOIN", constraint)
            }
            JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
            JoinOperator::CrossJoin(JoinConstraint::None) => ("CROSS JOIN", none),
            other => return Err(SqlError::refused(format!("the join {other:?}"))),
        };
        let on = match constraint {
            JoinConstraint::None => None,
            JoinConstraint::On(condition) => {
                let value = self.expression(condition, scope)?;
                self.narrow(condition, scope, &narrowed(word, first, middle));
                Some(self.condition(value, "JOIN/ON")?.sql)
            }
            JoinConstraint::Using(names) => {
                let names: Result<Vec<String>> =
                    names.iter().map(|name| Ok(parse::place(name)?.1)).collect();
                self.merge(&names?, word, (first, middle), scope)?
            }
            JoinConstraint::Natural => {
                let names = shared_names(scope, first, middle);
                self.merge(&names, word, (first, middle), scope)?
            }
            JoinConstraint::UsingAlias(..) => return Err(SqlError::refused("USING with an alias")),
        };
        let on = match (on, word) {
            (Some(condition), _) => format!(" ON {condition}"),
            (None, "CROSS JOIN" | "JOIN") => String::new(),
            (None, _) => " ON 1".to_owned(),
        };
        let is_outer = matches!(word, "RIGHT JOIN" | "FULL JOIN");
        Ok((format!("{left} {word} {right}{on}"), is_outer))
    }

    /// Columns of both sides that become one.
    fn merge(
        &self,
        names: &[String],
        word: &str,
        (first, middle): (usize, usize),
        scope: &mut Scope<'_>,
    ) -> Result<Option<String>> {
        let mut tests = Vec::new();
        for name in names {
            let (lefts, rights) = scope.sources.split_at(middle);
            let merged = scope.merged.iter().find(|column| column.name == *name);
            let left = match merged {
                Some(merged) => merged.clone(),
                None => find(lefts.get(first..).unwrap_or_default(), name)?.clone(),
            };
            let right = find(rights, name)?.clone();
            let (left_value, right_value) = self.unify(left.typed(), right.typed(), "=")?;
            tests.push(format!("({} = {})", left_value.collated(), right_value.sql));
            self.equate(
                scope.place_of(&left.sql),
                scope.place_of(&right.sql),
                &narrowed(word, first, middle),
            );
            let sql = match word {
                "RIGHT JOIN" => right_value.sql,
                "FULL JOIN" => format!("coalesce({}, {})", left_value.sql, right_value.sql),
                _ => left_value.sql,
            };
            let column = SourceColumn {
                ty: left_value.ty,
                sql,
                is_merged: false,
                ..left
            };
            for source in scope.sources.iter_mut().skip(first) {
                for own in source.columns.iter_mut().filter(|own| own.name == *name) {
                    own.is_merged = true;
                }
            }
            scope.merged.retain(|column| column.name != *name);
            scope.merged.push(column);
        }
        Ok((!tests.is_empty()).then(|| tests.join(" AND ")))
    }
}

/// The sources whose rows a join leaves out where its condition does not hold, by
/// their numbers.
fn narrowed(word: &str, first: usize, middle: usize) -> impl Fn(usize) -> bool {
    let (left, right) = match word {
        "LEFT JOIN" => (false, true),
        "RIGHT JOIN" => (true, false),
        "FULL JOIN" => (false, false),
        _ => (true, true),
    };
    move |source| source >= first && if source < middle { left } else { right }
}

fn find<'s>(sources: &'s [Source], name: &str) -> Result<&'s SourceColumn> {
    let mut found = sources
        .iter()
        .flat_map(|source| &source.columns)
        .filter(|column| column.name == name && !column.is_merged);
    match (found.next(), found.next()) {
        (Some(column), None) => Ok(column),
        (Some(_), Some(_)) => Err(SqlError::new(
            state::AMBIGUOUS_COLUMN,
            format!("common column name \"{name}\" appears more than once"),
        )),
        (None, _) => Err(SqlError::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{name}\" specified in USING clause does not exist"),
        )),
    }
}

fn shared_names(scope: &Scope<'_>, first: usize, middle: usize) -> Vec<String> {
    let (lefts, rights) = scope.sources.split_at(middle);
    let lefts: Vec<&SourceColumn> = lefts
        .iter()
        .skip(first)
        .flat_map(|source| &source.columns)
        .collect();
    let rights = rights.iter().flat_map(|source| &source.columns);
    rights
        .filter(|right| lefts.iter().any(|left| left.name == right.name))
        .map(|right| right.name.clone())
        .collect()
}
