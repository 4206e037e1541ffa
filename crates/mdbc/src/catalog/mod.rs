//! The schema of the database, and the catalogues in which clients look it up.
//!
//! `pg_catalog` and `information_schema` are tables in memory beside the
//! database, filled from the [`Schema`](schema::Schema) when a statement asks
//! for them: clients query them as any table, with joins and conditions.

mod constraints;
mod describe;
mod information;
mod relations;
mod rows;
pub(crate) mod schema;
mod settled;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::dialect::parse::Place;
use crate::status;
use crate::types::{Base, SqlType};

pub(crate) use rows::{Facts, all as rows};

/// The object id of the one role that owns everything.
pub(crate) const OWNER: u32 = 10;
/// The object id of the database.
pub(crate) const DATABASE: u32 = 5;
/// The object id of the schema `public`.
pub(crate) const PUBLIC: u32 = 2200;
/// The object id of the schema `pg_catalog`.
const CATALOG: u32 = 11;
/// The object id of the schema `information_schema`.
pub(crate) const INFORMATION: u32 = 13_000;
/// Objects of the database have object ids from here, as in PostgreSQL.
pub(crate) const FIRST_OID: u32 = 16_384;

/// A table of a catalogue.
#[derive(Debug)]
pub(crate) struct SystemTable {
    pub(crate) schema: &'static str,
    pub(crate) oid: u32,
    pub(crate) columns: Vec<(String, SqlType)>,
}

/// One line a table: its schema, name, object id, and columns with types, as
/// PostgreSQL 15 has them.
const TABLES: &str = include_str!("system.txt");
/// Tables of mdbc's own, for functions such as `pg_get_indexdef`.
const OWN_TABLES: &str = "\
pg_catalog mdbc_definition 1 oid:oid part:int4 definition:text
pg_catalog mdbc_serial 2 relation:text attribute:text sequence:text
pg_catalog mdbc_version 3 version:int8";

/// Tables of the local database that clients may read, where no catalogue has
/// them.
pub(crate) const LOCAL: &str = "main";
/// Relations that the site computes when they are read.
pub(crate) const STATUS: &str = "status";
const LOCAL_TABLES: &str = "\
main mdbc_conflicts 4 number:int8 noted_at:timestamptz relation:text key:jsonb lost:jsonb \
lost_site:text lost_at:timestamptz kept_site:text kept_at:timestamptz";

static SYSTEM_TABLES: LazyLock<HashMap<&str, HashMap<&str, SystemTable>>> = LazyLock::new(|| {
    let mut tables: HashMap<&str, HashMap<&str, SystemTable>> = HashMap::new();
    let lines = TABLES
        .lines()
        .chain(OWN_TABLES.lines())
        .chain(LOCAL_TABLES.lines())
        .chain(status::RELATIONS.lines())
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (schema, name) = (words.next()?, words.next()?);
            let oid = words.next()?.parse().ok()?;
            let columns = words.filter_map(|word| {
                let (column, ty) = word.split_once(':')?;
                let ty = SqlType::by_name(ty).unwrap_or(SqlType::of(Base::Text));
                Some((column.to_owned(), ty))
            });
            let columns = columns.collect();
            Some((
                name,
                SystemTable {
                    schema,
                    oid,
                    columns,
                },
            ))
        });
    for (name, table) in lines {
        tables.entry(table.schema).or_default().insert(name, table);
    }
    tables
});

/// The table of a catalogue that a name means.
pub(crate) fn find(place: Place, name: &str) -> Option<&'static SystemTable> {
    let schema = match place {
        Place::Anywhere | Place::Catalog => "pg_catalog",
        Place::Information => "information_schema",
        Place::Public => LOCAL,
    };
    let found = SYSTEM_TABLES.get(schema)?.get(name);
    found.or_else(|| {
        let own = [LOCAL, STATUS].into_iter();
        let mut own = own.filter_map(|schema| SYSTEM_TABLES.get(schema)?.get(name));
        own.next().filter(|_| place == Place::Anywhere)
    })
}

/// A table of `pg_catalog`.
pub(crate) fn system_table(name: &str) -> Option<&'static SystemTable> {
    find(Place::Catalog, name)
}

/// All tables of catalogues, with their names.
pub(crate) fn system_tables() -> impl Iterator<Item = (&'static str, &'static SystemTable)> {
    let is_catalogue = |schema: &str| !matches!(schema, LOCAL | STATUS);
    let catalogues = SYSTEM_TABLES
        .iter()
        .filter(|(schema, _)| is_catalogue(schema));
    let mut tables: Vec<_> = catalogues
        .flat_map(|(_, tables)| tables)
        .map(|(name, table)| (*name, table))
        .collect();
    tables.sort_by_key(|(name, table)| (table.schema, *name));
    tables.into_iter()
}

/// Functions whose object ids drivers ask for.
const PROCEDURES: &[(&str, u32)] = &[
    ("array_in", 750),
    ("array_out", 751),
    ("array_recv", 2400),
    ("boolin", 1242),
    ("int4in", 42),
    ("textin", 46),
];

/// The object id of a function.
pub(crate) fn procedure(name: &str) -> Option<u32> {
    PROCEDURES
        .iter()
        .find(|(own, _)| *own == name)
        .map(|(_, oid)| *oid)
}

/// The object id of a schema.
pub(crate) fn namespace(name: &str) -> Option<u32> {
    match name {
        "public" => Some(PUBLIC),
        "pg_catalog" => Some(CATALOG),
        "information_schema" => Some(INFORMATION),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_postgresql_are_known() {
        let class = system_table("pg_class").unwrap();
        assert_eq!(class.oid, 1259);
        assert!(
            class
                .columns
                .iter()
                .any(|(name, ty)| name == "relname" && ty.base == Base::Name)
        );
        assert!(find(Place::Information, "columns").is_some());
        assert!(find(Place::Anywhere, "columns").is_none());
        assert!(system_tables().count() > 90);
    }
}
