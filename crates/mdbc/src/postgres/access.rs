//! What a statement touches, by the names in it.

use super::session::Fresh;
use super::statement::{Kind, Schema, Statement};
use crate::engine::Access;
use crate::engine::postgres::{Model, Touch};
use crate::error::Result;

/// What statements touch that have these words, at most: names that are columns
/// or anything else count as those of tables with these names, in all schemas.
///
/// `fresh` are tables that the transaction itself has made.
pub(super) fn access(
    model: &Model,
    statements: &[&Statement],
    fresh: Option<&Fresh>,
) -> Result<Access> {
    let mut touch = Touch::default();
    let mut made = Fresh::new();
    for statement in statements {
        touch.is_opaque |= statement.is_opaque || is_calling(model, statement);
        for word in &statement.names {
            let is_target = statement.targets.contains(word) || statement.locks_rows;
            let is_changed = is_target || matches!(statement.kind, Kind::Schema(Schema::Named));
            for name in model.named(word) {
                match (is_changed, statement.is_insert && is_target) {
                    (false, _) => touch.reads.insert(name.clone()),
                    (true, true) => touch.inserts.insert(name.clone()),
                    (true, false) => touch.writes.insert(name.clone()),
                };
            }
            let fresh = fresh.into_iter().flatten();
            let named = fresh.filter(|(name, _)| name.relation == *word);
            made.extend(named.map(|(name, group)| (name.clone(), group.clone())));
        }
        touch.is_opaque |= statement.kind == Kind::Schema(Schema::All);
    }
    let mut access = model
        .closure(&touch)
        .unwrap_or_else(|_unknown| model.everything());
    let is_schema = |statement: &&Statement| matches!(statement.kind, Kind::Schema(_));
    access.is_schema = statements.iter().any(is_schema);
    extend(&mut access, &of_made(&made)?);
    Ok(access)
}

/// What is touched where a transaction has made these tables: they are in no log
/// before its own entry.
pub(super) fn of_made(made: &Fresh) -> Result<Access> {
    let mut access = Access {
        is_schema: !made.is_empty(),
        ..Access::default()
    };
    for (name, group) in made {
        access.writes.insert(name.to_string());
        access.partitions.insert(name.partition(group.as_deref())?);
    }
    Ok(access)
}

/// Whether it may call what touches tables on its own.
fn is_calling(model: &Model, statement: &Statement) -> bool {
    // A change of the schema calls nothing but by the triggers of tables.
    let is_schema = matches!(statement.kind, Kind::Schema(_));
    let mut names = statement.names.iter();
    !is_schema && names.any(|name| model.is_opaque_function(name))
}

/// Whether all of it is owned.
pub(super) fn is_within(access: &Access, owned: &Access) -> bool {
    let has = |name: &String| owned.reads.contains(name) || owned.writes.contains(name);
    (owned.is_schema || !access.is_schema)
        && access.writes.is_subset(&owned.writes)
        && access.partitions.is_subset(&owned.partitions)
        && access.reads.iter().all(has)
}

/// Adds what is owned now, too.
pub(super) fn extend(owned: &mut Access, access: &Access) {
    owned.reads.extend(access.reads.iter().cloned());
    owned.writes.extend(access.writes.iter().cloned());
    owned.partitions.extend(access.partitions.iter().cloned());
    owned.is_schema |= access.is_schema;
}

pub(super) fn is_nothing(access: &Access) -> bool {
    !access.is_schema && access.reads.is_empty() && access.writes.is_empty()
}
