//! The clients of a site: a process of `bench/sql`, which does what it is
//! told by a line of JSON, and answers with one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::workload::Workload;
use crate::shell;
use crate::torture::Stage;

/// Where its sources are, a workspace of its own.
const SOURCES: &str = "bench/sql";
/// How long an answer may take, beyond what was asked to take time.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program, built.
pub(super) struct Program(PathBuf);

/// A process of clients; it ends when this is dropped.
pub(super) struct Clients {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

/// One order. Times are beside it, as the answer takes as long.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    /// A question in SQL, of the site's own copy.
    Ask(&'a str),
    Make(Workload),
    Run {
        workload: Workload,
        number: u32,
        clients: u32,
        warm_up: Duration,
        time: Duration,
    },
    /// What was acknowledged anywhere, or the site's own copy.
    Look {
        workload: Workload,
        freshly: bool,
    },
}

/// One answer; `bench/sql` says what is in it.
#[derive(Debug, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(super) enum Answer {
    Rows { rows: Vec<Vec<String>> },
    Made { form: String },
    Refused { why: String },
    Done(Tally),
    Seen(Seen),
    Failed { error: String },
}

/// What the clients of a site did.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Tally {
    pub(super) took_us: BTreeMap<String, Vec<u64>>,
    pub(super) acknowledged: BTreeMap<String, u64>,
    pub(super) unknown: BTreeMap<String, u64>,
    pub(super) again: BTreeMap<String, u64>,
    pub(super) given_up: u64,
    pub(super) failed: u64,
    pub(super) failure: Option<String>,
}

/// What is in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Seen {
    pub(super) tables: BTreeMap<String, Content>,
    pub(super) marks: BTreeMap<String, u64>,
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) rows: u64,
    pub(super) digest: String,
}

impl Program {
    /// Builds it, quickly where nobody looks at how quick it is.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub(super) fn build(root: &Path, target: &Path, quickly: bool) -> Result<Self> {
        let profile = if quickly { "debug" } else { "release" };
        let mut build = shell::program(root, "cargo", &["build", "--locked"]);
        if !quickly {
            build.arg("--release");
        }
        build
            .arg("--manifest-path")
            .arg(root.join(SOURCES).join("Cargo.toml"));
        shell::run(build.arg("--target-dir").arg(target))?;
        Ok(Self(target.join(profile).join("sql-load")))
    }

    /// Starts it at a site.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn start(&self, site: usize, words: &[&str]) -> Result<Clients> {
        let mut program = Command::new(&self.0);
        program
            .args(words)
            .args(["--site", &(site + 1).to_string()]);
        Clients::start(Stage::at(site, program))
    }
}

impl Clients {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Not in our group, so that Ctrl-C does not end it.
        let child = command.process_group(0).spawn();
        let mut child = child.context("cannot start the clients of a site")?;
        let input = child.stdin.take().context("clients without an input")?;
        let output = child.stdout.take().context("clients without an output")?;
        let (answered, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if answered.send(line).is_err() {
                    break;
                }
            }
        });
        let clients = Self {
            child,
            input,
            answers,
        };
        let ready = clients.answers.recv_timeout(PATIENCE);
        ready.context("the clients of a site do not start")?;
        Ok(clients)
    }

    /// Gives an order, and waits until it is done.
    ///
    /// # Errors
    ///
    /// When it cannot be done, or takes so long that it is taken for stuck.
    pub(super) fn obey(&mut self, order: Order<'_>) -> Result<Answer> {
        let mut line = serde_json::to_vec(&order.json())?;
        line.push(b'\n');
        self.input
            .write_all(&line)
            .context("the clients of a site have ended")?;
        self.input
            .flush()
            .context("the clients of a site have ended")?;
        let answer = self.answers.recv_timeout(order.time() + PATIENCE);
        let answer = answer.context("the clients of a site have ended, or are stuck")?;
        match serde_json::from_str(&answer).context("the clients of a site talk nonsense")? {
            Answer::Failed { error } => bail!("{error}"),
            answer => Ok(answer),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

impl Order<'_> {
    fn time(self) -> Duration {
        match self {
            Self::Run { warm_up, time, .. } => warm_up + time,
            _ => Duration::ZERO,
        }
    }

    fn json(self) -> serde_json::Value {
        let sites = Stage::hosts().len();
        match self {
            Self::Ask(sql) => json!({"do": "ask", "sql": sql, "locally": true}),
            Self::Make(workload) => json!({"do": "make", "workload": workload, "sites": sites}),
            Self::Look { workload, freshly } => {
                json!({"do": "look", "workload": workload, "sites": sites, "freshly": freshly})
            }
            Self::Run {
                workload,
                number,
                clients,
                warm_up,
                time,
            } => json!({
                "do": "run", "workload": workload, "sites": sites, "number": number,
                "clients": clients, "warm_up_ms": ms(warm_up), "time_ms": ms(time),
            }),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Clients {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        Clients::start(shell).unwrap()
    }

    #[test]
    fn an_order_has_its_answer() {
        let mut clients = shell(
            r#"echo '"ready"'; read a; echo '{"answer":"made","form":"tables"}'
               read a; echo '{"answer":"failed","error":"no such table"}'; read a"#,
        );
        let made = clients.obey(Order::Make(Workload::Own)).unwrap();
        assert!(matches!(made, Answer::Made { form } if form == "tables"));
        let error = clients.obey(Order::Ask("SELECT 1")).unwrap_err();
        assert_eq!(error.to_string(), "no such table");
    }

    #[test]
    fn nobody_waits_for_clients_that_have_ended() {
        let error = shell("echo ready; read a").obey(Order::Ask("SELECT 1"));
        assert!(error.unwrap_err().to_string().contains("ended"));
    }

    #[test]
    fn an_order_is_a_line() {
        let order = Order::Look {
            workload: Workload::Tpcc,
            freshly: true,
        };
        let text = order.json().to_string();
        assert_eq!(
            text,
            r#"{"do":"look","freshly":true,"sites":3,"workload":"tpcc"}"#
        );
    }
}
