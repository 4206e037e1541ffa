//! `CREATE TABLE`, `CREATE VIEW`, `CREATE SEQUENCE`.

use std::sync::Arc;

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, CreateView, DataType, Expr,
    GeneratedAs, ObjectName, SequenceOptions, TableConstraint,
};

use super::owned::Options;
use super::{COLUMNS_MAX, Editor, check_name, duplicate, eventual};
use crate::catalog::schema::{Column, Identity, Relation, Sequence, Table, TableKind, View};
use crate::dialect::statement::plain_constant;
use crate::dialect::{Compiler, from, parse, type_name};
use crate::error::{Result, SqlError, state};
use crate::ranges::Owned;
use crate::types::{Base, SqlType, text};

impl Editor<'_> {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<()> {
        check(create)?;
        let name = Self::new_name(&create.name)?;
        if self.is_taken(&name) {
            if create.if_not_exists {
                self.change
                    .notices
                    .push(format!("relation \"{name}\" already exists, skipping"));
                return Ok(());
            }
            return Err(duplicate(&name));
        }
        let options = Options::of(&create.table_options, self.environment.default_kind)?;
        let mut table = Table {
            oid: self.oid(),
            name,
            kind: options.kind,
            owned: Owned::default(),
            columns: Vec::new(),
            next_column: 1,
            primary_key: None,
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            comment: None,
        };
        let mut constraints = Vec::new();
        for definition in &create.columns {
            constraints.extend(self.add_column(&mut table, definition)?);
        }
        constraints.extend(create.constraints.iter().cloned());
        // Foreign keys may refer to keys that follow them.
        constraints.sort_by_key(|constraint| matches!(constraint, TableConstraint::ForeignKey(_)));
        for constraint in &constraints {
            self.add_constraint(&mut table, constraint)?;
        }
        if table.primary_key.is_none() && table.kind != TableKind::Local {
            return Err(SqlError::new(
                state::FEATURE_NOT_SUPPORTED,
                format!(
                    "table \"{}\" has no primary key, and {} tables need one",
                    table.name,
                    table.kind.name()
                ),
            )
            .with_detail("Rows are told apart at other sites by their primary key.")
            .with_hint(
                "Add a PRIMARY KEY, or WITH (music = 'local') for a table of this site alone.",
            ));
        }
        eventual::check_key(&table)?;
        table.owned = self.owned(&table, &options)?;
        let sql = self.table_sql(&table)?;
        self.change.sql.push(sql);
        for index in table.indexes.clone() {
            let sql = self.index_sql(&table, &index)?;
            self.change.sql.push(sql);
        }
        self.add_triggers(&table);
        self.put(Relation::Table(Arc::new(table)));
        Ok(())
    }

    /// Adds a column; its constraints are returned as those of the table.
    pub(super) fn add_column(
        &mut self,
        table: &mut Table,
        definition: &ColumnDef,
    ) -> Result<Vec<TableConstraint>> {
        let name = parse::fold(&definition.name);
        check_column_name(table, &name)?;
        let serial = serial_of(&definition.data_type);
        let (ty, modifier) = match serial {
            Some(ty) => (ty, -1),
            None => type_name::resolve(&definition.data_type)?,
        };
        let mut column = Column {
            number: table.next_column,
            name: name.clone(),
            ty,
            modifier,
            is_not_null: serial.is_some(),
            default: None,
            identity: None,
            generated: None,
            comment: None,
        };
        table.next_column += 1;
        let mut constraints = Vec::new();
        for option in &definition.options {
            let given = option.name.clone();
            self.column_option(
                table,
                &mut column,
                (given, &option.option),
                &mut constraints,
            )?;
        }
        if serial.is_some() {
            let sequence = self.own_sequence(table, &name, ty, false);
            column.default = Some(format!(
                "nextval('{}'::regclass)",
                parse::quote_if_needed(&sequence).replace('\'', "''")
            ));
        }
        table.columns.push(column);
        Ok(constraints)
    }

    fn column_option(
        &mut self,
        table: &Table,
        column: &mut Column,
        (given, option): (Option<sqlparser::ast::Ident>, &ColumnOption),
        constraints: &mut Vec<TableConstraint>,
    ) -> Result<()> {
        let own = || vec![sqlparser::ast::Ident::with_quote('"', column.name.clone())];
        match option {
            ColumnOption::Null => {}
            ColumnOption::NotNull => column.is_not_null = true,
            ColumnOption::Default(value) => {
                self.check_default(column, value)?;
                column.default = Some(value.to_string());
            }
            ColumnOption::PrimaryKey(key) => {
                let mut key = key.clone();
                key.name = given.or(key.name);
                key.columns = own().into_iter().map(Into::into).collect();
                constraints.push(TableConstraint::PrimaryKey(key));
            }
            ColumnOption::Unique(unique) => {
                let mut unique = unique.clone();
                unique.name = given.or(unique.name);
                unique.columns = own().into_iter().map(Into::into).collect();
                constraints.push(TableConstraint::Unique(unique));
            }
            ColumnOption::ForeignKey(key) => {
                let mut key = key.clone();
                key.name = given.or(key.name);
                key.columns = own();
                constraints.push(TableConstraint::ForeignKey(key));
            }
            ColumnOption::Check(check) => {
                let mut check = check.clone();
                check.name = given.or(check.name);
                constraints.push(TableConstraint::Check(check));
            }
            ColumnOption::Generated {
                generation_expr: Some(value),
                ..
            } => {
                column.generated = Some(value.to_string());
            }
            ColumnOption::Generated {
                generated_as,
                generation_expr: None,
                ..
            } => self.identity(table, column, *generated_as)?,
            ColumnOption::Collation(name) => check_collation(name)?,
            other => return Err(SqlError::refused(format!("the column option {other}"))),
        }
        Ok(())
    }

    fn identity(&mut self, table: &Table, column: &mut Column, given: GeneratedAs) -> Result<()> {
        if !matches!(column.ty.base, Base::Int2 | Base::Int4 | Base::Int8) {
            return Err(SqlError::new(
                state::INVALID_PARAMETER_VALUE,
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        column.identity = Some(match given {
            GeneratedAs::Always => Identity::Always,
            _ => Identity::ByDefault,
        });
        column.is_not_null = true;
        self.own_sequence(table, &column.name, column.ty, true);
        Ok(())
    }

    /// A default must be a value of the column's type.
    pub(super) fn check_default(&self, column: &Column, value: &Expr) -> Result<()> {
        let compiler = Compiler::new(self.environment);
        let typed = compiler.expression(value, &crate::dialect::scope::Scope::default());
        // A sequence that this statement makes is not there yet.
        let is_new_sequence = typed
            .as_ref()
            .is_err_and(|error| error.state == state::UNDEFINED_TABLE);
        if is_new_sequence && !self.change.put.is_empty() {
            return Ok(());
        }
        compiler.assign(typed?, column.ty, column.modifier, &column.name)?;
        Ok(())
    }

    /// The sequence of a serial or an identity column.
    fn own_sequence(
        &mut self,
        table: &Table,
        column: &str,
        ty: SqlType,
        is_identity: bool,
    ) -> String {
        let name = self.free_name(&[&table.name, column], "seq", &[]);
        let sequence = Sequence {
            oid: self.oid(),
            name: name.clone(),
            ty,
            start: 1,
            most: text::range(ty.base).1,
            owner: Some((table.name.clone(), column.to_owned())),
            is_identity,
        };
        self.put(Relation::Sequence(Arc::new(sequence)));
        name
    }

    pub(super) fn create_sequence(
        &mut self,
        name: &ObjectName,
        if_not_exists: bool,
        options: &[SequenceOptions],
    ) -> Result<()> {
        let name = Self::new_name(name)?;
        if self.is_taken(&name) {
            if if_not_exists {
                self.change
                    .notices
                    .push(format!("relation \"{name}\" already exists, skipping"));
                return Ok(());
            }
            return Err(duplicate(&name));
        }
        let number = |value: &Expr| -> Result<i64> {
            let digits = plain_constant(value).and_then(|digits| digits.parse().ok());
            digits.ok_or_else(|| SqlError::new(state::SYNTAX_ERROR, "a number was expected"))
        };
        let mut sequence = Sequence {
            oid: self.oid(),
            name,
            ty: SqlType::of(Base::Int8),
            start: 1,
            most: i64::MAX,
            owner: None,
            is_identity: false,
        };
        for option in options {
            match option {
                SequenceOptions::DataType(ty) => {
                    sequence.ty = type_name::resolve(ty)?.0;
                    sequence.most = sequence.most.min(text::range(sequence.ty.base).1);
                }
                SequenceOptions::StartWith(value, _) => sequence.start = number(value)?,
                SequenceOptions::MaxValue(Some(value)) => sequence.most = number(value)?,
                SequenceOptions::IncrementBy(value, _) if number(value)? == 1 => {}
                SequenceOptions::MinValue(None)
                | SequenceOptions::MaxValue(None)
                | SequenceOptions::Cache(_)
                | SequenceOptions::Cycle(false)
                | SequenceOptions::OwnedBy(None) => {}
                SequenceOptions::MinValue(Some(value)) if number(value)? <= sequence.start => {}
                other => return Err(SqlError::refused(format!("the sequence option{other}"))),
            }
        }
        if sequence.start < 1 || sequence.most < sequence.start {
            return Err(SqlError::refused(
                "a sequence of values below 1, or of none,",
            ));
        }
        self.put(Relation::Sequence(Arc::new(sequence)));
        Ok(())
    }

    pub(super) fn create_view(&mut self, create: &CreateView) -> Result<()> {
        let refused =
            create.materialized || create.temporary || create.secure || create.to.is_some();
        if refused || !matches!(create.options, CreateTableOptions::None) {
            return Err(SqlError::refused(
                "a view that is materialized, temporary or has options",
            ));
        }
        let name = Self::new_name(&create.name)?;
        let before = self.relation(&name).cloned();
        match &before {
            Some(Relation::View(_)) if create.or_replace => {}
            Some(_) => return Err(duplicate(&name)),
            None if self.is_taken(&name) => return Err(duplicate(&name)),
            None => {}
        }
        let query = create.query.to_string();
        let compiler = Compiler::new(self.environment);
        let rows = compiler.view_query(&query)?;
        if !compiler.parameters.borrow().is_empty() {
            return Err(SqlError::new(
                state::UNDEFINED_PARAMETER,
                "there is no parameter $1",
            ));
        }
        if compiler.access.borrow().is_sequence {
            return Err(SqlError::refused("a view that draws from a sequence"));
        }
        let mut columns = Vec::new();
        for (output, number) in from::known(rows.columns).into_iter().zip(1_i16..) {
            let given = create
                .columns
                .get(columns.len())
                .map(|column| parse::fold(&column.name));
            columns.push(Column {
                number,
                name: given.unwrap_or(output.name),
                ty: output.ty,
                modifier: output.modifier,
                is_not_null: false,
                default: None,
                identity: None,
                generated: None,
                comment: None,
            });
        }
        check_view_columns(&columns)?;
        if let Some(Relation::View(before)) = &before {
            let kept = before
                .columns
                .iter()
                .zip(&columns)
                .all(|(old, new)| old.name == new.name && old.ty == new.ty);
            if !kept || before.columns.len() > columns.len() {
                return Err(SqlError::new(
                    state::INVALID_TABLE_DEFINITION,
                    "cannot change the columns of a view",
                ));
            }
        }
        let oid = before.map_or_else(|| self.oid(), |before| before.oid());
        self.put(Relation::View(Arc::new(View {
            oid,
            name,
            query,
            columns,
            comment: None,
        })));
        Ok(())
    }
}

fn check_view_columns(columns: &[Column]) -> Result<()> {
    for (number, column) in columns.iter().enumerate() {
        if columns
            .iter()
            .skip(number + 1)
            .any(|other| other.name == column.name)
        {
            return Err(SqlError::new(
                state::DUPLICATE_COLUMN,
                format!("column \"{}\" specified more than once", column.name),
            ));
        }
    }
    Ok(())
}

/// Refuses names that a table cannot have.
pub(super) fn check_column_name(table: &Table, name: &str) -> Result<()> {
    if table.columns.len() >= COLUMNS_MAX {
        return Err(SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!("tables can have at most {COLUMNS_MAX} columns"),
        ));
    }
    // SQLite does not tell names by their case.
    let same = |column: &Column| column.name.eq_ignore_ascii_case(name);
    if let Some(other) = table.columns.iter().find(|column| same(column)) {
        if other.name == name {
            return Err(SqlError::new(
                state::DUPLICATE_COLUMN,
                format!(
                    "column \"{name}\" of relation \"{}\" already exists",
                    table.name
                ),
            ));
        }
        return Err(SqlError::refused(format!(
            "the column name \"{name}\" beside \"{}\"",
            other.name
        )));
    }
    if matches!(
        name,
        "tableoid" | "ctid" | "xmin" | "xmax" | "cmin" | "cmax"
    ) {
        return Err(SqlError::new(
            state::DUPLICATE_COLUMN,
            format!("column name \"{name}\" conflicts with a system column name"),
        ));
    }
    match name.to_ascii_lowercase().as_str() {
        "rowid" | "oid" | "_rowid_" => {
            Err(SqlError::refused(format!("the column name \"{name}\"")))
        }
        lower if lower.starts_with("mdbc_") => check_name(name),
        _ if name.is_empty() || name.len() > super::NAME_BYTES_MAX => check_name(name),
        _ => Ok(()),
    }
}

/// The integer type of a serial column.
fn serial_of(ty: &DataType) -> Option<SqlType> {
    let DataType::Custom(name, modifiers) = ty else {
        return None;
    };
    if !modifiers.is_empty() {
        return None;
    }
    let base = match name.to_string().to_lowercase().as_str() {
        "serial" | "serial4" => Base::Int4,
        "bigserial" | "serial8" => Base::Int8,
        "smallserial" | "serial2" => Base::Int2,
        _ => return None,
    };
    Some(SqlType::of(base))
}

fn check(create: &CreateTable) -> Result<()> {
    let refused = [
        (
            create.temporary || create.global.is_some(),
            "a temporary table",
        ),
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.external, "an external table"),
        (create.query.is_some(), "CREATE TABLE AS"),
        (create.like.is_some(), "CREATE TABLE LIKE"),
        (create.inherits.is_some(), "INHERITS"),
        (
            create.partition_by.is_some() || create.partition_of.is_some(),
            "a partitioned table",
        ),
        (create.clone.is_some(), "CLONE"),
        (create.on_commit.is_some(), "ON COMMIT"),
        (create.unlogged, "an unlogged table"),
        (
            create.primary_key.is_some() || create.order_by.is_some(),
            "these table options",
        ),
        (create.comment.is_some(), "COMMENT in CREATE TABLE"),
    ];
    match refused.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(SqlError::refused(what)),
        None => Ok(()),
    }
}

/// Text is sorted by its bytes, whatever that is called.
fn check_collation(name: &ObjectName) -> Result<()> {
    let (_, name) = parse::place(name)?;
    match name.as_str() {
        "default" | "C" | "POSIX" | "C.UTF-8" | "ucs_basic" => Ok(()),
        _ => Err(SqlError::refused(format!("the collation \"{name}\""))),
    }
}
