//! The state store's side of a site: repairing reads.

use std::sync::Arc;

use music_core::id::{RecordId, ReplicaId};
use music_core::record::Record;
use music_core::replica::register::{MajorityRead, ReadStep};
use tokio::sync::mpsc;

use super::replica::{Answer, Ask};
use super::{Shared, answered};
use crate::Error;

/// Reads a record at a majority, and makes known there what it returns.
pub(super) async fn read(
    shared: &Arc<Shared>,
    site: usize,
    id: &RecordId,
) -> Result<Record, Error> {
    shared.check_majority(site)?;
    let (answers, mut inbox) = mpsc::unbounded_channel();
    shared.ask_all(site, &Ask::Read(id.clone()), &answers);
    let mut read = MajorityRead::new(u8::try_from(shared.sites()).unwrap_or(u8::MAX));
    loop {
        let (from, answer) = answered(&mut inbox).await;
        let step = match answer {
            Answer::Record(copy) => read.answered(from, copy),
            Answer::Merged => read.repaired(from),
            Answer::Reply(_) | Answer::Queue(_) | Answer::Released => ReadStep::Wait,
        };
        match step {
            ReadStep::Wait => {}
            ReadStep::Repair { record, lacking } => {
                for ReplicaId(to) in lacking {
                    let ask = Ask::Merge(id.clone(), record.clone());
                    shared.ask(site, usize::from(to), ask, Some(answers.clone()));
                }
            }
            ReadStep::Done(record) => return Ok(record),
        }
    }
}
