//! Header names of our own, and those that mean something special here.

/// Names a changing request, so that a retry is the same request.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The stamp of the value, or the highest of the record, as a number.
pub const STAMP: &str = "music-stamp";
/// How often the client has moved its section to another node, as a number: an
/// older request that lands late then takes nothing. Absent: 0.
pub const MOVES: &str = "music-moves";
/// Identifies a request in answers and logs.
pub const REQUEST_ID: &str = "x-request-id";
/// The site whose node answered.
pub const SITE: &str = "music-site";

/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
