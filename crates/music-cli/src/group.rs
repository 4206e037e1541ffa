//! `music group`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use music_client::Client;
use music_client::api::name::Value;
use music_client::recipes::{Group as Recipe, GroupEvent, Member};
use serde::Serialize;

use crate::arguments::Global;
use crate::child::Child;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::{nodes, watch};
use crate::lock_child::exit_of;
use crate::observe::observe;
use crate::output::{Output, columns};
use crate::record_arguments::close;
use crate::scan;
use crate::signals::Signals;

const ABOUT: &str = "Tell who is there, or be there

Lists the members of a group that can be heard at the nearest replica. With --join, this program is
one until a signal, or as long as CMD runs, whose exit code it passes on. Membership is no lock: two
observers may differ for a while.

CMD finds in its environment:
  MUSIC_MEMBER      the member's name
  MUSIC_ENDPOINTS   the nodes

Signals, and what becomes of CMD when music is killed, are as for `music lock`.";

/// Tell who is there, or be there
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music group workers
  music group workers --join ohio-1 --value http://10.0.0.7:8080 -- ./work.sh
  music group workers --join ohio-1
  music group workers --watch --json")]
pub(crate) struct Group {
    /// The group
    name: String,
    /// Join under this name, which no other member has
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    join: Option<String>,
    /// What the member says of itself, such as its address
    #[arg(
        long,
        value_name = "TEXT",
        requires = "join",
        allow_hyphen_values = true
    )]
    value: Option<String>,
    /// How long a member that dies is seen
    #[arg(long, value_name = "TIME", value_parser = duration::lease, requires = "join")]
    #[arg(default_value = "10s")]
    lease: Duration,
    /// Write who is there, and who comes and goes
    #[arg(long, conflicts_with_all = ["join", "command"])]
    watch: bool,
    /// The command and its arguments
    #[arg(last = true, requires = "join", value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    name: &'a str,
    value: &'a Value,
}

#[derive(Serialize)]
struct EventJson<'a> {
    event: &'static str,
    #[serde(flatten)]
    member: MemberJson<'a>,
}

#[derive(Serialize)]
struct JoinedJson<'a> {
    group: &'a str,
    joined: &'a str,
}

/// Lists members, watches them, or is one.
pub(crate) async fn run(global: &Global, group: Group, output: &Output) -> Result<Exit, Failure> {
    let client = global.client_with_lease(group.lease)?;
    let recipe = Recipe::new(&client, &group.name)?;
    if let Some(name) = &group.join {
        let ended = group.be(name, (&client, &recipe), output).await;
        close(&client).await;
        return ended;
    }
    if group.watch {
        let mut members = recipe.members();
        return observe(
            output,
            async || members.next().await,
            |event| tell(&event, output),
        )
        .await;
    }
    let members = recipe.list().await?;
    let json: Vec<_> = members.iter().map(MemberJson::new).collect();
    output.either(&json, || {
        let rows: Vec<_> = members.iter().map(row).collect();
        columns(["MEMBER", "VALUE"], &rows)
    })?;
    Ok(Exit::Done)
}

impl Group {
    /// Is a member until a signal, or as long as the command runs.
    async fn be(
        &self,
        name: &str,
        (client, recipe): (&Client, &Recipe),
        output: &Output,
    ) -> Result<Exit, Failure> {
        let mut signals = Signals::new()?;
        let value = self.value.as_deref().unwrap_or_default();
        let membership = tokio::select! {
            joined = recipe.join(name, value) => joined?,
            signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
        };
        let exit = if self.command.is_empty() {
            let (group, joined) = (self.name.as_str(), name);
            output.either(&JoinedJson { group, joined }, || {
                format!("{joined} is a member of {group}")
            })?;
            Exit::signal(signals.next().await.as_raw())
        } else {
            let environment = vec![("MUSIC_MEMBER", name.to_owned()), nodes(client)];
            let mut child = Child::start(&self.command, &environment)?;
            // A membership is never lost.
            let lost = std::future::pending();
            let (status, _) = watch(&mut child, lost, Duration::ZERO, &mut signals).await?;
            exit_of(status)
        };
        if membership.leave().await.is_err() {
            output.warning("no node answers: the member is seen for a lease");
        }
        Ok(exit)
    }
}

impl<'a> MemberJson<'a> {
    fn new(member: &'a Member) -> Self {
        Self {
            name: &member.name,
            value: &member.value,
        }
    }
}

fn row(member: &Member) -> [String; 2] {
    [scan::escape(&member.name), scan::value(&member.value)]
}

fn tell(event: &GroupEvent, output: &Output) -> Result<(), Failure> {
    let (event, member) = match event {
        GroupEvent::Joined(member) => ("joined", member),
        GroupEvent::Changed(member) => ("changed", member),
        GroupEvent::Left(member) => ("left", member),
    };
    let [name, value] = row(member);
    let member = MemberJson::new(member);
    output.either(&EventJson { event, member }, || {
        format!("{event}\t{name}\t{value}").trim_end().to_owned()
    })
}
