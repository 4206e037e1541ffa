//! What handlers take from a request: each part is read once, by one extractor
//! here, and refused with a problem that says what would do.

pub(crate) mod body;
pub(crate) mod headers;
pub(crate) mod path;
pub(crate) mod query;

pub(crate) use body::{JsonBody, OctetsBody, OptionalJsonBody, ValueBody};
pub(crate) use headers::{Idempotency, MovesHeader, Write};
pub(crate) use path::{LockAt, MemberAt, RecipeAt, RecordAt, SectionRecordAt, TableAt, TicketAt};
pub(crate) use query::Query;
