//! `/v1/recipes/queues/{name}`.

use serde::{Deserialize, Serialize};

use crate::name::Value;

/// A queue as the site knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkQueue {
    /// How many items there are: ready, held back, and with a taker.
    pub length: u64,
}

/// Body of `POST …/push`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PushItems {
    /// In this order; 1 to 256.
    pub items: Vec<PushItem>,
}

/// An item to push.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PushItem {
    /// What it is: at most 16,384 bytes.
    pub value: Value,
    /// How urgent it is: 255 goes first, 0 last.
    #[serde(default)]
    pub priority: u8,
    /// How long it is held back, in ms: up to a year.
    #[serde(default)]
    pub delay_ms: u64,
}

/// Answer to `POST …/push`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemsPushed {
    /// How many: all of them.
    pub pushed: u64,
}

/// Body of `POST …/take`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TakeItems {
    /// How many at most, 1 to 32; one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// For how long they are this taker's, in ms: 100 to a day; 30 s if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_ms: Option<u64>,
    /// How long to wait for an item, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Answer to `POST …/take`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemsTaken {
    /// None where there was none in time.
    pub items: Vec<TakenItem>,
}

/// An item that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TakenItem {
    /// Its id: one item of the queue has it, for ever.
    pub id: String,
    /// The fencing token of this delivery: greater than those of all earlier ones.
    pub token: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// What was pushed.
    pub value: Value,
}

/// Body of `POST …/done`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ItemDone {
    /// The item's id.
    pub id: String,
    /// The token of its delivery.
    pub token: u64,
}

/// Body of `POST …/give-back`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GiveItemBack {
    /// The item's id.
    pub id: String,
    /// The token of its delivery.
    pub token: u64,
    /// How long it is held back from others, in ms.
    #[serde(default)]
    pub after_ms: u64,
}

/// Body of `POST …/renew`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewClaim {
    /// The item's id.
    pub id: String,
    /// The token of its delivery.
    pub token: u64,
    /// For how long it is this taker's from now, in ms: 100 to a day.
    pub claim_ms: u64,
}

/// Answer to what was done to an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemSettled {
    /// The item's id.
    pub id: String,
}
