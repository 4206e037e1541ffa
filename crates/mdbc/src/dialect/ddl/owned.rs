//! What of a table is owned as one: its ranges and its group, fixed when it is
//! made.

use std::sync::Arc;

use sqlparser::ast::{CreateTableOptions, Expr, SqlOption};

use super::{Editor, check_name};
use crate::catalog::schema::{Column, Index, Table, TableKind};
use crate::dialect::insert::column_of;
use crate::dialect::parse;
use crate::dialect::statement::plain_constant;
use crate::error::{Result, SqlError, state};
use crate::ranges::{Key, Owned, RANGES_MAX, Ranges, is_kin, is_ordered};
use crate::types::{Look, SqlType, Value, text};

/// The option for the ranges of a table.
pub(crate) const RANGES: &str = "music_ranges";
/// The option for the tables that are owned together.
pub(crate) const GROUP: &str = "music_group";

/// What stands behind the `WITH` of a new table.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) kind: TableKind,
    ranges: Option<String>,
    group: Option<String>,
}

impl Options {
    pub(super) fn of(options: &CreateTableOptions, default_kind: TableKind) -> Result<Self> {
        let mut found = Self {
            kind: default_kind,
            ranges: None,
            group: None,
        };
        let options = match options {
            CreateTableOptions::None => return Ok(found),
            CreateTableOptions::With(options) => options,
            _ => return Err(SqlError::refused("these table options")),
        };
        for option in options {
            let SqlOption::KeyValue { key, value } = option else {
                return Err(SqlError::refused(format!("the table option {option}")));
            };
            found.set(&key.to_string().to_lowercase(), value)?;
        }
        Ok(found)
    }

    fn set(&mut self, name: &str, value: &Expr) -> Result<()> {
        let value = plain_constant(value).unwrap_or_default();
        match name {
            "music" => {
                self.kind = TableKind::named(&value)
                    .ok_or_else(|| invalid(name, &value, "music is strong, eventual or local"))?;
            }
            RANGES => self.ranges = Some(value),
            GROUP => self.group = Some(value),
            // How full the pages of a heap are: there is no heap.
            "fillfactor" => {}
            other => return Err(SqlError::refused(format!("the table option {other}"))),
        }
        Ok(())
    }
}

fn invalid(option: &str, value: &str, hint: &str) -> SqlError {
    SqlError::new(
        state::INVALID_PARAMETER_VALUE,
        format!("invalid value for option \"{option}\": \"{value}\""),
    )
    .with_hint(hint)
}

impl Editor<'_> {
    /// What of a new table is owned as one.
    pub(super) fn owned(&self, table: &Table, options: &Options) -> Result<Owned> {
        let given = [(RANGES, &options.ranges), (GROUP, &options.group)];
        let given = given.into_iter().find(|(_, value)| value.is_some());
        if let Some((option, _)) = given.filter(|_| table.kind != TableKind::Strong) {
            return Err(SqlError::refused(format!(
                "{option} on the {} table \"{}\"",
                table.kind.name(),
                table.name
            ))
            .with_detail("Strong tables alone have owners."));
        }
        let group = options.group.clone();
        if let Some(group) = &group {
            check_name(group)?;
        }
        let ranges = options.ranges.as_ref();
        let ranges = ranges.map(|text| ranges_of(table, text)).transpose()?;
        let owned = Owned { group, ranges };
        self.check_group(table, &owned)?;
        for index in &table.indexes {
            check_unique_by(table, owned.ranges.as_ref(), index)?;
        }
        Ok(owned)
    }

    /// Refuses a table whose ranges are not those of its group.
    fn check_group(&self, table: &Table, owned: &Owned) -> Result<()> {
        if owned.group.is_none() {
            return Ok(());
        }
        let is_member = |other: &&Arc<Table>| other.owned.group == owned.group;
        let Some(other) = self.schema().tables().find(is_member) else {
            return Ok(());
        };
        let bounds = |owned: &Owned| owned.ranges.as_ref().map(|ranges| ranges.bounds.clone());
        let own = owned.ranges.as_ref();
        let column = own.and_then(|ranges| table.column_at(ranges.column));
        let is_alike = match (column, other.range_column()) {
            (Some(column), Some(other)) => is_kin(column.ty, other.ty),
            (None, None) => true,
            _ => false,
        };
        if is_alike && bounds(owned) == bounds(&other.owned) {
            return Ok(());
        }
        Err(SqlError::new(
            state::INVALID_TABLE_DEFINITION,
            format!(
                "table \"{}\" has other ranges than table \"{}\" of its group \"{}\"",
                table.name,
                other.name,
                owned.group.as_deref().unwrap_or_default()
            ),
        )
        .with_detail("Tables of a group have the same ranges, each by a column of its own.")
        .with_hint(format!(
            "The group has {}.",
            shown(other).map_or("no ranges".to_owned(), |shown| format!(
                "{RANGES} = '{shown}'"
            ))
        )))
    }
}

/// `column: bound, …` as ranges of a table.
fn ranges_of(table: &Table, text: &str) -> Result<Ranges> {
    let wrong = |hint: &str| invalid(RANGES, text, hint);
    let (name, bounds) = text.split_once(':').ok_or_else(|| {
        wrong("It is a column of the primary key and where ranges begin, as 'id: 10, 20'.")
    })?;
    let column = column_of(table, &column_name(name)?)?;
    if !table.key().contains(&column.name) {
        return Err(wrong("The column must be one of the primary key."));
    }
    if !is_ordered(column.ty) || column.generated.is_some() {
        return Err(SqlError::refused(format!(
            "ranges by column \"{}\" of type {}",
            column.name, column.ty
        ))
        .with_hint("Its type must be smallint, integer, bigint, text, varchar, date or uuid."));
    }
    let bounds: Result<Vec<Key>> = bounds
        .split(',')
        .map(|bound| bound_of(column.ty, bound.trim()))
        .collect();
    let bounds = bounds.map_err(|error| {
        wrong("A bound is no value of the column's type.").with_detail(error.message)
    })?;
    if !bounds.is_sorted_by(|a, b| a < b) {
        return Err(wrong("Each bound must be above the one before it."));
    }
    if bounds.len() >= RANGES_MAX {
        return Err(SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!("a table has at most {RANGES_MAX} ranges"),
        )
        .with_hint(format!("Give {} bounds at most.", RANGES_MAX - 1)));
    }
    Ok(Ranges {
        column: column.number,
        bounds,
    })
}

fn column_name(text: &str) -> Result<String> {
    let mut name = parse::expression(text.trim())?;
    while let Expr::Nested(inner) = name {
        name = *inner;
    }
    match name {
        Expr::Identifier(name) => Ok(parse::fold(&name)),
        _ => Err(invalid(RANGES, text, "Before the colon is one column.")),
    }
}

fn bound_of(ty: SqlType, bound: &str) -> Result<Key> {
    // What is the same at all sites: no zone and no time has a part in it.
    let value = text::parse(ty, bound, &Look::default())?;
    let is_plain =
        ty.storage() == "TEXT" || bound.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    Key::of(value)
        .filter(|_| is_plain && !bound.is_empty())
        .ok_or_else(|| SqlError::new(state::INVALID_PARAMETER_VALUE, "it is no plain value"))
}

/// Refuses uniqueness over rows that several sites may own.
pub(super) fn check_unique(table: &Table, index: &Index) -> Result<()> {
    check_unique_by(table, table.owned.ranges.as_ref(), index)
}

fn check_unique_by(table: &Table, ranges: Option<&Ranges>, index: &Index) -> Result<()> {
    let column = ranges.and_then(|ranges| table.column_at(ranges.column));
    let Some(column) = column.filter(|_| index.is_unique) else {
        return Ok(());
    };
    let mut parts = index.parts.iter();
    if parts.any(|part| part.column.as_ref() == Some(&column.name)) {
        return Ok(());
    }
    Err(SqlError::refused(format!(
        "UNIQUE without the column \"{}\" on table \"{}\", whose ranges are by that column,",
        column.name, table.name
    ))
    .with_detail("Sites that own different ranges would not see each other's rows.")
    .with_hint(format!("Add \"{}\" to the unique columns.", column.name)))
}

/// Refuses another type of the column that ranges are by.
pub(super) fn check_type(
    table: &Table,
    column: &Column,
    ty: SqlType,
    has_expression: bool,
) -> Result<()> {
    let is_ours = table
        .range_column()
        .is_some_and(|own| own.number == column.number);
    if !is_ours || is_kin(column.ty, ty) && !has_expression {
        return Ok(());
    }
    Err(SqlError::refused(format!(
        "another kind of type for column \"{}\", by which table \"{}\" has ranges",
        column.name, table.name
    )))
}

/// The ranges of a table as its option writes them.
pub(crate) fn shown(table: &Table) -> Option<String> {
    let ranges = table.owned.ranges.as_ref()?;
    let column = table.column_at(ranges.column)?;
    let bound = |key: &Key| {
        let value = match key {
            Key::Integer(number) => Value::Integer(*number),
            Key::Text(text) => Value::Text(text.clone()),
        };
        text::print(column.ty, &value, &Look::default()).ok()
    };
    let bounds: Option<Vec<String>> = ranges.bounds.iter().map(bound).collect();
    let column = parse::quote_if_needed(&column.name);
    Some(format!("{column}: {}", bounds?.join(", ")))
}
