//! PostgreSQL's types over the five storage classes of SQLite.
//!
//! Each type has one way to be stored, chosen so that SQLite compares and
//! sorts stored values as PostgreSQL does:
//!
//! | types | stored as |
//! |---|---|
//! | bool, int2, int4, int8, oid | integer |
//! | float4, float8 | real (no NaN: SQLite has none) |
//! | numeric | text in the collation `pg_numeric`, exact |
//! | text, varchar, char, name, uuid, json | text |
//! | jsonb | text in the collation `pg_jsonb`, in normal form |
//! | bytea | blob |
//! | date, time, timestamp, timestamptz | integer: days, or microseconds, since 2000-01-01 UTC |
//! | interval | text `months days microseconds`, in the collation `pg_interval` |
//! | arrays | text, a JSON array of the stored elements |

pub(crate) mod array;
pub(crate) mod binary;
pub(crate) mod datetime;
pub(crate) mod interval;
pub(crate) mod json;
pub(crate) mod numeric;
pub(crate) mod text;

use serde::{Deserialize, Serialize};

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// SQL's null.
    Null,
    /// A whole number, a truth value or a time.
    Integer(i64),
    /// A floating point number, never NaN.
    Real(f64),
    /// Text, without the character zero.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The text that it is; none where it is something else.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Roughly how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let held = match self {
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
        };
        held.saturating_add(size_of::<Self>())
    }
}

macro_rules! bases {
    ($(
        $name:ident $text:literal $display:literal $oid:literal $array:literal $size:literal
        $class:ident;
    )+) => {
        /// A type that is no array.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "PostgreSQL's types by their names")]
        pub enum Base { $($name,)+ }

        impl Base {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name in `pg_type`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The name in SQL, as `format_type` says it.
            pub(crate) const fn display(self) -> &'static str {
                match self { $(Self::$name => $display,)+ }
            }

            const fn oid(self) -> u32 {
                match self { $(Self::$name => $oid,)+ }
            }

            /// The object id of the type's arrays; 0 where there are none.
            pub(crate) const fn array_oid(self) -> u32 {
                match self { $(Self::$name => $array,)+ }
            }

            /// Bytes of a value in PostgreSQL; -1 for a varying number.
            pub(crate) const fn size(self) -> i16 {
                match self { $(Self::$name => $size,)+ }
            }

            pub(crate) const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)+ }
            }
        }
    };
}

/// How values of a type are stored and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Bool,
    Integer,
    Float,
    Numeric,
    Text,
    Bytes,
    Time,
    Interval,
    Uuid,
    Json,
    /// An object id that is shown by a name.
    Registered,
    /// An array by another name.
    Vector,
    /// Not known yet: a literal or a parameter.
    Unknown,
    /// Nothing that can be stored.
    Pseudo,
}

bases! {
    Bool "bool" "boolean" 16 1000 1 Bool;
    Bytea "bytea" "bytea" 17 1001 -1 Bytes;
    Char "char" "\"char\"" 18 1002 1 Text;
    Name "name" "name" 19 1003 64 Text;
    Int8 "int8" "bigint" 20 1016 8 Integer;
    Int2 "int2" "smallint" 21 1005 2 Integer;
    Int2Vector "int2vector" "int2vector" 22 1006 -1 Vector;
    Int4 "int4" "integer" 23 1007 4 Integer;
    Regproc "regproc" "regproc" 24 1008 4 Registered;
    Text "text" "text" 25 1009 -1 Text;
    Oid "oid" "oid" 26 1028 4 Integer;
    Xid "xid" "xid" 28 1011 4 Integer;
    OidVector "oidvector" "oidvector" 30 1013 -1 Vector;
    Json "json" "json" 114 199 -1 Json;
    PgNodeTree "pg_node_tree" "pg_node_tree" 194 0 -1 Text;
    Float4 "float4" "real" 700 1021 4 Float;
    Float8 "float8" "double precision" 701 1022 8 Float;
    Unknown "unknown" "unknown" 705 0 -2 Unknown;
    AclItem "aclitem" "aclitem" 1033 1034 12 Text;
    Bpchar "bpchar" "character" 1042 1014 -1 Text;
    Varchar "varchar" "character varying" 1043 1015 -1 Text;
    Date "date" "date" 1082 1182 4 Time;
    Time "time" "time without time zone" 1083 1183 8 Time;
    Timestamp "timestamp" "timestamp without time zone" 1114 1115 8 Time;
    Timestamptz "timestamptz" "timestamp with time zone" 1184 1185 8 Time;
    Interval "interval" "interval" 1186 1187 16 Interval;
    Numeric "numeric" "numeric" 1700 1231 -1 Numeric;
    Regclass "regclass" "regclass" 2205 2210 4 Registered;
    Regtype "regtype" "regtype" 2206 2211 4 Registered;
    Record "record" "record" 2249 2287 -1 Pseudo;
    Void "void" "void" 2278 0 4 Pseudo;
    Uuid "uuid" "uuid" 2950 2951 16 Uuid;
    Jsonb "jsonb" "jsonb" 3802 3807 -1 Json;
    Regnamespace "regnamespace" "regnamespace" 4089 4090 4 Registered;
    Regrole "regrole" "regrole" 4096 4097 4 Registered;
}

/// The type of a column, a parameter or an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SqlType {
    /// Its own, or its elements', type.
    pub base: Base,
    /// Whether it is an array of `base`.
    pub is_array: bool,
}

impl SqlType {
    /// The type itself, no array.
    pub const fn of(base: Base) -> Self {
        let is_array = false;
        Self { base, is_array }
    }

    /// The arrays of `base`.
    pub const fn array_of(base: Base) -> Self {
        let is_array = true;
        Self { base, is_array }
    }

    /// The object id in `pg_type`.
    pub fn oid(self) -> u32 {
        if self.is_array {
            self.base.array_oid()
        } else {
            self.base.oid()
        }
    }

    /// The type with an object id; none for one that mdbc does not know.
    pub fn by_oid(oid: u32) -> Option<Self> {
        Base::ALL.iter().find_map(|&base| {
            if base.oid() == oid {
                Some(Self::of(base))
            } else if oid != 0 && base.array_oid() == oid {
                Some(Self::array_of(base))
            } else {
                None
            }
        })
    }

    /// The type of a name as SQL writes it, in lower case, without brackets.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        let alias = match name {
            "decimal" | "dec" => "numeric",
            "int" | "integer" => "int4",
            "bigint" => "int8",
            "smallint" => "int2",
            "real" => "float4",
            "double precision" | "float" => "float8",
            "boolean" => "bool",
            "char varying" => "varchar",
            other => other,
        };
        let found = |base: &&Base| base.name() == alias || base.display() == alias;
        let base = Base::ALL.iter().find(found).copied();
        if let Some(base) = base {
            return Some(Self::of(base));
        }
        let element = Self::by_name(alias.strip_prefix('_')?)?;
        (!element.is_array).then_some(Self::array_of(element.base))
    }

    /// The type of its elements, where it is an array or a vector.
    pub(crate) fn element(self) -> Option<Self> {
        match (self.is_array, self.base) {
            (true, base) => Some(Self::of(base)),
            (false, Base::Int2Vector) => Some(Self::of(Base::Int2)),
            (false, Base::OidVector) => Some(Self::of(Base::Oid)),
            _ => None,
        }
    }

    pub(crate) fn class(self) -> Class {
        if self.is_array {
            Class::Vector
        } else {
            self.base.class()
        }
    }

    pub(crate) fn is_unknown(self) -> bool {
        self == Self::of(Base::Unknown)
    }

    /// Bytes of a value in PostgreSQL; -1 for a varying number.
    pub(crate) fn size(self) -> i16 {
        if self.is_array { -1 } else { self.base.size() }
    }

    /// The collation that compares stored values, where it is not SQLite's own.
    pub(crate) fn collation(self) -> Option<&'static str> {
        match self.class() {
            Class::Numeric => Some("pg_numeric"),
            Class::Interval => Some("pg_interval"),
            Class::Json if self.base == Base::Jsonb => Some("pg_jsonb"),
            _ => None,
        }
    }

    /// Whether SQLite sorts stored values as PostgreSQL does.
    pub(crate) fn is_sorted(self) -> bool {
        !matches!(self.class(), Class::Json | Class::Vector | Class::Pseudo)
    }

    /// Whether stored values are equal where PostgreSQL's are.
    pub(crate) fn is_compared(self) -> bool {
        let is_exact = matches!(self.base, Base::Numeric | Base::Interval | Base::Jsonb);
        self.base != Base::Json && !(self.is_array && is_exact) && self.class() != Class::Pseudo
    }

    /// The type of a column in a strict SQLite table.
    pub(crate) fn storage(self) -> &'static str {
        match self.class() {
            Class::Bool | Class::Integer | Class::Time | Class::Registered => "INTEGER",
            Class::Float => "REAL",
            Class::Bytes => "BLOB",
            _ => "TEXT",
        }
    }

    /// The name as `format_type` says it.
    pub(crate) fn display(self, modifier: i32) -> String {
        let name = self.base.display();
        let brackets = if self.is_array { "[]" } else { "" };
        let scaled = match self.base {
            Base::Varchar | Base::Bpchar if modifier >= 4 => format!("{name}({})", modifier - 4),
            Base::Numeric if modifier >= 4 => {
                let packed = modifier - 4;
                format!("{name}({},{})", packed >> 16, packed & 0x7ff)
            }
            Base::Timestamp | Base::Timestamptz | Base::Time if modifier >= 0 => {
                name.replacen(' ', &format!("({modifier}) "), 1)
            }
            _ => name.to_owned(),
        };
        format!("{scaled}{brackets}")
    }
}

impl std::fmt::Display for SqlType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.display(-1))
    }
}

/// How values look to one session.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The zone in which `timestamptz` is shown and read.
    pub(crate) zone: jiff::tz::TimeZone,
}

impl Default for Look {
    fn default() -> Self {
        let zone = jiff::tz::TimeZone::UTC;
        Self { zone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_by_its_object_id_and_its_names() {
        for &base in Base::ALL {
            let ty = SqlType::of(base);
            assert_eq!(SqlType::by_oid(ty.oid()), Some(ty));
            assert_eq!(SqlType::by_name(base.name()), Some(ty));
        }
        assert_eq!(SqlType::by_oid(1007), Some(SqlType::array_of(Base::Int4)));
        assert_eq!(
            SqlType::by_name("_text"),
            Some(SqlType::array_of(Base::Text))
        );
        assert_eq!(SqlType::by_name("tsvector"), None);
    }

    #[test]
    fn a_type_is_shown_with_its_modifier() {
        let show = |base, modifier| SqlType::of(base).display(modifier);
        assert_eq!(show(Base::Varchar, 14), "character varying(10)");
        assert_eq!(show(Base::Numeric, (10 << 16 | 2) + 4), "numeric(10,2)");
        assert_eq!(show(Base::Timestamp, 3), "timestamp(3) without time zone");
        assert_eq!(SqlType::array_of(Base::Int4).display(-1), "integer[]");
    }
}
