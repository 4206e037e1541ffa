//! What kind of statement it is, and what to do about it.

use std::sync::Arc;

use sqlparser::ast::{
    CloseCursor, DescribeAlias, DiscardObject, Expr, FetchDirection, Ident, Statement,
    TransactionAccessMode, TransactionMode, UtilityOption, Value,
};

use super::from::known;
use super::{Compiler, Count, Environment, Output, Plan, Run, Verb, copy, ddl, parse, session};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

/// Rows that one `FETCH` may ask for.
const FETCH_MAX: u64 = 1 << 31;

pub(super) fn plan(
    statement: &Statement,
    text: &str,
    environment: &Environment<'_>,
) -> Result<Plan> {
    let compiler = Compiler::new(environment);
    let run = |run: Run| Ok(Plan::Run(Box::new(run)));
    match statement {
        Statement::Query(query) => run(select(compiler, query)?),
        Statement::Insert(insert) => run(compiler.insert(insert)?),
        Statement::Update(update) => run(compiler.update(update)?),
        Statement::Delete(delete) => run(compiler.delete(delete)?),
        Statement::Truncate(truncate) => run(compiler.truncate(truncate)?),
        Statement::Explain {
            statement,
            analyze: false,
            describe_alias: DescribeAlias::Explain,
            options,
            ..
        } => explain(
            statement,
            options.as_deref().unwrap_or_default(),
            text,
            environment,
        ),
        Statement::Copy {
            source,
            to,
            target,
            options,
            legacy_options,
            ..
        } => {
            let copy = copy::Statement {
                source,
                is_out: *to,
                target,
                options,
                legacy: legacy_options,
            };
            Ok(Plan::Copy(Box::new(copy.plan(compiler)?)))
        }
        other => match session_statement(other)? {
            Some(plan) => Ok(plan),
            None => named_statement(other, compiler, text),
        },
    }
}

/// Transactions and settings.
fn session_statement(statement: &Statement) -> Result<Option<Plan>> {
    Ok(Some(match statement {
        Statement::StartTransaction {
            modes, statements, ..
        } if statements.is_empty() => Plan::Begin {
            is_read_only: is_read_only(modes).unwrap_or(false),
        },
        Statement::Commit {
            chain: false,
            modifier: None,
            ..
        } => Plan::Commit,
        Statement::Rollback {
            chain: false,
            savepoint: None,
        } => Plan::Rollback,
        Statement::Rollback {
            chain: false,
            savepoint: Some(name),
        } => Plan::RollbackTo(parse::fold(name)),
        Statement::Savepoint { name } => Plan::Savepoint(parse::fold(name)),
        Statement::ReleaseSavepoint { name } => Plan::Release(parse::fold(name)),
        Statement::Set(set) => session::set(set)?,
        Statement::Reset(reset) => session::reset(reset),
        Statement::ShowVariable { variable } => session::show(variable),
        Statement::Discard { object_type } => match object_type {
            DiscardObject::ALL => Plan::DiscardAll,
            DiscardObject::PLANS => Plan::Nothing("DISCARD PLANS"),
            DiscardObject::SEQUENCES => Plan::Nothing("DISCARD SEQUENCES"),
            DiscardObject::TEMP => Plan::Nothing("DISCARD TEMP"),
        },
        _ => return Ok(None),
    }))
}

/// Prepared statements, cursors, and what is left.
fn named_statement(statement: &Statement, compiler: Compiler<'_>, text: &str) -> Result<Plan> {
    match statement {
        Statement::Prepare {
            name, data_types, ..
        } => prepare(name, data_types, text),
        Statement::Execute {
            name: Some(name),
            parameters,
            ..
        } => {
            let (_, name) = parse::place(name)?;
            let arguments = parameters.iter().map(ToString::to_string).collect();
            Ok(Plan::Execute { name, arguments })
        }
        Statement::Deallocate { name, .. } => {
            let is_all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Ok(Plan::Deallocate((!is_all).then(|| parse::fold(name))))
        }
        Statement::Fetch {
            name,
            direction,
            into: None,
            ..
        } => fetch(name, direction, text),
        Statement::Close { cursor } => Ok(Plan::Close(match cursor {
            CloseCursor::All => None,
            CloseCursor::Specific { name } => Some(parse::fold(name)),
        })),
        Statement::Declare { stmts, .. } => declare(stmts, compiler),
        Statement::Analyze { .. } => Ok(Plan::Nothing("ANALYZE")),
        Statement::Vacuum(_) => Ok(Plan::Nothing("VACUUM")),
        Statement::LISTEN { .. } => Err(SqlError::refused("LISTEN")),
        Statement::UNLISTEN { .. } => Ok(Plan::Nothing("UNLISTEN")),
        Statement::NOTIFY { .. } => Err(SqlError::refused("NOTIFY")),
        other => ddl::plan(other, text),
    }
}

fn select(compiler: Compiler<'_>, query: &sqlparser::ast::Query) -> Result<Run> {
    let rows = compiler.query(query, None)?;
    Ok(compiler.finish(vec![rows.sql], Some(known(rows.columns)), Verb::Select))
}

fn explain(
    statement: &Statement,
    options: &[UtilityOption],
    text: &str,
    environment: &Environment<'_>,
) -> Result<Plan> {
    let mut is_json = false;
    for option in options {
        let name = option.name.value.to_lowercase();
        let value = option
            .arg
            .as_ref()
            .and_then(plain_constant)
            .unwrap_or_default()
            .to_lowercase();
        match (name.as_str(), value.as_str()) {
            ("format", "json") => is_json = true,
            ("format", "text")
            | ("verbose" | "costs" | "settings" | "summary", _)
            | ("analyze" | "buffers" | "timing" | "wal", "false" | "off" | "0") => {}
            _ => return Err(SqlError::refused(format!("EXPLAIN with {option}"))),
        }
    }
    if let Statement::Execute {
        name: Some(name), ..
    } = statement
    {
        let (_, name) = parse::place(name)?;
        return Ok(Plan::ExplainPrepared { name, is_json });
    }
    let Plan::Run(run) = plan(statement, text, environment)? else {
        return Err(SqlError::refused("EXPLAIN of this statement"));
    };
    Ok(Plan::Run(Box::new(explained(*run, is_json)?)))
}

/// What tells how SQLite would run a statement.
pub(crate) fn explained(mut run: Run, is_json: bool) -> Result<Run> {
    let sql = run
        .sql
        .pop()
        .ok_or_else(|| SqlError::internal("nothing to explain"))?;
    run.sql = vec![format!("EXPLAIN QUERY PLAN {sql}")];
    let name = "QUERY PLAN".to_owned();
    let base = if is_json { Base::Json } else { Base::Text };
    run.columns = Some(vec![Output {
        sql_name: name.clone(),
        name,
        ty: SqlType::of(base),
        modifier: -1,
        origin: None,
    }]);
    run.verb = if is_json {
        Verb::ExplainJson
    } else {
        Verb::Explain
    };
    // Nothing is changed: SQLite tells what it would do.
    run.access.writes.clear();
    run.access.is_sequence = false;
    run.ranges = Arc::default();
    Ok(run)
}

/// What the modes of a transaction say of writing; none where they do not.
pub(super) fn is_read_only(modes: &[TransactionMode]) -> Option<bool> {
    modes.iter().rev().find_map(|mode| match mode {
        TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => Some(true),
        TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => Some(false),
        TransactionMode::IsolationLevel(_) => None,
    })
}

fn prepare(name: &Ident, types: &[sqlparser::ast::DataType], text: &str) -> Result<Plan> {
    let types: Result<Vec<Option<SqlType>>> = types
        .iter()
        .map(|ty| Ok(Some(super::resolve_type(ty)?.0)))
        .collect();
    // The text behind the first AS outside parentheses is the statement.
    let lower = text.to_ascii_lowercase();
    let mut depth = 0_i32;
    let mut at = None;
    for (index, character) in lower.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            'a' if depth == 0 && at.is_none() => {
                let before = lower.get(..index).and_then(|text| text.chars().next_back());
                let rest = lower.get(index..).unwrap_or_default();
                let is_word = rest
                    .strip_prefix("as")
                    .is_some_and(|rest| rest.starts_with(char::is_whitespace));
                let is_start = before.is_some_and(|c| c.is_whitespace() || c == ')');
                if is_word && is_start {
                    at = Some(index + 2);
                }
            }
            _ => {}
        }
    }
    let text = at
        .and_then(|at| text.get(at..))
        .ok_or_else(|| SqlError::new(state::SYNTAX_ERROR, "syntax error: PREPARE without AS"))?;
    Ok(Plan::Prepare {
        name: parse::fold(name),
        types: types?,
        text: text.to_owned(),
    })
}

fn fetch(name: &Ident, direction: &FetchDirection, text: &str) -> Result<Plan> {
    let number = |limit: &sqlparser::ast::ValueWithSpan| -> Result<Count> {
        let count = match &limit.value {
            Value::Number(digits, _) => digits
                .parse::<u64>()
                .ok()
                .filter(|count| *count <= FETCH_MAX),
            _ => None,
        };
        let count = count.and_then(|count| usize::try_from(count).ok());
        count
            .map(Count::Rows)
            .ok_or_else(|| SqlError::refused("FETCH of so many rows"))
    };
    let count = match direction {
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => {
            number(limit)?
        }
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Count::Rows(1),
        FetchDirection::All | FetchDirection::ForwardAll => Count::All,
        other => {
            return Err(SqlError::refused(format!(
                "FETCH {other}: a cursor moves forward alone; it"
            )));
        }
    };
    let is_move = text
        .trim_start()
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case("move"));
    Ok(Plan::Fetch {
        name: parse::fold(name),
        count,
        is_move,
    })
}

fn declare(declarations: &[sqlparser::ast::Declare], compiler: Compiler<'_>) -> Result<Plan> {
    let [declaration] = declarations else {
        return Err(SqlError::refused("several declarations"));
    };
    let ([name], Some(query)) = (declaration.names.as_slice(), &declaration.for_query) else {
        return Err(SqlError::refused("this DECLARE"));
    };
    if declaration.binary == Some(true) {
        return Err(SqlError::refused("a BINARY cursor"));
    }
    if declaration.scroll == Some(true) {
        return Err(SqlError::refused("a SCROLL cursor"));
    }
    Ok(Plan::Declare {
        name: parse::fold(name),
        is_held: declaration.hold == Some(true),
        run: Box::new(select(compiler, query)?),
    })
}

/// Whether an expression is a plain constant.
pub(super) fn plain_constant(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => Some(digits.clone()),
            Value::Boolean(truth) => Some(truth.to_string()),
            other => other.clone().into_string(),
        },
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::UnaryOp {
            op: sqlparser::ast::UnaryOperator::Minus,
            expr,
        } => plain_constant(expr).map(|digits| format!("-{digits}")),
        _ => None,
    }
}
