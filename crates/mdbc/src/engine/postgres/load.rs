//! The schema, read from PostgreSQL's catalogues.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{GenericClient, Row};

use super::digest::Name;
use super::link::told;
use super::model::{Model, Table, View};
use crate::engine::TableKind;
use crate::error::{Result, SqlError};

/// Extensions whose functions in C touch no table.
const EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "unaccent",
    "uuid-ossp",
];

/// Functions of the system that run statements, or reach beyond the database.
/// A name that ends in `*` is that of all that begin so.
const UNSAFE: &[&str] = &[
    "binary_upgrade_*",
    "cursor_to_xml*",
    "database_to_xml*",
    "lo_*",
    "loread",
    "lowrite",
    "pg_import_system_collations",
    "pg_ls_*",
    "pg_read_*",
    "query_to_xml*",
    "schema_to_xml*",
    "table_to_xml*",
    "ts_rewrite",
    "ts_stat",
];

/// Functions of users, and those of the system that are not safe.
const OPAQUE: &str = "opaque AS (SELECT p.oid, p.proname FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
    WHERE CASE n.nspname WHEN 'mdbc_internal' THEN false
        WHEN 'information_schema' THEN false
        WHEN 'pg_catalog' THEN p.proname LIKE ANY ($1::text[])
        ELSE l.lanname NOT IN ('c', 'internal') OR NOT EXISTS (SELECT FROM pg_depend AS d
            JOIN pg_extension AS e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass
            AND d.objid = p.oid AND d.refclassid = 'pg_extension'::regclass
            AND e.extname = ANY ($2::text[])) END)";

const SAFE: &str = "SELECT DISTINCT p.proname::text FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'mdbc_internal' AND p.proname NOT IN (SELECT proname FROM opaque)";

const OPAQUE_NAMES: &str = "SELECT DISTINCT proname::text FROM opaque";

const TABLES: &str = ", resting AS (
        SELECT a.adrelid AS relation FROM pg_depend AS d JOIN pg_attrdef AS a ON a.oid = d.objid
        WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_proc'::regclass
            AND d.refobjid IN (SELECT oid FROM opaque)
        UNION SELECT o.conrelid FROM pg_depend AS d JOIN pg_constraint AS o ON o.oid = d.objid
        WHERE d.classid = 'pg_constraint'::regclass AND d.refclassid = 'pg_proc'::regclass
            AND d.refobjid IN (SELECT oid FROM opaque)
        UNION SELECT i.indrelid FROM pg_depend AS d JOIN pg_index AS i ON i.indexrelid = d.objid
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass
            AND d.refobjid IN (SELECT oid FROM opaque)
        UNION SELECT t.tgrelid FROM pg_trigger AS t
        WHERE NOT t.tgisinternal AND t.tgfoid <> 'mdbc_internal.capture'::regproc)
    SELECT n.nspname::text, c.relname::text, c.oid, m.kind,
        c.relrowsecurity OR c.oid IN (SELECT relation FROM resting), m.group_name
    FROM mdbc_internal.tables AS m JOIN pg_class AS c ON c.oid = m.relation
    JOIN pg_namespace AS n ON n.oid = c.relnamespace";

const VIEWS: &str = ", resting AS (SELECT r.ev_class AS relation FROM pg_depend AS d
        JOIN pg_rewrite AS r ON r.oid = d.objid WHERE d.classid = 'pg_rewrite'::regclass
            AND d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM opaque)
        UNION SELECT t.tgrelid FROM pg_trigger AS t WHERE NOT t.tgisinternal)
    SELECT DISTINCT n.nspname::text, c.relname::text, c.oid IN (SELECT relation FROM resting),
        m.nspname::text, u.relname::text
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN (pg_rewrite AS r JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass
            AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class AS u ON u.oid = d.refobjid AND u.relkind IN ('r', 'v')
        JOIN pg_namespace AS m ON m.oid = u.relnamespace AND mdbc_internal.is_users(m.nspname))
        ON r.ev_class = c.oid AND u.oid <> c.oid
    WHERE c.relkind = 'v' AND mdbc_internal.is_users(n.nspname)";

const FOREIGN_KEYS: &str = "SELECT n.nspname::text, c.relname::text, m.nspname::text,
        p.relname::text, o.confdeltype IN ('c', 'n', 'd') OR o.confupdtype IN ('c', 'n', 'd')
    FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_class AS p ON p.oid = o.confrelid
    JOIN pg_namespace AS m ON m.oid = p.relnamespace
    WHERE o.contype = 'f' AND mdbc_internal.is_users(n.nspname)";

const OPERATORS: &str = "SELECT EXISTS (SELECT FROM pg_operator AS o WHERE o.oprcode::oid IN
            (SELECT oid FROM opaque) AND o.oprnamespace <> 'pg_catalog'::regnamespace)
    OR EXISTS (SELECT FROM pg_cast AS c WHERE c.castfunc IN (SELECT oid FROM opaque))
    OR EXISTS (SELECT FROM pg_constraint AS o JOIN pg_depend AS d
        ON d.classid = 'pg_constraint'::regclass AND d.objid = o.oid
        AND d.refclassid = 'pg_proc'::regclass
        WHERE o.contypid <> 0 AND d.refobjid IN (SELECT oid FROM opaque))";

/// The schema as it is committed; its version is for the caller to give.
pub(super) async fn load(client: &impl GenericClient) -> Result<Model> {
    let patterns: Vec<String> = UNSAFE
        .iter()
        .map(|name| name.replace('_', "\\_").replace('*', "%"))
        .collect();
    let with_opaque = async |query: &str| {
        let text = format!("WITH {OPAQUE} {query}");
        let rows = client.query(&text, &[&patterns, &EXTENSIONS]).await;
        rows.map_err(told)
    };
    let mut model = Model::default();
    for row in with_opaque(SAFE).await? {
        model.safe.insert(get(&row, 0)?);
    }
    for row in with_opaque(OPAQUE_NAMES).await? {
        model.opaque.insert(get(&row, 0)?);
    }
    for row in with_opaque(TABLES).await? {
        let kind: String = get(&row, 3)?;
        let table = Table {
            oid: get(&row, 2)?,
            kind: TableKind::named(&kind).ok_or_else(|| SqlError::internal(kind))?,
            is_opaque: get(&row, 4)?,
            group: get(&row, 5)?,
            parents: BTreeSet::new(),
            children: BTreeMap::new(),
        };
        model.tables.insert(name(&row, 0)?, table);
    }
    for row in with_opaque(VIEWS).await? {
        let view = model
            .views
            .entry(name(&row, 0)?)
            .or_insert_with(View::default);
        view.is_opaque |= get::<bool>(&row, 2)?;
        if let Some(schema) = get::<Option<String>>(&row, 3)? {
            let relation = get(&row, 4)?;
            view.reads.insert(Name { schema, relation });
        }
    }
    for row in with_opaque(OPERATORS).await? {
        model.has_opaque_operators = get(&row, 0)?;
    }
    for row in client.query(FOREIGN_KEYS, &[]).await.map_err(told)? {
        let (child, parent) = (name(&row, 0)?, name(&row, 2)?);
        if let Some(table) = model.tables.get_mut(&child) {
            table.parents.insert(parent.clone());
        }
        if let Some(table) = model.tables.get_mut(&parent) {
            *table.children.entry(child).or_default() |= get::<bool>(&row, 4)?;
        }
    }
    Ok(model)
}

/// A schema and a name that stand side by side.
fn name(row: &Row, at: usize) -> Result<Name> {
    Ok(Name {
        schema: get(row, at)?,
        relation: get(row, at + 1)?,
    })
}

fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(told)
}
