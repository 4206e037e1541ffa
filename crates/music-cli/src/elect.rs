//! `music elect`.

use std::ffi::OsString;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use music_client::LostReason;
use music_client::recipes::{Election, Leader, Leadership};
use rustix::process::getpid;
use rustix::system::uname;
use serde::Serialize;

use crate::arguments::Global;
use crate::child::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::{Held, Holder, Terms, released};
use crate::observe::observe;
use crate::output::Output;
use crate::scan;

const ABOUT: &str = "Lead while a command runs, or see who leads

Waits to lead, runs CMD, and resigns when it ends. Passes on its exit code. Without CMD it writes
its token and leads until a signal.

CMD finds in its environment:
  MUSIC_FENCING_TOKEN   a number greater than those of all leaders before: give it to other systems,
                        which refuse what comes with a smaller one
  MUSIC_CANDIDATE       the candidate's name
  MUSIC_LOCK_REF        the lockRef
  MUSIC_ENDPOINTS       the nodes

When the leadership is lost, CMD gets SIGTERM, and SIGKILL after --kill-after; then music exits with
79. Signals, and what becomes of CMD when music is killed, are as for `music lock`.

Who leads is what the nearest replica knows. A leader that died is seen until the next one leads.";

/// Lead while a command runs, or see who leads
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music elect scheduler -- ./schedule.sh
  music elect scheduler --candidate ohio-1 --value http://10.0.0.7:8080 -- ./schedule.sh
  music elect scheduler --hand-over-to oregon-1 -- ./schedule.sh
  music elect scheduler --show
  music elect scheduler --observe --json")]
pub(crate) struct Elect {
    /// The election
    name: String,
    #[command(flatten)]
    candidacy: Arguments,
    #[command(flatten)]
    terms: Terms,
    /// Write who leads, and each change
    #[arg(long, conflicts_with_all = ["show", "candidate", "value", "hand_over_to", "command"])]
    #[arg(conflicts_with_all = ["lease", "timeout", "kill_after"])]
    observe: bool,
    /// Write who leads
    #[arg(long, conflicts_with_all = ["candidate", "value", "hand_over_to", "command"])]
    #[arg(conflicts_with_all = ["lease", "timeout", "kill_after"])]
    show: bool,
    /// The command and its arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Clone, Debug, Args)]
struct Arguments {
    /// The name of this candidate, which no other one has; host and process if left out
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    candidate: Option<String>,
    /// What it says of itself, such as its address
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    value: Option<String>,
    /// The candidate that leads next, if it waits
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    hand_over_to: Option<String>,
}

/// Who leads.
#[derive(Serialize)]
struct LeaderJson<'a> {
    election: &'a str,
    /// `null` where nobody does.
    leader: Option<&'a Leader>,
    /// That of a leadership of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_ref: Option<&'a str>,
}

/// Leads, or tells who does.
pub(crate) async fn run(global: &Global, elect: Elect, output: &Output) -> Result<Exit, Failure> {
    let client = global.client_with_lease(elect.terms.lease)?;
    let election = Election::new(&client, &elect.name)?;
    if elect.show {
        let leader = election.leader().await?;
        let leader = leader.ok_or_else(|| Failure::NoLeader(elect.name.clone()))?;
        elect.tell(Some(&leader), output)?;
        return Ok(Exit::Done);
    }
    if elect.observe {
        let mut observer = election.observe();
        let tell = |leader: Option<Leader>| elect.tell(leader.as_ref(), output);
        return observe(output, async || observer.next().await, tell).await;
    }
    let holder = Holder {
        client: &client,
        output,
        what: &format!("the leadership of {}", elect.name),
        command: &elect.command,
        kill_after: elect.terms.kill_after,
    };
    holder.hold(elect.campaign(&election, output)).await
}

impl Elect {
    fn tell(&self, leader: Option<&Leader>, output: &Output) -> Result<(), Failure> {
        let json = LeaderJson {
            election: &self.name,
            leader,
            lock_ref: None,
        };
        output.either(&json, || match leader {
            Some(leader) => line(leader),
            None => "nobody leads".to_owned(),
        })
    }

    async fn campaign(&self, election: &Election, output: &Output) -> Result<HeldLead, Failure> {
        let name = self.candidacy.candidate.clone();
        let name = name.unwrap_or_else(somebody);
        let value = self.candidacy.value.as_deref().unwrap_or_default();
        let candidacy = election.candidate(&name, value)?;
        let leadership = match self.terms.timeout {
            None => candidacy.campaign().await?,
            Some(waited) => {
                let what = "others led for longer";
                let granted = candidacy.campaign_within(waited).await?;
                granted.ok_or(Failure::NotInTime { what, waited })?
            }
        };
        if self.command.is_empty() {
            let json = LeaderJson {
                election: &self.name,
                leader: Some(leadership.leader()),
                lock_ref: Some(leadership.lock_ref()),
            };
            output.either(&json, || format!("token {}", leadership.token()))?;
        }
        Ok(HeldLead {
            leadership,
            successor: self.candidacy.hand_over_to.clone(),
        })
    }
}

/// Who this is, among all programs at all hosts.
fn somebody() -> String {
    let host = uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", getpid().as_raw_nonzero())
}

fn line(leader: &Leader) -> String {
    let (name, value) = (scan::escape(&leader.candidate), scan::value(&leader.value));
    format!("token {}\t{name}\t{value}", leader.token)
        .trim_end()
        .to_owned()
}

/// The leadership, held.
struct HeldLead {
    leadership: Leadership,
    /// Who leads next.
    successor: Option<String>,
}

impl Held for HeldLead {
    async fn lost(&self) -> LostReason {
        self.leadership.lost().await
    }

    fn environment(&self) -> Result<Environment, Failure> {
        let leadership = &self.leadership;
        Ok(vec![
            ("MUSIC_FENCING_TOKEN", leadership.token().to_string()),
            ("MUSIC_CANDIDATE", leadership.leader().candidate.clone()),
            ("MUSIC_LOCK_REF", leadership.lock_ref().to_owned()),
        ])
    }

    async fn give_back(self, output: &Output) -> Result<(), Failure> {
        let ended = match self.successor {
            Some(successor) => self.leadership.hand_over(&successor).await,
            None => self.leadership.resign().await,
        };
        released(ended, output)
    }
}
