//! `music bench wan`: the clients of one site, who do what they are told.
//! Nobody types this command; `cargo xtask bench wan` starts it.
//!
//! A line of JSON on standard input asks for one critical section, and a line
//! on standard output says when each of its steps was done, by the clock that
//! all processes of a machine share. The programs of other systems, in `bench`
//! at the root of the repository, do the same: whoever drives them measures all
//! alike.
//!
//! | module | what does a section |
//! |---|---|
//! | [`sections`] | MUSIC, by its client library |
//! | [`transactions`] | lightweight transactions of Cassandra, written by hand |

mod sections;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

use self::sections::Sections;
use self::transactions::Transactions;
use super::clock;
use super::error::Error;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// How many answers may wait to be printed.
const ANSWERS_MAX: usize = 1024;

/// Do critical sections as lines of standard input ask for them
#[derive(Debug, Args)]
pub(crate) struct Wan {
    /// The site's node
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// Do them by transactions of Cassandra, at the site's node of it
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "node")]
    cassandra: Option<String>,
    /// The data centre of that node
    #[arg(long, value_name = "NAME", requires = "cassandra")]
    datacentre: Option<String>,
}

/// One section.
#[derive(Clone, Debug, Deserialize)]
struct Wanted {
    id: u64,
    key: String,
    puts: u32,
    bytes: usize,
    how: How,
    /// How long it is held after its puts.
    #[serde(default)]
    hold_ms: u64,
}

/// How several puts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    /// Each after the answer to the one before.
    OneByOne,
    /// Each a request of its own, all under way at once.
    Pipelined,
    /// All in one request.
    Batch,
}

/// When the steps of a section were done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "units end names at the edges")]
struct Times {
    began_ns: u64,
    granted_ns: u64,
    /// When its release was asked for.
    released_ns: u64,
    ended_ns: u64,
}

#[derive(Serialize)]
struct Answer {
    id: u64,
    #[serde(flatten)]
    times: Option<Times>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What does sections.
enum Worker {
    Sections(Sections),
    Transactions(Box<Transactions>),
}

/// Does sections until the input ends.
pub(super) async fn run(wan: Wan, output: &Output) -> Result<Exit, Failure> {
    let worker = match (&wan.node, &wan.cassandra) {
        (_, Some(host)) => {
            let datacentre = wan.datacentre.clone().unwrap_or_default();
            let opened = Transactions::open(host, datacentre).await;
            opened.map(|opened| Worker::Transactions(Box::new(opened)))
        }
        (Some(node), None) => Sections::open(node).await.map(Worker::Sections),
        (None, None) => Err("there is neither a node nor Cassandra".to_owned()),
    };
    let worker = Arc::new(worker.map_err(Error::Clients)?);
    output.line("ready")?;
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    let asked = ask(worker, answers);
    let (asked, printed) = tokio::join!(asked, print(answered, output));
    asked.and(printed).map(|()| Exit::Done)
}

/// Begins what the lines of the input ask for, until there are no more.
async fn ask(worker: Arc<Worker>, answers: mpsc::Sender<Answer>) -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(Error::from)? {
        let wanted: Wanted = serde_json::from_str(&line)?;
        let (worker, answers) = (Arc::clone(&worker), answers.clone());
        tokio::spawn(async move { drop(answers.send(worker.answer(&wanted).await).await) });
    }
    Ok(())
}

/// Prints answers, until there are no more.
async fn print(mut answered: mpsc::Receiver<Answer>, output: &Output) -> Result<(), Failure> {
    while let Some(answer) = answered.recv().await {
        output.line(&serde_json::to_string(&answer)?)?;
    }
    Ok(())
}

impl Worker {
    async fn answer(&self, wanted: &Wanted) -> Answer {
        let done = match self {
            Self::Sections(sections) => Box::pin(sections.section(wanted)).await,
            Self::Transactions(transactions) => Box::pin(transactions.section(wanted)).await,
        };
        let id = wanted.id;
        match done {
            Ok(times) => Answer {
                id,
                times: Some(times),
                error: None,
            },
            Err(error) => Answer {
                id,
                times: None,
                error: Some(error),
            },
        }
    }
}

impl Times {
    fn begin() -> Self {
        Self {
            began_ns: clock::monotonic_ns(),
            ..Self::default()
        }
    }

    fn granted(&mut self) {
        self.granted_ns = clock::monotonic_ns();
    }

    /// Holds the section as long as it is wanted.
    async fn hold(&mut self, wanted: &Wanted) {
        if wanted.hold_ms > 0 {
            clock::until(clock::now() + Duration::from_millis(wanted.hold_ms)).await;
        }
        self.released_ns = clock::monotonic_ns();
    }

    fn end(mut self) -> Self {
        self.ended_ns = clock::monotonic_ns();
        self
    }
}

/// An error with all that it came from.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_asks_for_a_section() {
        let line = r#"{"id":7,"client":1,"key":"k","puts":10,"bytes":256,"how":"one-by-one"}"#;
        let wanted: Wanted = serde_json::from_str(line).unwrap();
        assert_eq!((wanted.id, wanted.how), (7, How::OneByOne));
        assert_eq!(wanted.hold_ms, 0);
    }

    #[test]
    fn an_answer_has_times_or_an_error() {
        let answer = |times, error| {
            let answer = Answer {
                id: 1,
                times,
                error,
            };
            serde_json::to_string(&answer).unwrap()
        };
        let done = answer(Some(Times::begin().end()), None);
        assert!(done.contains(r#""granted_ns":0"#), "{done}");
        let failed = answer(None, Some("no".to_owned()));
        assert_eq!(failed, r#"{"id":1,"error":"no"}"#);
    }
}
