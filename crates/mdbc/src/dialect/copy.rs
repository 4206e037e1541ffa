//! `COPY`.

use sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident, ObjectName,
};

use super::from::known;
use super::insert::{column_of, stored, target};
use super::query::Rows;
use super::reach::How;
use super::{Compiler, Run, Typed, Verb, parse};
use crate::catalog::schema::{Column, Relation, Table};
use crate::error::{Result, SqlError, state};
use crate::snapshot::RELATION;
use crate::types::{Base, SqlType};

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    Text { delimiter: char, null: String },
    Csv(Csv),
    Binary,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    pub(crate) delimiter: char,
    pub(crate) null: String,
    pub(crate) quote: char,
    pub(crate) escape: char,
}

/// A `COPY` to or from the client.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) format: CopyFormat,
    pub(crate) has_header: bool,
    /// The query whose rows go out, or the `INSERT` of one row that comes in.
    pub(crate) run: Run,
    pub(crate) is_out: bool,
    /// The names and types of the columns.
    pub(crate) columns: Vec<(String, SqlType)>,
    /// Whether it is the whole database that goes out.
    pub(crate) is_snapshot: bool,
}

/// The parts of a `COPY`.
pub(super) struct Statement<'a> {
    pub(super) source: &'a CopySource,
    pub(super) is_out: bool,
    pub(super) target: &'a CopyTarget,
    pub(super) options: &'a [CopyOption],
    pub(super) legacy: &'a [CopyLegacyOption],
}

impl Statement<'_> {
    pub(super) fn plan(&self, compiler: Compiler<'_>) -> Result<Copy> {
        match (self.is_out, self.target) {
            (true, CopyTarget::Stdout) | (false, CopyTarget::Stdin) => {}
            _ => return Err(SqlError::refused("COPY to or from a file of the server")),
        }
        let (format, has_header) = self.format()?;
        if self.is_snapshot() {
            return snapshot(compiler, format);
        }
        let (run, columns) = match (self.source, self.is_out) {
            (CopySource::Query(query), true) => {
                let rows = compiler.query(query, None)?;
                rows_out(compiler, rows)
            }
            (CopySource::Query(_), false) => {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "COPY FROM needs a table",
                ));
            }
            (
                CopySource::Table {
                    table_name,
                    columns,
                },
                true,
            ) => table_out(compiler, table_name, columns)?,
            (
                CopySource::Table {
                    table_name,
                    columns,
                },
                false,
            ) => {
                let table = target(&compiler, table_name)?;
                insert_of(compiler, table, columns)?
            }
        };
        Ok(Copy {
            format,
            has_header,
            run,
            is_out: self.is_out,
            columns,
            is_snapshot: false,
        })
    }

    fn is_snapshot(&self) -> bool {
        let CopySource::Table {
            table_name,
            columns,
        } = self.source
        else {
            return false;
        };
        let is_named = table_name.to_string() == RELATION;
        self.is_out && columns.is_empty() && is_named
    }

    fn format(&self) -> Result<(CopyFormat, bool)> {
        let mut kind = "text".to_owned();
        let mut has_header = false;
        let (mut delimiter, mut null, mut quote, mut escape) = (None, None, '"', None);
        for option in self.options {
            match option {
                CopyOption::Format(name) => kind = parse::fold(name),
                CopyOption::Delimiter(character) => delimiter = Some(*character),
                CopyOption::Null(text) => null = Some(text.clone()),
                CopyOption::Header(truth) => has_header = *truth,
                CopyOption::Quote(character) => quote = *character,
                CopyOption::Escape(character) => escape = Some(*character),
                CopyOption::Freeze(_) => {}
                CopyOption::Encoding(name)
                    if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") => {}
                other => return Err(SqlError::refused(format!("COPY with {other}"))),
            }
        }
        for option in self.legacy {
            match option {
                CopyLegacyOption::Binary => "binary".clone_into(&mut kind),
                CopyLegacyOption::Delimiter(character) => delimiter = Some(*character),
                CopyLegacyOption::Null(text) => null = Some(text.clone()),
                CopyLegacyOption::Header => has_header = true,
                CopyLegacyOption::Csv(options) => {
                    "csv".clone_into(&mut kind);
                    for option in options {
                        match option {
                            CopyLegacyCsvOption::Header => has_header = true,
                            CopyLegacyCsvOption::Quote(character) => quote = *character,
                            CopyLegacyCsvOption::Escape(character) => escape = Some(*character),
                            other => return Err(SqlError::refused(format!("COPY with {other}"))),
                        }
                    }
                }
                other => return Err(SqlError::refused(format!("COPY with {other}"))),
            }
        }
        let format = match kind.as_str() {
            "text" => CopyFormat::Text {
                delimiter: delimiter.unwrap_or('\t'),
                null: null.unwrap_or_else(|| "\\N".to_owned()),
            },
            "csv" => CopyFormat::Csv(Csv {
                delimiter: delimiter.unwrap_or(','),
                null: null.unwrap_or_default(),
                quote,
                escape: escape.unwrap_or(quote),
            }),
            "binary" => CopyFormat::Binary,
            other => {
                return Err(SqlError::new(
                    state::INVALID_PARAMETER_VALUE,
                    format!("COPY format \"{other}\" not recognized"),
                ));
            }
        };
        Ok((format, has_header))
    }
}

/// The whole database, for another site.
fn snapshot(compiler: Compiler<'_>, format: CopyFormat) -> Result<Copy> {
    if format != CopyFormat::Binary {
        return Err(SqlError::new(
            state::FEATURE_NOT_SUPPORTED,
            format!("{RELATION} can be copied in binary format alone"),
        )
        .with_hint(format!("COPY {RELATION} TO STDOUT (FORMAT binary)")));
    }
    Ok(Copy {
        format,
        has_header: false,
        run: compiler.finish(Vec::new(), None, Verb::Select),
        is_out: true,
        columns: vec![("piece".to_owned(), SqlType::of(Base::Bytea))],
        is_snapshot: true,
    })
}

/// The names and types of columns.
type Columns = Vec<(String, SqlType)>;

fn rows_out(compiler: Compiler<'_>, rows: Rows) -> (Run, Columns) {
    let outputs = known(rows.columns);
    let columns = outputs
        .iter()
        .map(|output| (output.name.clone(), output.ty))
        .collect();
    (
        compiler.finish(vec![rows.sql], Some(outputs), Verb::Select),
        columns,
    )
}

fn table_out(
    compiler: Compiler<'_>,
    name: &ObjectName,
    columns: &[Ident],
) -> Result<(Run, Columns)> {
    let listed: Vec<String> = columns
        .iter()
        .map(|name| parse::quote(&parse::fold(name)))
        .collect();
    let listed = if listed.is_empty() {
        "*".to_owned()
    } else {
        listed.join(", ")
    };
    let (_, last) = parse::place(name)?;
    if let Some(Relation::View(_)) = compiler.schema().get(&last) {
        return Err(SqlError::new(
            state::WRONG_OBJECT_TYPE,
            format!("cannot copy from view \"{last}\""),
        )
        .with_hint("Try the COPY (SELECT ...) TO variant."));
    }
    let rows = compiler.view_query(&format!("SELECT {listed} FROM {name}"))?;
    Ok(rows_out(compiler, rows))
}

/// The `INSERT` of one row of parameters.
fn insert_of(
    compiler: Compiler<'_>,
    table: &Table,
    names: &[Ident],
) -> Result<(Run, Vec<(String, SqlType)>)> {
    let given: Result<Vec<&Column>> = if names.is_empty() {
        Ok(stored(table).collect())
    } else {
        names
            .iter()
            .map(|name| column_of(table, &parse::fold(name)))
            .collect()
    };
    let given = given?;
    let touch = compiler.touch(&table.name, true);
    compiler.writes(table, &How::Insert(touch));
    compiler.note_copied(table, touch, &given);
    let mut listed = Vec::new();
    for column in stored(table) {
        let at = given.iter().position(|other| other.number == column.number);
        listed.push(match at {
            Some(index) => {
                compiler.parameter_type(index)?;
                compiler.set_parameter_type(index, column.ty);
                let value = Typed::new(format!("?{}", index + 1), column.ty);
                compiler
                    .assign(value, column.ty, column.modifier, &column.name)?
                    .sql
            }
            None => compiler.default_of(table, column)?,
        });
    }
    if let Some(column) = given.iter().find(|column| column.generated.is_some()) {
        return Err(SqlError::new(
            state::INVALID_COLUMN_REFERENCE,
            format!("column \"{}\" is a generated column", column.name),
        ));
    }
    let stored: Vec<String> = stored(table)
        .map(|column| parse::quote(&column.name))
        .collect();
    let sql = format!(
        "INSERT INTO main.{} ({}) VALUES ({})",
        parse::quote(&table.name),
        stored.join(", "),
        listed.join(", ")
    );
    let columns = given
        .iter()
        .map(|column| (column.name.clone(), column.ty))
        .collect();
    Ok((compiler.finish(vec![sql], None, Verb::Insert), columns))
}
