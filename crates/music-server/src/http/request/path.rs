//! Tables, keys and lockRefs as the path of a request names them.
//!
//! Keys are any bytes, percent-encoded, so the path is read raw: a `%2F` is
//! part of a key, and what is decoded need not be UTF-8.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use hyper::http::request::Parts;
use music_api::code::Code;
use music_core::id::{Key, RecordId, RequestId};
use music_core::lock_ref::LockRef;
use music_store::{Table, TableName};

use crate::http::app::App;
use crate::http::convert;
use crate::http::problem::Failure;
use crate::node::SectionRef;

/// Where in a path its parts are, by what follows `/v1/`.
struct Places {
    table: usize,
    key: usize,
}

impl Places {
    fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/")?;
        match rest.split('/').next()? {
            "tables" => Some(Self { table: 3, key: 5 }),
            "locks" => Some(Self { table: 5, key: 7 }),
            "queues" => Some(Self { table: 3, key: 4 }),
            "dev" => Some(Self { table: 4, key: 5 }),
            _ => None,
        }
    }
}

/// The raw segment of that number; the one before the first `/` is 0.
pub(crate) fn segment(path: &str, number: usize) -> &str {
    path.split('/').nth(number).unwrap_or_default()
}

/// Decodes `%XX`; `None` where an escape is malformed.
pub(crate) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn table_name(path: &str) -> Result<TableName, Failure> {
    let text = segment(path, Places::of(path).map_or(3, |places| places.table));
    let name = percent_decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let name =
        name.ok_or_else(|| Failure::new(Code::BadTableName, "The table's name is no UTF-8."))?;
    convert::table_name(name)
}

fn key(path: &str) -> Result<Key, Failure> {
    let text = segment(path, Places::of(path).map_or(5, |places| places.key));
    let bytes = percent_decode(text).ok_or_else(|| {
        Failure::new(
            Code::BadKey,
            "The key has a malformed escape: write each byte that is no letter or digit as %XX, \
             a slash as %2F.",
        )
    })?;
    convert::key(bytes)
}

/// The name of a table, which need not exist.
pub(crate) struct TableAt(pub(crate) TableName);

impl<S: Sync> FromRequestParts<S> for TableAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        table_name(parts.uri.path()).map(Self)
    }
}

/// A key of an existing table.
pub(crate) struct RecordAt {
    /// The table.
    pub(crate) table: Table,
    /// The key.
    pub(crate) id: RecordId,
}

impl RecordAt {
    /// Reads the path of a request that names a table and a key.
    pub(crate) fn read(path: &str, app: &App) -> Result<Self, Failure> {
        let name = table_name(path)?;
        let key = key(path)?;
        let table = app.node.table(&name)?;
        Ok(Self {
            id: RecordId {
                table: table.id,
                key,
            },
            table,
        })
    }
}

impl FromRequestParts<Arc<App>> for RecordAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        Self::read(parts.uri.path(), app)
    }
}

/// A ticket in the queue of a key.
pub(crate) struct TicketAt {
    /// The key.
    pub(crate) id: RecordId,
    /// The ticket's number.
    pub(crate) number: LockRef,
}

impl FromRequestParts<Arc<App>> for TicketAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let path = parts.uri.path();
        let number = segment(path, 5).parse().ok().and_then(LockRef::new);
        let number = number
            .filter(|number| *number > LockRef::NONE)
            .ok_or_else(|| {
                let highest = LockRef::MAX;
                Failure::new(
                    Code::OutOfRange,
                    format!("A ticket's number is 1 to {highest}, as GET /v1/queues tells it."),
                )
            })?;
        Ok(Self {
            id: RecordAt::read(path, app)?.id,
            number,
        })
    }
}

/// A key inside a section: `/v1/locks/{lock_ref}/tables/{table}/keys/{key}`.
pub(crate) struct SectionRecordAt {
    /// The section.
    pub(crate) request: RequestId,
    /// The key.
    pub(crate) id: RecordId,
}

impl FromRequestParts<Arc<App>> for SectionRecordAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let path = parts.uri.path();
        let section = convert::section(segment(path, 3))?;
        Ok(Self {
            request: section.request,
            id: RecordAt::read(path, app)?.id,
        })
    }
}

/// The section that a lockRef names.
pub(crate) struct LockAt {
    /// The lockRef, as the path has it.
    pub(crate) text: String,
    /// What it says.
    pub(crate) section: SectionRef,
}

impl<S: Sync> FromRequestParts<S> for LockAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let text = segment(parts.uri.path(), 3);
        let section = convert::section(text)?;
        Ok(Self {
            text: text.to_owned(),
            section,
        })
    }
}

/// A recipe: `/v1/recipes/{kind}/{name}` and more.
pub(crate) struct RecipeAt(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for RecipeAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        recipe_name(parts.uri.path(), 4).map(Self)
    }
}

/// A member of a group: `/v1/recipes/groups/{name}/members/{member}`.
pub(crate) struct MemberAt {
    /// The group.
    pub(crate) group: String,
    /// The member.
    pub(crate) member: String,
}

impl<S: Sync> FromRequestParts<S> for MemberAt {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let path = parts.uri.path();
        Ok(Self {
            group: recipe_name(path, 4)?,
            member: recipe_name(path, 6)?,
        })
    }
}

fn recipe_name(path: &str, number: usize) -> Result<String, Failure> {
    let bytes = percent_decode(segment(path, number));
    let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| {
        Failure::new(
            Code::BadRecipeName,
            "The name is no UTF-8, or has a malformed escape: write each byte that is no letter \
             or digit as %XX, a slash as %2F.",
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_key_once_encoded(
            bytes in proptest::collection::vec(any::<u8>(), 1..64),
        ) {
            let encoded: Vec<_> = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
            let encoded = encoded.concat();
            prop_assert_eq!(percent_decode(&encoded), Some(bytes.clone()));
            let path = format!("/v1/tables/kv/keys/{encoded}/fields");
            prop_assert_eq!(key(&path).unwrap(), Key::new(bytes).unwrap());
        }

        #[test]
        fn any_path_is_read_or_refused(path in ".{0,100}") {
            let path = format!("/v1/{path}");
            let refused = |failure: Failure| failure.status().as_u16();
            prop_assert_eq!(key(&path).map_err(refused).err().unwrap_or(400), 400);
            prop_assert_eq!(table_name(&path).map_err(refused).err().unwrap_or(400), 400);
        }
    }

    #[test]
    fn a_malformed_escape_is_refused() {
        for text in ["%", "a%2", "%zz", "%+1"] {
            assert_eq!(percent_decode(text), None);
        }
    }
}
