//! What is in the tables at a site.

use std::hash::{Hash as _, Hasher};

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::database::{Row, Session};
use crate::order::{Answer, Content, Workload};
use crate::work::Work;

/// Reads all tables of a workload, while nobody changes them, and checks them.
///
/// # Errors
///
/// When they cannot be read.
pub(crate) async fn look(
    arguments: &Arguments,
    workload: Workload,
    sites: u32,
    freshly: bool,
) -> Result<Answer> {
    let (server, setting) = if freshly {
        (&arguments.run, &arguments.fresh_session)
    } else {
        (&arguments.look, &arguments.look_session)
    };
    let mut session = Session::connect(arguments, server).await?;
    if let Some(setting) = setting {
        session
            .script(setting)
            .await
            .context("cannot set up a session that looks")?;
    }
    let seen = Work::of(workload, sites).look(&mut session).await;
    Ok(Answer::Seen(seen.context("cannot read the tables")?))
}

/// What rows amount to, in their order.
pub(crate) fn content(rows: &[Row]) -> Content {
    let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
    rows.hash(&mut digest);
    Content {
        rows: rows.len() as u64,
        digest: format!("{:016x}", digest.finish()),
    }
}

/// Fowler, Noll and Vo's hash: the same in every process.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::values;

    #[test]
    fn rows_that_differ_have_another_digest() {
        let rows = |number| [values![1, number].to_vec()];
        assert_eq!(content(&rows(5)), content(&rows(5)));
        assert_ne!(content(&rows(5)).digest, content(&rows(6)).digest);
    }
}
