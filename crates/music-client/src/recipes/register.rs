//! An atomic register.

use music_api::name::Value;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::content::Content;
use crate::error::Error;
use crate::recipes::document::{self, Document, Step};
use crate::recipes::refusal::Refusal;

/// The largest value, in bytes.
const VALUE_BYTES_MAX: usize = 256 * 1024;

/// How often a register was set; 0 for never.
pub type Version = u64;

/// A value with atomic changes, none at first.
///
/// **Promise.** Linearizable over all sites. A change happens once, even where an
/// answer was lost on the way. Each has a version, so that a value that comes
/// back is told from one that never left.
///
/// **Cost.** A section with one write for a change, a shared section for a read.
///
/// **On failure.** As for a [`Counter`](super::Counter).
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Register;
///
/// let plan = Register::new(client, "plan")?;
/// let (version, _) = plan.get().await?;
/// match plan.compare_and_set(version, "new").await? {
///     Ok(version) => println!("set: version {version}"),
///     Err(version) => println!("somebody else was faster: version {version}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Register(Document<Kept>);

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    version: Version,
    value: Value,
}

impl Kept {
    fn new(version: Version, value: &Content) -> Self {
        let value = value.to_value();
        Self { version, value }
    }

    fn version(kept: Option<&Self>) -> Version {
        kept.map_or(0, |kept| kept.version)
    }
}

impl Register {
    /// The register of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        Document::new(client, "register", name).map(Self)
    }

    /// The value and its version; 0 and none where it was never set.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no majority answers.
    ///
    /// # Cost
    /// A shared section.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn get(&self) -> Result<(Version, Option<Content>), Error> {
        match self.0.read().await? {
            Some(kept) => Ok((kept.version, Some(document::content(kept.value)?))),
            None => Ok((0, None)),
        }
    }

    /// Sets the value, and returns its version.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`]; others, of which [`Error::outcome`] says whether
    /// the value may have been set.
    ///
    /// # Cost
    /// A section with one write.
    ///
    /// # Cancel safety
    /// The value may or may not be set.
    pub async fn set(&self, value: impl Into<Content>) -> Result<Version, Error> {
        let value = checked(value.into())?;
        let step = |kept: Option<Kept>, _| {
            let version = Kept::version(kept.as_ref()) + 1;
            Ok(Step::Change(Kept::new(version, &value), version))
        };
        self.0.change(step).await
    }

    /// Sets the value where its version is what is expected, 0 for never set,
    /// and returns the new version. `Err` of the inner result is the version
    /// that it has instead.
    ///
    /// # Errors
    /// As [`Register::set`].
    ///
    /// # Cost
    /// As [`Register::set`].
    ///
    /// # Cancel safety
    /// The value may or may not be set.
    pub async fn compare_and_set(
        &self,
        expected: Version,
        value: impl Into<Content>,
    ) -> Result<Result<Version, Version>, Error> {
        let value = checked(value.into())?;
        let step = |kept: Option<Kept>, _| {
            let version = Kept::version(kept.as_ref());
            Ok(if version == expected {
                Step::Change(Kept::new(version + 1, &value), Ok(version + 1))
            } else {
                Step::Keep(Err(version))
            })
        };
        self.0.change(step).await
    }
}

fn checked(value: Content) -> Result<Content, Refusal> {
    let (bytes, max) = (value.bytes.len(), VALUE_BYTES_MAX);
    if bytes > max {
        let what = "a value";
        return Err(Refusal::TooLarge { what, bytes, max });
    }
    Ok(value)
}
