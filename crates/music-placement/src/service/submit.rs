//! Submitting a template: one eventual put at the nearest site.
//!
//! It asks no other site, so it works at a site that is cut off; the other
//! sites see it once they can. Submitting the same template again changes
//! nothing; another text under the same name counts until the name is placed.

use music_client::{Client, Content};

use super::error::Error;
use super::tables::{Submission, TEMPLATES};
use crate::hot::Template;

/// Submits a template at the client's site.
///
/// # Errors
/// Where the site does not serve, or the template's name or files are larger
/// than MUSIC takes as a key and a value.
///
/// # Cost
/// A request to the own site; no wide-area round.
///
/// # Cancel safety
/// It may or may not be submitted; submitting it again is safe.
pub async fn submit(client: &Client, template: &Template) -> Result<(), Error> {
    let files = template.files.clone();
    let content = Content::json(&Submission { files }).map_err(music_client::Error::from)?;
    client
        .put((TEMPLATES, template.name.as_str()), content)
        .await?;
    Ok(())
}
