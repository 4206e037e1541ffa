//! Runs `music`, and waits for what has to happen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// The time after which a test has failed; nothing waits for it to pass.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// The program.
pub(crate) const MUSIC: &str = env!("CARGO_BIN_EXE_music");

/// `music` without what the environment of the tests would tell it.
pub(crate) fn music() -> Command {
    let mut command = Command::new(MUSIC);
    for name in [
        "MUSIC_ENDPOINTS",
        "MUSIC_CONTROL",
        "MUSIC_LOCK_REF",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A program under way; killed when dropped.
pub(crate) struct Running {
    child: Child,
    /// What it writes to standard output, line by line; ends with the last
    /// process that may write there.
    lines: Receiver<String>,
    stderr: Option<BufReader<ChildStderr>>,
}

impl Running {
    /// Starts it with pipes everywhere.
    pub(crate) fn start(command: &mut Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let stderr = child.stderr.take().map(BufReader::new);
        Self {
            child,
            lines,
            stderr,
        }
    }

    /// The next line that it writes.
    pub(crate) fn line(&self) -> String {
        self.lines
            .recv_timeout(DEADLINE)
            .expect("it has to write a line")
    }

    /// The next line that says this.
    pub(crate) fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next line on standard error that says this.
    pub(crate) fn error_with(&mut self, text: &str) -> String {
        let stderr = self.stderr.as_mut().unwrap();
        loop {
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "it has to say: {text}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Whether it has written nothing new.
    pub(crate) fn is_silent(&self) -> bool {
        self.lines.try_recv().is_err()
    }

    /// Waits until nobody can write to its standard output any more.
    pub(crate) fn wait_until_all_ended(&self) {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("something is still running"),
            }
        }
    }

    /// Its standard input; closed when dropped.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end: the code, and what it wrote to standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        (self.child.wait().unwrap().code(), text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn lines(out: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    lines
}

/// A deployment of three sites.
pub(crate) struct Dev {
    running: Running,
    /// Where it keeps its data; gone with this, however it ends.
    _temporary: tempfile::TempDir,
    /// What it said of itself.
    pub(crate) says: Value,
}

impl Dev {
    /// Starts one without delays, at any ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments = ["--json", "dev", "--port", "0", "--profile", "local3"]
            .into_iter()
            .chain(arguments.iter().copied());
        let temporary = tempfile::tempdir().unwrap();
        let running = Running::start(music().args(arguments).env("TMPDIR", temporary.path()));
        let says = serde_json::from_str(&running.line()).unwrap();
        Self {
            running,
            _temporary: temporary,
            says,
        }
    }

    /// The address of a node.
    pub(crate) fn url(&self, node: usize) -> &str {
        self.says["nodes"][node]["url"].as_str().unwrap()
    }

    /// The name of a node.
    pub(crate) fn node(&self, node: usize) -> &str {
        self.says["nodes"][node]["name"].as_str().unwrap()
    }

    /// The name of a site.
    pub(crate) fn site(&self, node: usize) -> &str {
        self.says["nodes"][node]["site"].as_str().unwrap()
    }

    /// `music` as a client of these nodes.
    pub(crate) fn music(&self, nodes: &[usize]) -> Command {
        let urls: Vec<_> = nodes.iter().map(|node| self.url(*node)).collect();
        let mut command = music();
        command.env("MUSIC_ENDPOINTS", urls.join(","));
        command.env("MUSIC_CONTROL", self.says["control"].as_str().unwrap());
        command
    }

    /// Runs `music` at the first node; it has to succeed. What it wrote.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.music(&[0]).args(arguments).output().unwrap();
        succeeded(&output)
    }

    /// Runs `music` at the first node: the code, and what it wrote to standard
    /// error.
    pub(crate) fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.music(&[0]).args(arguments).output().unwrap();
        let code = output.status.code().unwrap();
        (code, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs `music` at the first node with something to read.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.music(&[0]);
        command.args(arguments).stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        succeeded(&child.wait_with_output().unwrap())
    }

    /// Waits until the queue of a key in the table `locks` is that long.
    pub(crate) fn wait_for_queue(&self, key: &str, length: u64) {
        self.wait_for_queue_of("locks", key, length);
    }

    /// Waits until the queue of a key is that long.
    pub(crate) fn wait_for_queue_of(&self, table: &str, key: &str, length: u64) {
        let mut watch = self.music(&[0]);
        watch.args(["--json", "watch", "-t", table, "--queue", key]);
        let watch = Running::start(&mut watch);
        loop {
            let event: Value = serde_json::from_str(&watch.line()).unwrap();
            if event["length"].as_u64() == Some(length) {
                return;
            }
        }
    }

    /// Takes the holder of a key for dead.
    pub(crate) fn force(&self, table: &str, key: &str) {
        let queue = ["--json", "lock-queue", "-t", table, key];
        let shown: Value = serde_json::from_str(&self.run(&queue)).unwrap();
        let number = shown["tickets"][0]["number"].to_string();
        let force = [&queue[..], &["--force", &number]].concat();
        let forced: Value = serde_json::from_str(&self.run(&force)).unwrap();
        assert_eq!(forced["removed"], true);
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.running.signal("INT");
        self.running.end()
    }
}

/// What a program wrote that has to have succeeded.
pub(crate) fn succeeded(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}
