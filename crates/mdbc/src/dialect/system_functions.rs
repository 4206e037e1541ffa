//! Functions about the database and the session, and names of objects.

use super::cast::{Strength, registry};
use super::{Compiler, Typed, parse};
use crate::catalog;
use crate::error::{Result, SqlError, state};
use crate::types::{Base, Class, SqlType};

const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    /// Values that SQL writes as bare words.
    pub(super) fn bare_function(&self, name: &str) -> Result<Option<Typed>> {
        let zoned = |sql: &str, to: Base| -> Result<Option<Typed>> {
            self.needs_freedom(name)?;
            let moment = Typed::of(sql, Base::Timestamptz);
            Ok(Some(self.cast(
                moment,
                SqlType::of(to),
                Strength::Explicit,
            )?))
        };
        match name {
            "current_timestamp" => zoned("pg_now()", Base::Timestamptz),
            "localtimestamp" => zoned("pg_now()", Base::Timestamp),
            "current_date" => zoned("pg_now()", Base::Date),
            "localtime" => zoned("pg_now()", Base::Time),
            "current_user" | "session_user" | "user" | "current_role" => {
                self.needs_freedom(name)?;
                Ok(Some(Typed::of(
                    parse::literal(self.environment.user),
                    Base::Name,
                )))
            }
            "current_catalog" => Ok(Some(Typed::of(
                parse::literal(self.environment.database),
                Base::Name,
            ))),
            "current_schema" => Ok(Some(Typed::of("'public'", Base::Name))),
            _ => Ok(None),
        }
    }

    /// Functions that ask the catalogue.
    pub(super) fn system_function(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
        match (name, arguments) {
            ("current_database", []) => self.bare_function("current_catalog"),
            (
                "current_timestamp" | "localtimestamp" | "current_date" | "current_user"
                | "session_user" | "current_schema" | "current_role" | "user" | "localtime"
                | "current_catalog",
                [],
            ) => self.bare_function(name),
            ("current_schemas", [with_implicit]) => {
                let with_implicit = self.condition(with_implicit.clone(), "current_schemas")?;
                let sql = format!(
                    "(CASE WHEN {} THEN '[\"pg_catalog\",\"public\"]' ELSE '[\"public\"]' END)",
                    with_implicit.sql
                );
                Ok(Some(Typed::new(sql, SqlType::array_of(Base::Name))))
            }
            ("nextval" | "currval" | "setval", [sequence, ..]) => {
                self.sequence(name, sequence, arguments)
            }
            ("lastval", []) => {
                self.needs_freedom("lastval()")?;
                Ok(Some(Typed::of("pg_lastval()", Base::Int8)))
            }
            _ => self.lookup(name, arguments),
        }
    }

    /// Functions that look something up in the catalogue. What they ask has a
    /// name of its own, so that no name of the query means it.
    fn lookup(&self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>> {
        let number = |value: &Typed, base| -> Result<String> {
            let value = self.cast(value.clone(), SqlType::of(base), Strength::Explicit)?;
            Ok(value.sql)
        };
        let oid = |value| number(value, Base::Oid);
        let part = |value| number(value, Base::Int4);
        let text = |value: &Typed| -> Result<String> {
            Ok(self.cast(value.clone(), TEXT, Strength::Explicit)?.sql)
        };
        let (sql, base) = match (name, arguments) {
            ("pg_get_userbyid", [role]) => {
                let found = found("rolname", "pg_authid", &format!("oid = {}", oid(role)?));
                (format!("coalesce({found}, 'unknown')"), Base::Name)
            }
            ("pg_table_is_visible", [table]) => {
                let found = found(
                    "relnamespace",
                    "pg_class",
                    &format!("oid = {}", oid(table)?),
                );
                (
                    format!("coalesce({found} <> {}, 0)", catalog::INFORMATION),
                    Base::Bool,
                )
            }
            ("pg_get_indexdef", [own])
            | ("pg_get_constraintdef" | "pg_get_viewdef", [own] | [own, _]) => {
                (definition(&oid(own)?, "0"), Base::Text)
            }
            ("pg_get_indexdef", [own, number, _]) => {
                (definition(&oid(own)?, &part(number)?), Base::Text)
            }
            ("obj_description", [own] | [own, _]) => (description(&oid(own)?, "0"), Base::Text),
            ("col_description", [own, number]) => {
                (description(&oid(own)?, &part(number)?), Base::Text)
            }
            ("to_regclass", [name]) => {
                let bare = format!("replace(replace({}, 'public.', ''), '\"', '')", text(name)?);
                (
                    found("oid", "pg_class", &format!("relname = {bare}")),
                    Base::Regclass,
                )
            }
            ("to_regtype", [name]) => {
                let bare = format!("lower(replace({}, 'pg_catalog.', ''))", text(name)?);
                (
                    found("oid", "pg_type", &format!("typname = {bare}")),
                    Base::Regtype,
                )
            }
            ("pg_get_serial_sequence", [table, column]) => {
                let bare = format!(
                    "replace(replace({}, 'public.', ''), '\"', '')",
                    text(table)?
                );
                let test = format!("relation = {bare} AND mdbc_c.attribute = {}", text(column)?);
                (
                    format!("('public.' || {})", found("sequence", "mdbc_serial", &test)),
                    Base::Text,
                )
            }
            _ => return Ok(None),
        };
        self.uses_catalog.set(true);
        Ok(Some(Typed::of(sql, base)))
    }

    fn sequence(&self, name: &str, sequence: &Typed, arguments: &[Typed]) -> Result<Option<Typed>> {
        self.needs_freedom(&format!("{name}()"))?;
        let sequence = self.cast(
            sequence.clone(),
            SqlType::of(Base::Regclass),
            Strength::Implicit,
        )?;
        let int8 = SqlType::of(Base::Int8);
        let sql = match arguments {
            [_] if name != "setval" => format!("pg_{name}({})", sequence.sql),
            [_, value] if name == "setval" => {
                let value = self.cast(value.clone(), int8, Strength::Implicit)?;
                format!("pg_setval({}, {}, 1)", sequence.sql, value.sql)
            }
            [_, value, is_called] if name == "setval" => {
                let value = self.cast(value.clone(), int8, Strength::Implicit)?;
                let is_called = self.condition(is_called.clone(), "setval")?;
                format!(
                    "pg_setval({}, {}, {})",
                    sequence.sql, value.sql, is_called.sql
                )
            }
            _ => return Ok(None),
        };
        if name != "currval" {
            self.access.borrow_mut().is_sequence = true;
        }
        Ok(Some(Typed::new(sql, int8)))
    }

    /// The object id that a constant names, where `to` is a type of them.
    pub(super) fn registered(&self, to: SqlType, text: &str) -> Result<Option<u32>> {
        if to.class() != Class::Registered {
            return Ok(None);
        }
        if let Ok(oid) = text.trim().parse() {
            return Ok(Some(oid));
        }
        let name = text
            .trim()
            .trim_start_matches("public.")
            .trim_start_matches("pg_catalog.");
        let name = match name
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => name.to_lowercase(),
        };
        let found = match to.base {
            Base::Regtype => SqlType::by_name(name.trim_end_matches("[]")).map(|ty| {
                if name.ends_with("[]") {
                    SqlType::array_of(ty.base).oid()
                } else {
                    ty.oid()
                }
            }),
            Base::Regproc => catalog::procedure(&name),
            Base::Regnamespace => catalog::namespace(&name),
            Base::Regrole => Some(catalog::OWNER),
            _ => self
                .schema()
                .get(&name)
                .map(catalog::schema::Relation::oid)
                .or_else(|| catalog::system_table(&name).map(|table| table.oid))
                .or_else(|| self.index_oid(&name)),
        };
        if let Some(oid) = found {
            Ok(Some(oid))
        } else {
            let (code, noun) = match to.base {
                Base::Regclass => (state::UNDEFINED_TABLE, "relation"),
                Base::Regtype => (state::UNDEFINED_OBJECT, "type"),
                Base::Regproc => (state::UNDEFINED_FUNCTION, "function"),
                _ => (state::UNDEFINED_OBJECT, "schema"),
            };
            Err(SqlError::new(
                code,
                format!("{noun} \"{name}\" does not exist"),
            ))
        }
    }

    fn index_oid(&self, name: &str) -> Option<u32> {
        let table = self.schema().table_of_index(name)?;
        let key = table.primary_key.as_ref().filter(|key| key.name == name);
        let index = table.indexes.iter().find(|index| index.name == name);
        key.map(|key| key.index_oid)
            .or_else(|| index.map(|index| index.oid))
    }

    /// The name of an object id.
    pub(super) fn registered_name(&self, ty: SqlType, sql: &str) -> String {
        if ty.base == Base::Regtype {
            return format!("pg_format_type({sql}, NULL)");
        }
        self.uses_catalog.set(true);
        let (table, column) = registry(ty);
        {
            let found = found(column, table, &format!("oid = {sql}"));
            format!("coalesce({found}, CAST({sql} AS TEXT))")
        }
    }

    /// A value as the client gets it: names instead of object ids.
    pub(super) fn shown(&self, value: Typed) -> Typed {
        if value.ty.class() != Class::Registered || value.ty.is_array {
            return value;
        }
        let sql = self.registered_name(value.ty, &value.sql);
        Typed {
            sql,
            literal: None,
            ..value
        }
    }
}

/// What a table of the catalogue has, where a condition on it holds.
fn found(column: &str, table: &str, condition: &str) -> String {
    format!(
        "(SELECT mdbc_c.{column} FROM pg_catalog.{table} AS mdbc_c WHERE mdbc_c.{condition} \
         LIMIT 1)"
    )
}

fn definition(oid: &str, part: &str) -> String {
    let condition = format!("oid = {oid} AND mdbc_c.part = {part}");
    found("definition", "mdbc_definition", &condition)
}

fn description(oid: &str, part: &str) -> String {
    let condition = format!("objoid = {oid} AND mdbc_c.objsubid = {part}");
    found("description", "pg_description", &condition)
}
