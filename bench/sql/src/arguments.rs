//! What this program is started with.

use anyhow::{Context as _, Result, bail, ensure};

use crate::database::Product;

/// Where the database is, and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// Whose SQL it takes.
    pub(crate) product: Product,
    /// Where transactions are done, as `host:port`.
    pub(crate) run: String,
    /// Where this site's own copy is read.
    pub(crate) look: String,
    pub(crate) user: String,
    pub(crate) database: String,
    /// The number of this site, from 1.
    pub(crate) site: u32,
    /// What each session of clients begins with.
    pub(crate) session: Option<String>,
    /// What a session begins with that reads this site's copy as it is.
    pub(crate) look_session: Option<String>,
    /// What one begins with that reads what was acknowledged anywhere.
    pub(crate) fresh_session: Option<String>,
    /// Whether statements that need no answer of each other go out at once.
    pub(crate) pipelined: bool,
}

impl Arguments {
    /// Takes pairs of a name and a value.
    ///
    /// # Errors
    ///
    /// When one is unknown or missing.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self> {
        let mut words = words;
        let mut parsed = Parsed::default();
        while let Some(name) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{name} needs a value"))?;
            parsed.take(&name, value)?;
        }
        let run = parsed.run.context("--run is missing")?;
        let site = parsed.site.context("--site is missing")?;
        ensure!((1..=16).contains(&site), "--site is one of 1 to 16");
        Ok(Self {
            product: parsed.product.context("--product is missing")?,
            look: parsed.look.unwrap_or_else(|| run.clone()),
            run,
            user: parsed.user.unwrap_or_else(|| "bench".to_owned()),
            database: parsed.database.unwrap_or_else(|| "music".to_owned()),
            site,
            session: parsed.session,
            look_session: parsed.look_session,
            fresh_session: parsed.fresh_session,
            pipelined: parsed.pipelined,
        })
    }
}

#[derive(Default)]
struct Parsed {
    product: Option<Product>,
    run: Option<String>,
    look: Option<String>,
    user: Option<String>,
    database: Option<String>,
    site: Option<u32>,
    session: Option<String>,
    look_session: Option<String>,
    fresh_session: Option<String>,
    pipelined: bool,
}

impl Parsed {
    fn take(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "--product" => self.product = Some(Product::named(&value)?),
            "--run" => self.run = Some(value),
            "--look" => self.look = Some(value),
            "--user" => self.user = Some(value),
            "--database" => self.database = Some(value),
            "--site" => self.site = Some(value.parse().context("--site is no number")?),
            "--session" => self.session = Some(value),
            "--look-session" => self.look_session = Some(value),
            "--fresh-session" => self.fresh_session = Some(value),
            "--pipelined" => self.pipelined = value.parse().context("--pipelined is no bool")?,
            _ => bail!("{name} is unknown"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_site_is_looked_at_where_it_runs_if_nothing_else_is_said() {
        let arguments = parse("--product mdbc --run h:1 --site 2").unwrap();
        assert_eq!((arguments.look.as_str(), arguments.site), ("h:1", 2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, name) in [
            ("--product mdbc --site 1", "--run"),
            ("--product oracle", "oracle"),
            ("--colour red", "--colour"),
            ("--product mdbc --run h:1 --site 17", "--site"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
