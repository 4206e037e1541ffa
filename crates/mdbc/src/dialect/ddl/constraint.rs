//! Keys, checks, foreign keys.

use sqlparser::ast::{
    CheckConstraint, ConstraintCharacteristics, DeferrableInitial, Expr, ForeignKeyConstraint,
    Ident, IndexColumn, NullsDistinctOption, PrimaryKeyConstraint, ReferentialAction,
    TableConstraint, UniqueConstraint,
};

use super::{Editor, eventual, owned};
use crate::catalog::schema::{
    Action, Check, ForeignKey, Index, IndexPart, PrimaryKey, Relation, Table, TableKind,
};
use crate::dialect::insert::column_of;
use crate::dialect::{Compiler, parse};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn add_constraint(
        &mut self,
        table: &mut Table,
        constraint: &TableConstraint,
    ) -> Result<()> {
        match constraint {
            TableConstraint::PrimaryKey(key) => self.add_primary_key(table, key),
            TableConstraint::Unique(unique) => self.add_unique(table, unique),
            TableConstraint::Check(check) => self.add_check(table, check),
            TableConstraint::ForeignKey(key) => self.add_foreign_key(table, key),
            other => Err(SqlError::refused(format!("the constraint {other}"))),
        }
    }

    /// The name that a constraint gets.
    fn constraint_name(
        &self,
        table: &Table,
        given: Option<&Ident>,
        parts: &[&str],
        suffix: &str,
    ) -> Result<String> {
        let own: Vec<String> = table.constraint_names().map(str::to_owned).collect();
        let Some(given) = given else {
            return Ok(self.free_name(parts, suffix, &own));
        };
        let name = parse::fold(given);
        super::check_name(&name)?;
        if own.contains(&name) {
            return Err(SqlError::new(
                state::DUPLICATE_OBJECT,
                format!(
                    "constraint \"{name}\" for relation \"{}\" already exists",
                    table.name
                ),
            ));
        }
        Ok(name)
    }

    fn add_primary_key(&mut self, table: &mut Table, key: &PrimaryKeyConstraint) -> Result<()> {
        refuse_deferral(key.characteristics.as_ref(), "PRIMARY KEY")?;
        if table.primary_key.is_some() {
            return Err(SqlError::new(
                state::INVALID_TABLE_DEFINITION,
                format!(
                    "multiple primary keys for table \"{}\" are not allowed",
                    table.name
                ),
            ));
        }
        let columns = column_names(table, &key.columns)?;
        for column in table
            .columns
            .iter_mut()
            .filter(|column| columns.contains(&column.name))
        {
            column.is_not_null = true;
        }
        let name =
            self.constraint_name(table, key.name.as_ref(), &[&table.name.clone()], "pkey")?;
        if self.is_taken(&name) {
            return Err(super::duplicate(&name));
        }
        table.primary_key = Some(PrimaryKey {
            oid: self.oid(),
            index_oid: self.oid(),
            name,
            columns,
        });
        Ok(())
    }

    fn add_unique(&mut self, table: &mut Table, unique: &UniqueConstraint) -> Result<()> {
        refuse_deferral(unique.characteristics.as_ref(), "UNIQUE")?;
        eventual::refuse(table, "UNIQUE", eventual::BEYOND_A_ROW)?;
        if !unique.include.is_empty() || unique.nulls_distinct == NullsDistinctOption::NotDistinct {
            return Err(SqlError::refused("INCLUDE or NULLS NOT DISTINCT"));
        }
        let columns = column_names(table, &unique.columns)?;
        let mut parts: Vec<&str> = vec![&table.name];
        parts.extend(columns.iter().map(String::as_str));
        let name = self.constraint_name(table, unique.name.as_ref(), &parts, "key")?;
        if self.is_taken(&name) {
            return Err(super::duplicate(&name));
        }
        let parts = columns.iter().map(|column| IndexPart {
            column: Some(column.clone()),
            expression: parse::quote_if_needed(column),
            is_descending: false,
            is_nulls_first: false,
        });
        let index = Index {
            parts: parts.collect(),
            oid: self.oid(),
            name,
            is_unique: true,
            constraint: Some(self.oid()),
            predicate: None,
        };
        owned::check_unique(table, &index)?;
        table.indexes.push(index);
        Ok(())
    }

    fn add_check(&mut self, table: &mut Table, check: &CheckConstraint) -> Result<()> {
        if check.enforced == Some(false) {
            return Err(SqlError::refused("a check that is not enforced"));
        }
        let expression = check.expr.to_string();
        self.condition_sql(table, &expression)?;
        let names = columns_in(table, &check.expr);
        let mut parts = vec![table.name.as_str()];
        // Named after its column, where there is one alone.
        if let [only] = names.as_slice() {
            parts.push(only);
        }
        let name = self.constraint_name(table, check.name.as_ref(), &parts, "check")?;
        let oid = self.oid();
        table.checks.push(Check {
            oid,
            name,
            expression,
        });
        Ok(())
    }

    fn add_foreign_key(&mut self, table: &mut Table, key: &ForeignKeyConstraint) -> Result<()> {
        eventual::refuse(table, "FOREIGN KEY", eventual::BEYOND_A_ROW)?;
        let columns: Vec<String> = key.columns.iter().map(parse::fold).collect();
        for column in &columns {
            column_of(table, column)?;
        }
        let (_, parent_name) = parse::place(&key.foreign_table)?;
        let parent = if parent_name == table.name {
            table.clone()
        } else {
            self.table(&key.foreign_table)?
        };
        if key
            .match_kind
            .is_some_and(|kind| kind.to_string() != "MATCH SIMPLE")
        {
            return Err(SqlError::refused("MATCH FULL or PARTIAL"));
        }
        let parent_columns: Vec<String> = if key.referred_columns.is_empty() {
            parent.key().to_vec()
        } else {
            key.referred_columns.iter().map(parse::fold).collect()
        };
        check_reference(table, &columns, &parent, &parent_columns)?;
        let mut parts: Vec<&str> = vec![&table.name];
        parts.extend(columns.iter().map(String::as_str));
        let name = self.constraint_name(table, key.name.as_ref(), &parts, "fkey")?;
        let (is_deferrable, is_deferred) = deferral(key.characteristics.as_ref());
        let foreign_key = ForeignKey {
            oid: self.oid(),
            name,
            columns,
            parent: parent_name,
            parent_columns,
            on_delete: action(key.on_delete),
            on_update: action(key.on_update),
            is_deferrable,
            is_deferred,
        };
        table.foreign_keys.push(foreign_key);
        Ok(())
    }

    /// The table with that foreign key is kept consistent with rows that are
    /// there already.
    pub(super) fn check_foreign_rows(&mut self, table: &Table, key: &ForeignKey) {
        use crate::dialect::parse::quote;
        let own: Vec<String> = key
            .columns
            .iter()
            .map(|name| format!("{}.{}", quote(&table.name), quote(name)))
            .collect();
        let pairs: Vec<String> = own
            .iter()
            .zip(&key.parent_columns)
            .map(|(own, parent)| format!("p.{} = {own}", quote(parent)))
            .collect();
        let nulls: Vec<String> = own.iter().map(|own| format!("{own} IS NULL")).collect();
        let condition = format!(
            "{} OR EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            nulls.join(" OR "),
            quote(&key.parent),
            pairs.join(" AND ")
        );
        let error = SqlError::new(
            state::FOREIGN_KEY_VIOLATION,
            format!(
                "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                table.name, key.name
            ),
        );
        self.check_rows(&table.name, &condition, &error);
    }
}

/// The names of plain columns of a key.
fn column_names(table: &Table, columns: &[IndexColumn]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for column in columns {
        let Expr::Identifier(name) = &column.column.expr else {
            return Err(SqlError::new(
                state::SYNTAX_ERROR,
                "a key consists of columns",
            ));
        };
        let name = parse::fold(name);
        if table.column(&name).is_none() {
            return Err(SqlError::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            ));
        }
        if names.contains(&name) {
            return Err(SqlError::new(
                state::DUPLICATE_COLUMN,
                format!("column \"{name}\" appears twice in a key"),
            ));
        }
        names.push(name);
    }
    Ok(names)
}

/// The columns of a table that an expression names.
pub(crate) fn columns_in(table: &Table, expression: &Expr) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let walked: std::ops::ControlFlow<()> =
        sqlparser::ast::visit_expressions(expression, |inner| {
            let name = match inner {
                Expr::Identifier(name) => Some(parse::fold(name)),
                Expr::CompoundIdentifier(parts) => parts.last().map(parse::fold),
                _ => None,
            };
            if let Some(name) =
                name.filter(|name| table.column(name).is_some() && !names.contains(name))
            {
                names.push(name);
            }
            std::ops::ControlFlow::Continue(())
        });
    debug_assert!(walked.is_continue(), "nothing stops the walk");
    names
}

fn check_reference(
    table: &Table,
    columns: &[String],
    parent: &Table,
    parent_columns: &[String],
) -> Result<()> {
    let wrong = |message: String| Err(SqlError::new(state::INVALID_FOREIGN_KEY, message));
    if columns.len() != parent_columns.len() {
        return wrong(
            "number of referencing and referenced columns for foreign key disagree".to_owned(),
        );
    }
    for (own, other) in columns.iter().zip(parent_columns) {
        let own = column_of(table, own)?;
        let other = column_of(parent, other)?;
        let is_same =
            own.ty.storage() == other.ty.storage() && own.ty.collation() == other.ty.collation();
        if !is_same || Compiler::common_type(own.ty, other.ty).is_none() {
            return Err(SqlError::new(
                state::DATATYPE_MISMATCH,
                format!(
                    "foreign key columns \"{}\" of type {} and \"{}\" of type {} cannot be \
                     compared",
                    own.name, own.ty, other.name, other.ty
                ),
            ));
        }
    }
    let same = |mut names: Vec<&str>| {
        let mut wanted: Vec<&str> = parent_columns.iter().map(String::as_str).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        names == wanted
    };
    let is_key = same(parent.key().iter().map(String::as_str).collect());
    let is_unique = parent
        .indexes
        .iter()
        .filter(|index| index.is_unique && index.predicate.is_none())
        .any(|index| index.columns().is_some_and(&same));
    if !is_key && !is_unique {
        return wrong(format!(
            "there is no unique constraint matching given keys for referenced table \"{}\"",
            parent.name
        ));
    }
    if parent.kind != table.kind && parent.kind != TableKind::Strong {
        return Err(SqlError::refused(format!(
            "a foreign key from a {} to a {} table",
            table.kind.name(),
            parent.kind.name()
        )));
    }
    Ok(())
}

fn action(action: Option<ReferentialAction>) -> Action {
    match action {
        None | Some(ReferentialAction::NoAction) => Action::Nothing,
        Some(ReferentialAction::Restrict) => Action::Restrict,
        Some(ReferentialAction::Cascade) => Action::Cascade,
        Some(ReferentialAction::SetNull) => Action::SetNull,
        Some(ReferentialAction::SetDefault) => Action::SetDefault,
    }
}

fn deferral(characteristics: Option<&ConstraintCharacteristics>) -> (bool, bool) {
    let Some(characteristics) = characteristics else {
        return (false, false);
    };
    let is_deferred = characteristics.initially == Some(DeferrableInitial::Deferred);
    (
        is_deferred || characteristics.deferrable == Some(true),
        is_deferred,
    )
}

fn refuse_deferral(characteristics: Option<&ConstraintCharacteristics>, what: &str) -> Result<()> {
    let (is_deferrable, _) = deferral(characteristics);
    if is_deferrable {
        return Err(SqlError::refused(format!("a {what} that is deferrable")));
    }
    Ok(())
}

/// Marks relations as changed that a rename reaches.
pub(super) fn with_parent_renamed(relation: &Relation, old: &str, new: &str) -> Option<Relation> {
    let Relation::Table(table) = relation else {
        return None;
    };
    if table.foreign_keys.iter().all(|key| key.parent != old) {
        return None;
    }
    let mut table = (**table).clone();
    for key in table
        .foreign_keys
        .iter_mut()
        .filter(|key| key.parent == old)
    {
        new.clone_into(&mut key.parent);
    }
    Some(Relation::Table(std::sync::Arc::new(table)))
}
