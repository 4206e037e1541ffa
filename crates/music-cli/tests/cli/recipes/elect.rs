//! `music elect`.

use serde_json::{Value, json};

use super::{UNTIL_TOLD, refused, start};
use crate::support::{Dev, Running};

fn elect(dev: &Dev, node: usize, arguments: &[&str], command: &[&str]) -> Running {
    let elect = [&["elect", "e"], arguments, &["--"], command];
    start(dev, node, &elect.concat())
}

/// Waits until that many lead or wait to.
fn queued(dev: &Dev, length: u64) {
    dev.wait_for_queue_of("recipes", "election/e", length);
}

fn token(line: &str) -> u64 {
    line.trim_start_matches("token ").parse().unwrap()
}

#[test]
fn the_second_leads_when_the_first_is_killed() {
    let dev = Dev::start();
    let show = "echo token $MUSIC_FENCING_TOKEN; sleep 1000";
    let first = elect(&dev, 0, &["--lease", "500ms"], &["sh", "-c", show]);
    let first_token = token(&first.line());
    let show = "echo token $MUSIC_FENCING_TOKEN";
    let second = elect(&dev, 1, &[], &["sh", "-c", show]);
    queued(&dev, 2);
    assert!(second.is_silent());
    first.signal("KILL");
    first.wait_until_all_ended();
    assert!(token(&second.line()) > first_token);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_leader_names_its_successor() {
    let dev = Dev::start();
    let hand_over = ["--candidate", "a", "--hand-over-to", "c"];
    let mut first = elect(&dev, 0, &hand_over, &UNTIL_TOLD);
    first.line_with("holding");
    let second = elect(&dev, 1, &["--candidate", "b"], &UNTIL_TOLD);
    queued(&dev, 2);
    let mut third = elect(&dev, 2, &["--candidate", "c"], &UNTIL_TOLD);
    queued(&dev, 3);
    drop(first.stdin());
    assert_eq!(first.end().0, Some(0));
    third.line_with("holding");
    assert!(second.is_silent());
    drop(third.stdin());
    second.line_with("holding");
    assert_eq!(third.end().0, Some(0));
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn leaders_are_observed_as_they_change() {
    let dev = Dev::start();
    let observer = start(&dev, 1, &["--json", "elect", "e", "--observe"]);
    let told = || serde_json::from_str::<Value>(&observer.line()).unwrap();
    assert_eq!(told(), json!({"election": "e", "leader": null}));
    let (code, error) = dev.fail(&["elect", "e", "--show"]);
    assert_eq!(code, 66, "{error}");
    assert!(error.contains("nobody leads"), "{error}");

    let arguments = ["--candidate", "a", "--value", "-v-"];
    let leader = elect(&dev, 0, &arguments, &UNTIL_TOLD);
    leader.line_with("holding");
    let leads = told();
    assert_eq!(leads["leader"]["candidate"], "a");
    assert_eq!(leads["leader"]["value"], json!({"text": "-v-"}));
    let shown = dev.run(&["elect", "e", "--show"]);
    let token = &leads["leader"]["token"];
    assert_eq!(shown, format!("token {token}\ta\t-v-\n"));
    assert_eq!(leader.end().0, Some(0));
    assert_eq!(told(), json!({"election": "e", "leader": null}));
    observer.signal("TERM");
    assert_eq!(observer.end().0, Some(143));
}

#[test]
fn without_a_command_it_leads_until_a_signal() {
    let dev = Dev::start();
    let first = start(&dev, 0, &["elect", "e"]);
    let first_token = token(&first.line());
    let second = start(&dev, 1, &["--json", "elect", "e", "--candidate", "b"]);
    queued(&dev, 2);
    first.signal("INT");
    assert_eq!(first.end().0, Some(130));
    let leads: Value = serde_json::from_str(&second.line()).unwrap();
    assert_eq!(leads["leader"]["candidate"], "b");
    assert!(leads["leader"]["token"].as_u64() > Some(first_token));
    assert!(leads["lock_ref"].is_string());
    dev.force("recipes", "election/e");
    let (code, error) = second.end();
    assert_eq!(code, Some(79), "{error}");
    let error: Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["exit_code"], 79);
}

#[test]
fn a_lost_leadership_ends_the_command() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap 'echo told; exit 0' TERM; echo $MUSIC_CANDIDATE $MUSIC_LOCK_REF; \
         while :; do sleep 0.1; done",
    ];
    let leader = elect(&dev, 0, &["--candidate", "a"], &command);
    assert!(leader.line().len() > "a ".len());
    dev.force("recipes", "election/e");
    leader.line_with("told");
    assert_eq!(leader.end().0, Some(79));
}

#[test]
fn a_signal_is_passed_on_and_a_wait_ends_by_one() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo holding; while :; do sleep 0.1; done",
    ];
    let leader = elect(&dev, 0, &[], &command);
    leader.line_with("holding");
    let waiter = elect(&dev, 1, &[], &["echo", "ran"]);
    queued(&dev, 2);
    waiter.signal("INT");
    assert_eq!(waiter.end().0, Some(130));
    queued(&dev, 1);
    let wait = ["elect", "e", "--timeout", "0s", "--", "echo", "ran"];
    refused(&dev, &[(&wait, 75, "others led for longer")]);
    leader.signal("TERM");
    assert_eq!(leader.end().0, Some(9));
}

#[test]
fn what_an_election_does_not_do_is_said() {
    let dev = Dev::start();
    let long = "n".repeat(300);
    refused(
        &dev,
        &[
            (&["elect", "e", "true"], 2, "`--` before it"),
            (&["elect"], 2, "<NAME>"),
            (&["elect", "", "--show"], 1, "has 1 to 900 bytes"),
            (&["elect", "e", "--show", "--", "true"], 2, "cannot be used"),
            (&["elect", "e", "--show", "--observe"], 2, "cannot be used"),
            (
                &["elect", "e", "--observe", "--timeout", "1s"],
                2,
                "cannot be",
            ),
            (
                &["elect", "e", "--candidate", "", "--", "true"],
                2,
                "--candidate",
            ),
            (
                &["elect", "e", "--hand-over-to", "", "--", "true"],
                2,
                "--hand",
            ),
            (
                &["elect", "e", "--candidate", &long, "--", "true"],
                1,
                "256",
            ),
            (&["elect", "e", "--", "no-such-command"], 127, "no-such"),
            (&["elect", "e", "--", "/etc/passwd"], 126, "cannot be run"),
            (&["elect", "e", "--", "sh", "-c", "exit 5"], 5, ""),
        ],
    );
}
