//! The controls of a development deployment, `music dev`.

use std::time::Duration;

use music_api::status::{DevStatus, LinkDelay};
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::client::Client;
use crate::error::Error;
use crate::key::segment;
use crate::options::Options;

/// A link from one site to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The site that sends.
    pub from: String,
    /// The site that receives.
    pub to: String,
}

/// The controls of a development deployment.
#[derive(Clone, Debug)]
pub struct DevControls {
    client: Client,
}

impl DevControls {
    /// Controls the deployment at this address.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is no `http://HOST:PORT`.
    pub fn new(url: &str, options: Options) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new([url], options)?,
        })
    }

    /// The whole deployment.
    ///
    /// # Errors
    /// Where nothing, or something else, answers at the address.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self) -> Result<DevStatus, Error> {
        self.client
            .inner
            .request(&Call::read("/v1/dev".to_owned()))
            .await?
            .json()
    }

    /// Does `suspend`, `resume`, `kill` or `start` to a node.
    ///
    /// # Errors
    /// Where there is no such node, or it is in no state for it.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn node(&self, node: &str, control: NodeControl) -> Result<(), Error> {
        self.post(format!(
            "nodes/{}/{}",
            segment(node.as_bytes())?,
            control.name()
        ))
        .await
    }

    /// Does `cut`, `heal`, `stop` or `start` to a site.
    ///
    /// # Errors
    /// Where there is no such site, or it is in no state for it.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn site(&self, site: &str, control: SiteControl) -> Result<(), Error> {
        self.post(format!(
            "sites/{}/{}",
            segment(site.as_bytes())?,
            control.name()
        ))
        .await
    }

    /// Drops what is sent over a link, in this direction only or in both.
    ///
    /// # Errors
    /// Where there is no such link.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn cut(&self, link: &Link, one_way: bool) -> Result<(), Error> {
        self.link(link, "cut", one_way).await
    }

    /// Lets through again what is sent over a link.
    ///
    /// # Errors
    /// Where there is no such link.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn heal(&self, link: &Link, one_way: bool) -> Result<(), Error> {
        self.link(link, "heal", one_way).await
    }

    /// Sets the round trip time of a link.
    ///
    /// # Errors
    /// Where there is no such link, or the time is absurd.
    ///
    /// # Cost
    /// One request.
    ///
    /// # Cancel safety
    /// It may or may not be done.
    pub async fn delay(&self, link: &Link, round_trip: Duration) -> Result<(), Error> {
        let body = LinkDelay {
            rtt_ms: round_trip.as_secs_f64() * 1000.0,
        };
        let path = format!("/v1/dev/{}", link_path(link, "delay")?);
        let call = Call::change(Method::POST, path, Repeat::AnyNode);
        self.client
            .inner
            .request(&call.json(&body)?)
            .await
            .map(drop)
    }

    async fn link(&self, link: &Link, control: &str, one_way: bool) -> Result<(), Error> {
        let query = if one_way { "?oneway=true" } else { "" };
        self.post(format!("{}{query}", link_path(link, control)?))
            .await
    }

    async fn post(&self, rest: String) -> Result<(), Error> {
        let call = Call::change(Method::POST, format!("/v1/dev/{rest}"), Repeat::SameNode);
        self.client.inner.request(&call).await.map(drop)
    }
}

/// What can be done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeControl {
    /// Nothing in it runs, as after SIGSTOP.
    Suspend,
    /// It goes on.
    Resume,
    /// It is dead, as after SIGKILL.
    Kill,
    /// It starts again, with nothing in memory.
    Start,
}

impl NodeControl {
    fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Kill => "kill",
            Self::Start => "start",
        }
    }
}

/// What can be done to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteControl {
    /// All its links are cut.
    Cut,
    /// All its links are healed.
    Heal,
    /// Its replica and its nodes are dead.
    Stop,
    /// They start again.
    Start,
}

impl SiteControl {
    fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::Heal => "heal",
            Self::Stop => "stop",
            Self::Start => "start",
        }
    }
}

fn link_path(link: &Link, control: &str) -> Result<String, Error> {
    let (from, to) = (segment(link.from.as_bytes())?, segment(link.to.as_bytes())?);
    Ok(format!("links/{from}/{to}/{control}"))
}
