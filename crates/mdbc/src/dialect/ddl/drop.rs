//! `DROP` and `COMMENT`.

use std::sync::Arc;

use sqlparser::ast::{CommentObject, ObjectName, ObjectType};

use super::Editor;
use crate::catalog::schema::{Relation, TableKind};
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn drop(
        &mut self,
        ty: ObjectType,
        name: &ObjectName,
        if_exists: bool,
        cascades: bool,
    ) -> Result<()> {
        let (_, last) = parse::place(name)?;
        let noun = match ty {
            ObjectType::Table => "table",
            ObjectType::View => "view",
            ObjectType::Sequence => "sequence",
            _ => "index",
        };
        let found = self.relation(&last).cloned();
        let is_dropped = match (ty, &found) {
            (ObjectType::Table, Some(Relation::Table(_))) => {
                self.drop_table(&last, cascades)?;
                true
            }
            (ObjectType::View, Some(Relation::View(_))) => {
                self.drop_view(&last, cascades)?;
                true
            }
            (ObjectType::Sequence, Some(Relation::Sequence(sequence))) => {
                if let Some((table, column)) = &sequence.owner
                    && self.relation(table).is_some()
                {
                    return Err(SqlError::new(
                        state::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!(
                            "cannot drop sequence {last} because column {column} of table \
                             {table} requires it"
                        ),
                    ));
                }
                self.change.removed.push(last.clone());
                self.change.put.retain(|relation| relation.name() != last);
                true
            }
            (ObjectType::Index, None) => self.drop_index(&last)?,
            (_, Some(other)) => {
                return Err(SqlError::new(
                    state::WRONG_OBJECT_TYPE,
                    format!("\"{last}\" is not a {noun}, but a {}", other.noun()),
                ));
            }
            (_, None) => false,
        };
        if !is_dropped {
            if !if_exists {
                let code = if noun == "index" {
                    state::UNDEFINED_OBJECT
                } else {
                    state::UNDEFINED_TABLE
                };
                return Err(SqlError::new(
                    code,
                    format!("{noun} \"{last}\" does not exist"),
                ));
            }
            self.change
                .notices
                .push(format!("{noun} \"{last}\" does not exist, skipping"));
        }
        Ok(())
    }

    fn drop_table(&mut self, name: &str, cascades: bool) -> Result<()> {
        let views = self.views_of(name)?;
        let children: Vec<String> = self
            .schema()
            .children(name)
            .map(|(table, _)| table.name.clone())
            .filter(|child| child != name && self.relation(child).is_some())
            .collect();
        if !cascades && let Some(other) = views.first().or(children.first()) {
            return Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop table {name} because other objects depend on it"),
            )
            .with_detail(format!("{other} depends on table {name}."))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for view in views {
            self.drop_view(&view, true)?;
        }
        for child in children {
            let Some(Relation::Table(child)) = self.relation(&child) else {
                continue;
            };
            let mut child = (**child).clone();
            child.foreign_keys.retain(|key| key.parent != name);
            self.rewrite(&child)?;
            self.put(Relation::Table(Arc::new(child)));
        }
        // Dropping deletes the rows, whose triggers must not tell of it.
        if let Some(Relation::Table(table)) = self.relation(name).cloned() {
            self.drop_triggers(&table);
            if table.kind == TableKind::Eventual {
                for kept in ["mdbc_stamps", "mdbc_missing"] {
                    self.change
                        .sql
                        .push(format!("DELETE FROM {kept} WHERE relation = {}", table.oid));
                }
            }
        }
        self.change.sql.push(format!("DROP TABLE {}", quote(name)));
        let own = self.schema().relations().filter(|relation| match relation {
            Relation::Sequence(sequence) => sequence
                .owner
                .as_ref()
                .is_some_and(|(owner, _)| owner == name),
            _ => false,
        });
        let own: Vec<String> = own.map(|relation| relation.name().to_owned()).collect();
        self.change.put.retain(|relation| {
            relation.name() != name && !own.iter().any(|own| own == relation.name())
        });
        self.change.removed.push(name.to_owned());
        self.change.removed.extend(own);
        Ok(())
    }

    fn drop_view(&mut self, name: &str, cascades: bool) -> Result<()> {
        if self.relation(name).is_none() {
            return Ok(());
        }
        let mut others = Vec::new();
        for relation in self.schema().relations() {
            if let Relation::View(view) = relation
                && view.name != name
                && self.relation(&view.name).is_some()
                && super::mentions(&view.query, name)?
            {
                others.push(view.name.clone());
            }
        }
        if !cascades && let Some(other) = others.first() {
            return Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop view {name} because view {other} depends on it"),
            )
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        self.change.removed.push(name.to_owned());
        self.change.put.retain(|relation| relation.name() != name);
        for other in others {
            self.drop_view(&other, true)?;
        }
        Ok(())
    }

    pub(super) fn comment(
        &mut self,
        ty: CommentObject,
        name: &ObjectName,
        comment: Option<&str>,
    ) -> Result<()> {
        let comment = comment.map(str::to_owned);
        match ty {
            CommentObject::Table => {
                let mut table = self.table(name)?;
                table.comment = comment;
                self.put(Relation::Table(Arc::new(table)));
            }
            CommentObject::Column => {
                let mut parts = name.0.clone();
                let column = parts
                    .pop()
                    .and_then(|part| part.as_ident().map(parse::fold))
                    .unwrap_or_default();
                let mut table = self.table(&ObjectName(parts))?;
                crate::dialect::insert::column_of(&table, &column)?;
                for own in table.columns.iter_mut().filter(|own| own.name == column) {
                    own.comment.clone_from(&comment);
                }
                self.put(Relation::Table(Arc::new(table)));
            }
            CommentObject::View => {
                let (_, last) = parse::place(name)?;
                let Some(Relation::View(view)) = self.relation(&last) else {
                    return Err(super::super::from::undefined_table(name));
                };
                let mut view = (**view).clone();
                view.comment = comment;
                self.put(Relation::View(Arc::new(view)));
            }
            other => return Err(SqlError::refused(format!("COMMENT ON {other}"))),
        }
        Ok(())
    }
}
