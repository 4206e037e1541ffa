//! `/v1/locks`: lockRefs and critical sections.

use serde::{Deserialize, Serialize};

use crate::name::{FieldChanges, KeyRef};
use crate::table::Record;

/// Whether a lockRef admits others beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Alone; may read and write.
    #[default]
    Exclusive,
    /// Beside other shared ones; reads only.
    Shared,
}

/// Body of `POST /v1/locks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateLockRef {
    /// The keys to lock together, each once, all of critical tables.
    pub keys: Vec<KeyRef>,
    /// Exclusive if absent.
    #[serde(default)]
    pub mode: LockMode,
    /// How long the client may go unheard before its section is ended, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// How long to wait here for the grant, in ms; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Where a section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// Queued behind others.
    Waiting,
    /// Its critical section may run.
    Granted,
    /// Preempted, or taken over through another node.
    Lost,
    /// Released here.
    Released,
}

/// A fencing token: goes up with every section on the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencingToken {
    /// The key.
    #[serde(flatten)]
    pub key: KeyRef,
    /// The token.
    pub token: u64,
}

/// The schema of a [`FencingToken`]: a flattened [`KeyRef`] would say that it
/// has no field beside its own.
#[cfg(feature = "openapi")]
mod token_schema {
    use std::borrow::Cow;

    use utoipa::openapi::{RefOr, Schema};
    use utoipa::{PartialSchema, ToSchema};

    use super::FencingToken;
    use crate::name::Key;

    /// A fencing token: goes up with every section on the key.
    #[derive(ToSchema)]
    #[expect(dead_code, reason = "stands for the JSON, and is never built")]
    struct Flat {
        /// The table's name.
        table: String,
        /// The key.
        key: Key,
        /// The token.
        token: u64,
    }

    impl PartialSchema for FencingToken {
        fn schema() -> RefOr<Schema> {
            Flat::schema()
        }
    }

    impl ToSchema for FencingToken {
        fn name() -> Cow<'static, str> {
            "FencingToken".into()
        }

        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Flat::schemas(schemas);
        }
    }
}

/// A lockRef and where its section stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lock {
    /// The lockRef: opaque, good at any node.
    pub lock_ref: String,
    /// Where the section stands.
    pub state: LockState,
    /// A token a key, once granted; empty before.
    pub tokens: Vec<FencingToken>,
    /// The lease in force: renew at least three times as often.
    pub lease_ms: u64,
    /// The site whose node keeps the section.
    pub site: String,
}

/// Body of `POST /v1/locks/{lock_ref}/acquire`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Acquire {
    /// How long to wait for the grant, in ms; 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Body of `POST /v1/locks/{lock_ref}/release`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Whether to find out that nobody else was granted in between.
    #[serde(default)]
    pub confirm: bool,
}

/// Answer to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Released {
    /// Always `released`.
    pub state: LockState,
    /// Whether nobody else was granted in between, so that the whole section
    /// counts; false where that was not asked.
    pub confirmed: bool,
}

/// Answer to a forced release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forced {
    /// Whether some ticket was still there, and was removed.
    pub removed: bool,
}

/// Body of `POST /v1/locks/{lock_ref}/batch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The steps, sent out together; those on one key are atomic only where
    /// they are one step.
    pub steps: Vec<Step>,
}

/// One critical operation of a batch or a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Reads a record.
    Get {
        /// The table's name.
        table: String,
        /// The key.
        key: crate::name::Key,
    },
    /// Writes fields together; `null` deletes a field.
    Put {
        /// The table's name.
        table: String,
        /// The key.
        key: crate::name::Key,
        /// The fields; the default field has the empty name.
        fields: FieldChanges,
    },
    /// Deletes a record with all its fields.
    Delete {
        /// The table's name.
        table: String,
        /// The key.
        key: crate::name::Key,
    },
}

/// What a step did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// What a get read.
    Record(Record),
    /// The stamp of a put or delete that a majority has.
    Written {
        /// The stamp.
        stamp: u64,
    },
    /// The step failed; others may have succeeded.
    Problem(crate::problem::Problem),
}

/// Answer to a batch: a result a step, in the same order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchResult {
    /// The results.
    pub results: Vec<StepResult>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_flat_in_json() {
        let key = KeyRef {
            table: "locks".to_owned(),
            key: "a".into(),
        };
        let token = FencingToken { key, token: 7 };
        let json = serde_json::json!({ "table": "locks", "key": "a", "token": 7 });
        assert_eq!(serde_json::to_value(&token).unwrap(), json);
        assert_eq!(serde_json::from_value::<FencingToken>(json).unwrap(), token);
    }
}
