//! `music queue`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::refused;
use crate::support::{Dev, Running};

/// The id, the token and the value that `pop` writes.
fn popped(shown: &str) -> [String; 3] {
    let mut parts = shown.trim_end().splitn(3, ' ').map(str::to_owned);
    [(); 3].map(|()| parts.next().unwrap())
}

#[test]
fn items_are_pushed_popped_and_acknowledged() {
    let dev = Dev::start();
    assert_eq!(dev.run(&["queue", "length", "q"]), "0\n");
    assert_eq!(dev.run(&["queue", "push", "q", "to: alice"]), "");
    dev.run(&["queue", "push", "q", "--priority", "9", "to: bob"]);
    dev.run(&["queue", "push", "q", "--delay", "1h", "later"]);
    assert_eq!(dev.run(&["queue", "length", "q"]), "3\n");
    let [id, token, value] = popped(&dev.run(&["queue", "pop", "q"]));
    assert_eq!(value, "to: bob");
    assert_eq!(
        dev.run(&["queue", "renew", "q", &id, &token, "--claim", "1m"]),
        ""
    );
    assert_eq!(dev.run(&["queue", "ack", "q", &id, &token]), "");
    let shown = dev.run(&["--json", "queue", "pop", "q", "--timeout", "20s"]);
    let item: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(item["value"], json!({ "text": "to: alice" }));
    assert_eq!(item["deliveries"], 1);
    let (id, token) = (item["id"].as_str().unwrap(), item["token"].to_string());
    dev.run(&["queue", "give-back", "q", id, &token]);
    let [again, higher, _] = popped(&dev.run(&["queue", "pop", "q"]));
    assert_eq!(again, id);
    assert!(higher.parse::<u64>().unwrap() > token.parse().unwrap());
    refused(
        &dev,
        &[
            (
                &["queue", "ack", "q", id, &token],
                1,
                "is not this taker's any more",
            ),
            (
                &["queue", "pop", "q", "--timeout", "0s"],
                75,
                "no item came",
            ),
        ],
    );
}

#[test]
fn lines_are_pushed_as_items() {
    let dev = Dev::start();
    let mut push = dev.music(&[0]);
    push.args(["--json", "queue", "push", "q", "--lines"]);
    let mut push = push
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    push.stdin
        .take()
        .unwrap()
        .write_all(b"one\ntwo\n\n")
        .unwrap();
    let output = push.wait_with_output().unwrap();
    let pushed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(pushed, json!({ "queue": "q", "pushed": 3 }));
    let values = [(); 3].map(|()| dev.run(&["queue", "pop", "q"]));
    assert!(
        values[0].ends_with(" one\n") && values[1].ends_with(" two\n"),
        "{values:?}"
    );
}

/// What a worker wrote, and its exit code.
fn worked(dev: &Dev, more: &[&str], command: &str) -> (String, i32) {
    let mut work = dev.music(&[1]);
    work.args(["queue", "work", "q"]).args(more);
    let output = work.args(["--", "sh", "-c", command]).output().unwrap();
    let code = output.status.code().unwrap();
    (String::from_utf8(output.stdout).unwrap(), code)
}

#[test]
fn a_worker_runs_a_command_for_each_item() {
    let dev = Dev::start();
    dev.run(&["queue", "push", "q", "one"]);
    dev.run(&["queue", "push", "q", "two"]);
    let command = r#"echo "$(cat) $MUSIC_DELIVERIES"; test $MUSIC_DELIVERIES -gt 1"#;
    let patience = ["--timeout", "3s", "--retry-after", "100ms"];
    let (shown, code) = worked(&dev, &patience, command);
    assert_eq!(code, 0);
    let mut shown: Vec<&str> = shown.lines().collect();
    shown.sort_unstable();
    assert_eq!(shown, ["one 1", "one 2", "two 1", "two 2"]);
    assert_eq!(dev.run(&["queue", "length", "q"]), "0\n");
}

#[test]
fn a_worker_whose_command_is_missing_leaves_the_items() {
    let dev = Dev::start();
    dev.run(&["queue", "push", "q", "one"]);
    let (_, code) = worked(&dev, &[], "exit 127");
    assert_eq!(code, 127);
    let [.., value] = popped(&dev.run(&["queue", "pop", "q"]));
    assert_eq!(value, "one");
}

#[test]
fn a_worker_that_is_told_to_end_lets_its_command_end() {
    let dev = Dev::start();
    dev.run(&["queue", "push", "q", "one"]);
    dev.run(&["queue", "push", "q", "two"]);
    let mut work = dev.music(&[1]);
    let command = "trap 'sleep 0.3; echo told; exit 0' TERM; echo begun; sleep 20 & wait";
    work.args(["queue", "work", "q", "--", "sh", "-c", command]);
    let worker = Running::start(&mut work);
    worker.line_with("begun");
    worker.signal("TERM");
    worker.line_with("told");
    assert_eq!(worker.end().0, Some(143));
    assert_eq!(dev.run(&["queue", "length", "q"]), "1\n");
}

/// Somebody else says that the item is done, while the command runs.
#[test]
fn a_worker_that_loses_its_claim_ends_its_command_and_goes_on() {
    let dev = Dev::start();
    dev.run(&["queue", "push", "q", "one"]);
    let music = env!("CARGO_BIN_EXE_music");
    let command = format!(
        "trap 'echo told; exit 1' TERM
        {music} queue ack q $MUSIC_ITEM_ID $MUSIC_FENCING_TOKEN
        sleep 20 & wait"
    );
    let (shown, code) = worked(&dev, &["--claim", "1s", "--timeout", "1s"], &command);
    assert_eq!((shown.as_str(), code), ("told\n", 0));
    assert_eq!(dev.run(&["queue", "length", "q"]), "0\n");
}

#[test]
fn the_item_of_a_worker_that_is_killed_is_delivered_again() {
    let dev = Dev::start();
    dev.run(&["queue", "push", "q", "one"]);
    let mut work = dev.music(&[1]);
    let command = "echo begun; sleep 20";
    work.args([
        "queue", "work", "q", "--claim", "1s", "--", "sh", "-c", command,
    ]);
    let worker = Running::start(&mut work);
    worker.line_with("begun");
    worker.signal("KILL");
    worker.wait_until_all_ended();
    let shown = dev.run(&["--json", "queue", "pop", "q", "--timeout", "20s"]);
    let item: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(item["value"], json!({ "text": "one" }));
    assert_eq!(item["deliveries"], 2);
}

#[test]
fn what_a_queue_does_not_do_is_said() {
    let dev = Dev::start();
    let large = "x".repeat(16 * 1024);
    refused(
        &dev,
        &[
            (&["queue", "push", "q", &large], 1, "larger than 16384"),
            (&["queue", "push", "q"], 2, "<VALUE>"),
            (&["queue", "push", "q", "--priority", "256", "x"], 2, "256"),
            (
                &["queue", "push", "q", "--delay", "9000h", "x"],
                1,
                "a delay is",
            ),
            (&["queue", "pop", "q", "--claim", "1ms"], 1, "a claim is"),
            (
                &["queue", "ack", "q", "x", "1"],
                1,
                "is not the id of an item",
            ),
            (&["queue", "ack", "q", "1.1", "one"], 2, "invalid digit"),
            (&["queue", "length", ""], 1, "has 1 to 900 bytes"),
        ],
    );
}
