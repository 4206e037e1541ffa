//! `music queue`.

mod work;

use std::io::BufRead as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use music_client::api::name::Value;
use music_client::recipes::{Item, Push as NewItem, Queue as Recipe};
use music_client::{Client, Content};
use serde::Serialize;

use crate::arguments::Global;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::interruptible;
use crate::value_argument;

/// Work for takers at all sites, one taker an item
///
/// An item that was pushed is delivered until a taker acknowledges it, to one taker at a time: its
/// claim lapses if it is neither acknowledged nor renewed, and the item is delivered again, under a
/// higher fencing token.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "Examples:
  music queue push mails 'to: alice'
  music queue push mails --lines --priority 9 < urgent.txt
  music queue work mails -- ./send.sh         # runs ./send.sh for each item
  music queue pop mails --claim 1m            # writes ID TOKEN VALUE
  music queue ack mails 17.4 23
  music queue length mails")]
pub(crate) struct Queue {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Work(work::Work),
    #[command(flatten)]
    Act(Act),
}

/// What ends by itself.
#[derive(Debug, Subcommand)]
enum Act {
    /// Push an item, or one for each line of standard input
    Push(Push),
    /// Wait for an item and take it; writes its id, its fencing token and its value
    Pop(Pop),
    /// Say that an item is done
    Ack(Named),
    /// Give an item back, to be taken by others
    GiveBack {
        #[command(flatten)]
        item: Named,
        /// How long it is held back
        #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0s")]
        after: Duration,
    },
    /// Renew the claim to an item
    Renew {
        #[command(flatten)]
        item: Named,
        /// For how long it is this taker's from now
        #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
        claim: Duration,
    },
    /// How many items there are: ready, held back, and with a taker
    Length {
        /// The queue
        name: String,
    },
}

#[derive(Debug, Args)]
struct Push {
    /// The queue
    name: String,
    /// The item; `-` for standard input
    #[arg(required_unless_present = "lines", allow_hyphen_values = true)]
    value: Option<String>,
    /// Push an item for each line of standard input
    #[arg(long, conflicts_with = "value")]
    lines: bool,
    /// How urgent it is: 255 goes first, 0 last
    #[arg(long, default_value_t = 0)]
    priority: u8,
    /// How long it is held back
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "0s")]
    delay: Duration,
}

#[derive(Debug, Args)]
struct Pop {
    /// The queue
    name: String,
    /// How long to wait for an item; for ever if left out
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// For how long the item is this taker's, unless it is renewed
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "30s")]
    claim: Duration,
}

#[derive(Debug, Args)]
struct Named {
    /// The queue
    name: String,
    /// The item's id
    id: String,
    /// The fencing token of its delivery
    token: u64,
}

#[derive(Serialize)]
struct QueueJson<'a> {
    queue: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
}

#[derive(Serialize)]
struct ItemJson<'a> {
    queue: &'a str,
    id: String,
    token: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

/// Pushes, takes and settles items.
pub(crate) async fn run(global: &Global, queue: Queue, output: &Output) -> Result<Exit, Failure> {
    let client = global.client()?;
    let one = match queue.action {
        Action::Work(work) => return work::run(&client, &work, output).await,
        Action::Act(one) => one,
    };
    let act = act(&client, one, output);
    interruptible(&client, Failure::Interrupted, act).await?;
    Ok(Exit::Done)
}

async fn act(client: &Client, one: Act, output: &Output) -> Result<(), Failure> {
    match one {
        Act::Push(push) => push_all(client, &push, output).await,
        Act::Pop(pop) => take(client, &pop, output).await,
        Act::Ack(named) => {
            let item = named.item(client)?;
            item.done().await?;
            tell(output, &named.name, &item, false)
        }
        Act::GiveBack { item: named, after } => {
            let item = named.item(client)?;
            item.give_back(after).await?;
            tell(output, &named.name, &item, false)
        }
        Act::Renew { item: named, claim } => {
            let item = named.item(client)?;
            item.renew(claim).await?;
            tell(output, &named.name, &item, false)
        }
        Act::Length { name } => {
            let length = Recipe::new(client, &name)?.len().await?;
            let json = QueueJson {
                queue: &name,
                pushed: None,
                length: Some(length),
            };
            output.either(&json, || length.to_string())
        }
    }
}

async fn push_all(client: &Client, push: &Push, output: &Output) -> Result<(), Failure> {
    let items = push.contents()?.into_iter();
    let items = items.map(|item| NewItem::new(item).priority(push.priority).delay(push.delay));
    let items: Vec<_> = items.collect();
    let pushed = items.len();
    Recipe::new(client, &push.name)?.push_all(items).await?;
    let json = QueueJson {
        queue: &push.name,
        pushed: Some(pushed),
        length: None,
    };
    told(output, &json)
}

/// Writes what only a program wants to read.
fn told(output: &Output, json: &impl Serialize) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(json);
    }
    Ok(())
}

impl Push {
    fn contents(&self) -> Result<Vec<Content>, Failure> {
        if self.lines {
            let lines = std::io::stdin().lock().lines();
            let contents = lines.map(|line| line.map(Content::from));
            return contents.collect::<Result<_, _>>().map_err(Failure::Input);
        }
        // One that was not given was refused with the command line.
        let value = self.value.as_deref().unwrap_or_default();
        let bytes = value_argument::read(value)?;
        Ok(vec![value_argument::content(bytes, None)])
    }
}

async fn take(client: &Client, pop: &Pop, output: &Output) -> Result<(), Failure> {
    let mut taker = Recipe::new(client, &pop.name)?.taker().claim(pop.claim)?;
    let item = match pop.timeout {
        Some(timeout) => taker.take_within(timeout).await?,
        None => Some(taker.take().await?),
    };
    match item {
        Some(item) => tell(output, &pop.name, &item, true),
        None => Err(Failure::NotInTime {
            what: "no item came",
            waited: pop.timeout.unwrap_or_default(),
        }),
    }
}

impl Named {
    fn item(&self, client: &Client) -> Result<Item, Failure> {
        Ok(Recipe::new(client, &self.name)?.item(&self.id, self.token)?)
    }
}

fn tell(output: &Output, queue: &str, item: &Item, taken: bool) -> Result<(), Failure> {
    let json = ItemJson {
        queue,
        id: item.id(),
        token: item.token(),
        deliveries: taken.then(|| item.deliveries()),
        value: item.content().map(Content::to_value),
    };
    let Some(content) = item.content() else {
        return told(output, &json);
    };
    let text = String::from_utf8_lossy(&content.bytes);
    output.either(&json, || format!("{} {} {text}", json.id, json.token))
}
