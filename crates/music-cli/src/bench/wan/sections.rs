//! Sections of MUSIC, as a program does them.

use futures_util::future::try_join_all;
use music_client::api::name::Value;
use music_client::api::table::TableMode;
use music_client::{Client, CriticalSection, Error, Options};

use super::super::draw::Draw;
use super::{How, Times, Wanted, whole};

/// The table of all that is put.
const TABLE: &str = "bench-wan";

/// A client of MUSIC.
pub(super) struct Sections(Client);

impl Sections {
    /// Connects, and makes the table where there is none.
    pub(super) async fn open(node: &str) -> Result<Self, String> {
        let open = async {
            let client = Client::new([node], Options::default())?;
            client.create_table(TABLE, TableMode::Critical).await?;
            Ok::<_, Error>(Self(client))
        };
        open.await.map_err(|error| whole(&error))
    }

    /// Does one.
    pub(super) async fn section(&self, wanted: &Wanted) -> Result<Times, String> {
        self.timed(wanted).await.map_err(|error| whole(&error))
    }

    async fn timed(&self, wanted: &Wanted) -> Result<Times, Error> {
        let key = wanted.key.as_str();
        let value = Draw::new(wanted.id).bytes(wanted.bytes);
        let batch = (wanted.how == How::Batch).then(|| fields(wanted.puts, &value));
        let mut times = Times::begin();
        let section = self.0.lock([(TABLE, key)]).acquire().await?;
        times.granted();
        if let Some(batch) = batch {
            section.put_fields((TABLE, key), batch).await?;
        } else {
            let puts = (0..wanted.puts).map(|field| put(&section, key, field, value.clone()));
            match wanted.how {
                How::OneByOne => {
                    for put in puts {
                        put.await?;
                    }
                }
                How::Pipelined | How::Batch => drop(try_join_all(puts).await?),
            }
        }
        times.hold(wanted).await;
        section.release().await?;
        Ok(times.end())
    }
}

fn fields(puts: u32, value: &[u8]) -> std::collections::BTreeMap<String, Option<Value>> {
    use base64::Engine as _;
    let data = base64::engine::general_purpose::STANDARD.encode(value);
    let value = Value::Base64 {
        data,
        content_type: None,
    };
    let field = |field| (name(field), Some(value.clone()));
    (0..puts).map(field).collect()
}

async fn put(
    section: &CriticalSection,
    key: &str,
    field: u32,
    value: Vec<u8>,
) -> Result<u64, Error> {
    section.put((TABLE, key, name(field).as_str()), value).await
}

fn name(field: u32) -> String {
    format!("f{field}")
}
