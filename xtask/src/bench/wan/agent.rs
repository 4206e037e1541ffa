//! A process of clients at a site, which does sections as it is told: a line
//! of JSON for each, and one back. `crates/music-cli/src/bench/wan` is one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// How long a section may take before it is taken for stuck.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// How several puts are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum How {
    /// Each after the answer to the one before
    OneByOne,
    /// Each a request of its own, all under way at once
    Pipelined,
    /// All in one request
    Batch,
}

/// One section.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Wanted {
    /// Whose it is: a client does one at a time.
    pub(super) client: u32,
    pub(super) key: String,
    pub(super) puts: u32,
    pub(super) bytes: u32,
    pub(super) how: How,
    /// How long it is held after its puts.
    pub(super) hold_ms: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: u64,
    #[serde(flatten)]
    wanted: &'a Wanted,
}

/// When the steps of a section were done, by the machine's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_field_names, reason = "units end names at the edges")]
pub(super) struct Times {
    pub(super) began_ns: u64,
    pub(super) granted_ns: u64,
    /// When its release was asked for.
    pub(super) released_ns: u64,
    pub(super) ended_ns: u64,
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    #[serde(flatten)]
    times: Option<Times>,
    error: Option<String>,
}

type Waiting = Arc<Mutex<BTreeMap<u64, Sender<Result<Times>>>>>;

/// The clients of a site; they end when this is dropped.
pub(super) struct Agent {
    child: Child,
    input: Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Agent {
    /// Starts it, and waits until it has connected.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let program = command.get_program().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Not in our group, so that Ctrl-C does not end it.
        let child = command.process_group(0).spawn();
        let mut child = child.with_context(|| format!("cannot start {program}"))?;
        let input = child.stdin.take().context("clients without an input")?;
        let output = child.stdout.take().context("clients without an output")?;
        let waiting = Waiting::default();
        let agent = Self {
            child,
            input: Mutex::new(input),
            waiting: Arc::clone(&waiting),
            next: AtomicU64::new(1),
        };
        let mut output = BufReader::new(output);
        let mut ready = String::new();
        output
            .read_line(&mut ready)
            .context("cannot read what clients say")?;
        ensure!(
            ready.trim() == "ready",
            "the clients of a site do not connect"
        );
        thread::spawn(move || hand_out(output, &waiting));
        Ok(agent)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Does a section, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it failed, or takes so long that it is taken for stuck.
    pub(super) fn section(&self, wanted: &Wanted) -> Result<Times> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (done, answer) = mpsc::channel();
        lock(&self.waiting).insert(id, done);
        let mut line = serde_json::to_vec(&Line { id, wanted })?;
        line.push(b'\n');
        let mut input = lock(&self.input);
        input.write_all(&line).context("the clients have ended")?;
        drop(input);
        match answer.recv_timeout(PATIENCE) {
            Ok(times) => times,
            Err(RecvTimeoutError::Timeout) => {
                bail!("stuck: no end after {} s", PATIENCE.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("the clients have ended"),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        drop(self.child.wait());
    }
}

/// Gives answers to those who wait for them, until there are no more.
fn hand_out(output: BufReader<ChildStdout>, waiting: &Waiting) {
    for line in output.lines().map_while(Result::ok) {
        match parse(&line) {
            Ok((id, times)) => {
                let waiter = lock(waiting).remove(&id);
                // Who has lost patience does not listen.
                if let Some(waiter) = waiter {
                    waiter.send(times).unwrap_or_default();
                }
            }
            Err(error) => eprintln!("clients say {line:?}: {error:#}"),
        }
    }
    lock(waiting).clear();
}

fn parse(line: &str) -> Result<(u64, Result<Times>)> {
    let answer: Answer = serde_json::from_str(line)?;
    let times = match (answer.error, answer.times) {
        (Some(error), _) => Err(anyhow::Error::msg(error)),
        (None, Some(times)) => Ok(times),
        (None, None) => bail!("neither times nor an error"),
    };
    Ok((answer.id, times))
}

/// Whoever panicked while it was locked left it whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            client: 0,
            key: "k".to_owned(),
            puts: 1,
            bytes: 256,
            how: How::OneByOne,
            hold_ms: 0,
        }
    }

    fn shell(script: &str) -> Agent {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        Agent::start(shell).unwrap()
    }

    #[test]
    fn an_answer_finds_whom_it_is_for() {
        let agent = shell(
            r#"echo ready; read a; read b
               echo '{"id":2,"began_ns":5,"granted_ns":6,"released_ns":7,"ended_ns":8}'
               echo '{"id":1,"error":"no majority"}'; read c"#,
        );
        thread::scope(|scope| {
            let both = [
                scope.spawn(|| agent.section(&wanted())),
                scope.spawn(|| agent.section(&wanted())),
            ];
            let mut both = both.map(|section| section.join().unwrap());
            both.sort_by_key(Result::is_err);
            let [done, failed] = both;
            assert_eq!(done.unwrap().ended_ns, 8);
            assert_eq!(failed.unwrap_err().to_string(), "no majority");
        });
    }

    #[test]
    fn nobody_waits_for_clients_that_have_ended() {
        let error = shell("echo ready; read a").section(&wanted()).unwrap_err();
        assert!(error.to_string().contains("ended"), "{error}");
    }

    #[test]
    fn a_section_is_asked_for_in_a_line() {
        let line = serde_json::to_string(&Line {
            id: 3,
            wanted: &wanted(),
        });
        assert_eq!(
            line.unwrap(),
            r#"{"id":3,"client":0,"key":"k","puts":1,"bytes":256,"how":"one-by-one","hold_ms":0}"#
        );
    }
}
