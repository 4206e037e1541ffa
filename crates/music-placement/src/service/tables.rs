//! The three tables, and what a record of each says.
//!
//! | table | mode | key | record |
//! |---|---|---|---|
//! | [`TEMPLATES`] | eventual | template | [`Submission`]: its files |
//! | [`PLACEMENTS`] | critical | template | [`Placement`]: who has it |
//! | [`CAPACITY`] | critical | site | [`Reservations`]: what is taken |
//!
//! Templates are eventual so that a client can submit at a site that is cut
//! off. The other two decide something, so only the holder of a key's lock
//! writes them. All can be read anywhere at one replica; such a read is a hint.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use music_client::api::code::Code;
use music_client::api::name::{Key, Value};
use music_client::api::table::{Record, TableMode};
use music_client::{Client, Content, CriticalSection, RecordKey, ScanOptions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::demand::{Capacity, Demand};
use crate::hot::Files;

/// Templates as they were submitted.
pub const TEMPLATES: &str = "templates";
/// Which site has a template: the truth.
pub const PLACEMENTS: &str = "placements";
/// What is taken of each site.
pub const CAPACITY: &str = "capacity";

/// Creates the three tables, or finds them.
///
/// # Errors
/// Where no majority answers, or one of them is there in another mode.
///
/// # Cost
/// One consensus for each table that is new.
///
/// # Cancel safety
/// Some tables may be created.
pub async fn create_tables(client: &Client) -> Result<(), Error> {
    client.create_table(TEMPLATES, TableMode::Eventual).await?;
    client.create_table(PLACEMENTS, TableMode::Critical).await?;
    client.create_table(CAPACITY, TableMode::Critical).await?;
    Ok(())
}

/// Drops the tables of the service, with all that is in them, where they are
/// there.
///
/// # Errors
/// Where no node or no majority answers. To be repeated.
///
/// # Cancel safety
/// Some tables may have been dropped.
pub async fn drop_tables(client: &Client) -> Result<(), Error> {
    for table in [TEMPLATES, PLACEMENTS, CAPACITY] {
        match client.drop_table(table).await {
            Err(error) if error.code() != Some(Code::NoSuchTable) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A template as it was submitted; its name is the record's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// The text of the template and of all it nests, by file name.
    pub files: Files,
}

/// What has become of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// How far it is.
    #[serde(flatten)]
    pub status: Status,
    /// The site that says so.
    pub site: String,
    /// The worker that says so.
    pub worker: String,
    /// The token of the section that says so, as that site's inventory was
    /// given it.
    pub token: u64,
    /// That section's lockRef.
    pub lock_ref: String,
    /// When, in ms since 1970; by that worker's clock, for people to read.
    pub at_ms: u64,
}

/// How far a template is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// A worker may be about to create it at its site.
    Claimed,
    /// It is in the site's inventory, and in no other for good.
    Placed,
    /// It cannot be placed at any site as it is.
    Unplaceable {
        /// Why not.
        reason: String,
    },
}

impl Placement {
    /// Whether the template is placed at this site.
    pub fn is_placed_at(&self, site: &str) -> bool {
        self.status == Status::Placed && self.site == site
    }
}

/// What is taken of a site, by template. Whatever a worker may have made there
/// is named here; what the mapping does not name is taken off again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservations {
    /// What each template takes.
    pub templates: BTreeMap<String, Demand>,
}

impl Reservations {
    /// What the site has left for a template: a reservation that an earlier
    /// claim of the same template left counts as free. `None` where more is
    /// taken than there is.
    #[must_use]
    pub fn free_for(&self, template: &str, total: Capacity) -> Option<Capacity> {
        let others = self.templates.iter().filter(|(name, _)| *name != template);
        others
            .map(|(_, demand)| *demand)
            .try_fold(total, Capacity::checked_sub)
    }
}

/// The key of a template's placement.
pub(crate) fn placement_key(template: &str) -> RecordKey {
    (PLACEMENTS, template).into()
}

/// The key of a site's reservations.
pub(crate) fn capacity_key(site: &str) -> RecordKey {
    (CAPACITY, site).into()
}

/// Reads a record in a section: its latest state.
pub(crate) async fn critical_get<T: DeserializeOwned>(
    section: &CriticalSection,
    table: &'static str,
    key: &str,
) -> Result<Option<T>, Error> {
    let stored = section.get((table, key)).await?;
    stored
        .map(|stored| serde_json::from_slice(&stored.content.bytes))
        .transpose()
        .map_err(|source| malformed(table, key, source))
}

/// Writes a record in a section.
pub(crate) async fn critical_put(
    section: &CriticalSection,
    record: RecordKey,
    value: &impl Serialize,
) -> Result<(), Error> {
    let content = Content::json(value).map_err(music_client::Error::from)?;
    section.put(record, content).await?;
    Ok(())
}

/// Reads a record at the nearest replica: a hint. One that is not ours is none.
pub(crate) async fn hint<T: DeserializeOwned>(
    client: &Client,
    table: &'static str,
    key: &str,
) -> Result<Option<T>, Error> {
    let stored = client.get((table, key)).await?;
    Ok(stored.and_then(|stored| serde_json::from_slice(&stored.content.bytes).ok()))
}

/// Reads a whole table at the nearest replica, by key. A key that is not text
/// is none of this service's.
pub(crate) async fn scan(
    client: &Client,
    table: &'static str,
) -> Result<BTreeMap<String, Record>, Error> {
    let pages: Vec<Vec<Record>> = client
        .scan(table, ScanOptions::default())
        .try_collect()
        .await?;
    let named = pages.into_iter().flatten().filter_map(|record| {
        let Key::Text(name) = &record.key else {
            return None;
        };
        Some((name.clone(), record))
    });
    Ok(named.collect())
}

/// What has become of each template, as the nearest replica has it: a hint.
pub(crate) async fn placements(client: &Client) -> Result<BTreeMap<String, Placement>, Error> {
    let records = scan(client, PLACEMENTS).await?;
    let ours = records
        .into_iter()
        .filter_map(|(name, record)| Some((name, read(&record).ok()?)));
    Ok(ours.collect())
}

/// What a record that was scanned says.
pub(crate) fn read<T: DeserializeOwned>(record: &Record) -> Result<T, serde_json::Error> {
    match record.fields.get("") {
        Some(Value::Json(value)) => T::deserialize(value),
        _ => Err(serde::de::Error::custom("its default field is not JSON")),
    }
}

fn malformed(table: &'static str, key: &str, source: serde_json::Error) -> Error {
    let key = key.to_owned();
    Error::Malformed { table, key, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(vcpus: u64) -> Demand {
        Demand {
            vcpus,
            ..Demand::default()
        }
    }

    #[test]
    fn a_placement_is_read_as_it_was_written() {
        let text = serde_json::json!({
            "status": "placed", "site": "ohio", "worker": "ohio-1", "token": 7,
            "lock_ref": "abc", "at_ms": 1,
        });
        let placement: Placement = serde_json::from_value(text.clone()).unwrap();
        assert!(placement.is_placed_at("ohio"));
        assert!(!placement.is_placed_at("oregon"));
        assert_eq!(serde_json::to_value(&placement).unwrap(), text);
    }

    #[test]
    fn a_claim_is_no_placement() {
        let text = r#"{"status": "claimed", "site": "ohio", "worker": "ohio-1", "token": 7,
            "lock_ref": "abc", "at_ms": 1}"#;
        let placement: Placement = serde_json::from_str(text).unwrap();
        assert!(!placement.is_placed_at("ohio"));
    }

    #[test]
    fn a_reservation_left_behind_does_not_stand_in_its_templates_way() {
        let reservations = Reservations {
            templates: BTreeMap::from([("a".to_owned(), demand(3)), ("b".to_owned(), demand(4))]),
        };
        let total = Capacity {
            vcpus: 8,
            ..Capacity::default()
        };
        let free = |name| reservations.free_for(name, total).map(|free| free.vcpus);
        assert_eq!(free("a"), Some(4));
        assert_eq!(free("c"), Some(1));
    }

    #[test]
    fn a_site_that_shrank_below_what_is_taken_has_nothing_to_give() {
        let reservations = Reservations {
            templates: BTreeMap::from([("a".to_owned(), demand(3))]),
        };
        assert_eq!(reservations.free_for("b", Capacity::default()), None);
    }
}
