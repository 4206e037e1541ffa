//! `music once`.

use serde_json::{Value, json};

use super::{refused, start};
use crate::support::{Dev, Running};

/// Says on standard error that it runs, and ends with its standard input; its
/// standard output is kept.
const UNTIL_TOLD: &str = "echo running >&2; cat > /dev/null; echo result";

fn once(dev: &Dev, node: usize, arguments: &[&str], script: &str) -> Running {
    let command = [&["once", "o"], arguments, &["--", "sh", "-c", script]];
    start(dev, node, &command.concat())
}

/// Has the step interrupted by SIGKILL.
fn interrupted(dev: &Dev) {
    let mut killed = once(dev, 0, &["--lease", "500ms"], UNTIL_TOLD);
    killed.error_with("running");
    killed.signal("KILL");
    killed.wait_until_all_ended();
}

#[test]
fn two_callers_at_two_sites_run_it_once() {
    let dev = Dev::start();
    let mut first = once(&dev, 0, &[], UNTIL_TOLD);
    first.error_with("running");
    let second = once(&dev, 1, &[], "echo mine");
    dev.wait_for_queue_of("recipes", "once/o", 2);
    assert!(second.is_silent());
    drop(first.stdin());
    assert_eq!(
        (first.line(), second.line()),
        ("result".into(), "result".into())
    );
    assert_eq!((first.end().0, second.end().0), (Some(0), Some(0)));
    let later = once(&dev, 2, &[], "echo later");
    assert_eq!(later.line(), "result");
    let later = dev.run(&["--json", "once", "o", "--", "echo", "later"]);
    assert_eq!(
        serde_json::from_str::<Value>(&later).unwrap(),
        json!({"once": "o", "ran": false, "result": "result\n"})
    );
}

#[test]
fn an_interrupted_step_is_told_and_settled_or_forgotten() {
    let dev = Dev::start();
    interrupted(&dev);
    let (code, error) = dev.fail(&["once", "o", "--", "echo", "again"]);
    assert_eq!(code, 82, "{error}");
    for text in ["begun under token", "--forget", "--settle RESULT"] {
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(dev.run(&["once", "o", "--forget"]), "o is forgotten\n");
    interrupted(&dev);
    let settled = dev.run(&["--json", "once", "o", "--settle", "-done-"]);
    assert_eq!(
        serde_json::from_str::<Value>(&settled).unwrap(),
        json!({"once": "o", "step": "settled"})
    );
    assert_eq!(dev.run(&["once", "o", "--", "echo", "again"]), "-done-");
    refused(
        &dev,
        &[
            (&["once", "o", "--forget"], 1, "was not interrupted"),
            (&["once", "new", "--settle", "x"], 1, "was not interrupted"),
        ],
    );
}

#[test]
fn a_command_that_fails_was_not_done() {
    let dev = Dev::start();
    let mut failing = dev.music(&[0]);
    failing.args(["once", "o", "--", "sh", "-c", "echo why; exit 5"]);
    let output = failing.output().unwrap();
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(5), &b"why\n"[..])
    );
    let kill = ["once", "o", "--", "sh", "-c", "kill -9 $$"];
    refused(
        &dev,
        &[
            (&kill, 137, ""),
            (&["once", "o", "--", "no-such-command"], 127, "no-such"),
            (&["once", "o", "--", "/etc/passwd"], 126, "cannot be run"),
        ],
    );
    assert_eq!(dev.run(&["once", "o", "--", "echo", "done"]), "done\n");
}

#[test]
fn any_bytes_are_remembered_up_to_a_bound() {
    let dev = Dev::start();
    let run = |name, script| {
        let mut once = dev.music(&[0]);
        once.args(["once", name, "--", "sh", "-c", script]);
        once.output().unwrap()
    };
    for _ in 0..2 {
        assert_eq!(run("bytes", r"printf '\377\000'").stdout, b"\xff\0");
        let full = run("full", "head -c 65536 /dev/zero").stdout;
        assert!(full == vec![0; 65_536]);
    }
    let large = run("large", "head -c 65537 /dev/zero");
    let error = String::from_utf8(large.stderr).unwrap();
    assert_eq!(large.status.code(), Some(82), "{error}");
    for text in ["more than 65536 bytes", "--settle RESULT"] {
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(large.stdout, b"");
    let again = ["once", "large", "--", "echo", "again"];
    refused(&dev, &[(&again, 82, "not ended")]);
    let failed = run("failed", "head -c 100000 /dev/zero; exit 5");
    assert_eq!(
        (failed.status.code(), failed.stdout.len()),
        (Some(5), 65_536)
    );
    assert_eq!(dev.run(&["once", "failed", "--", "echo", "ok"]), "ok\n");
}

#[test]
fn a_lost_lock_ends_the_command_and_interrupts_the_step() {
    let dev = Dev::start();
    let script = "trap 'echo told >&2; exit 0' TERM; echo running >&2; while :; do sleep 0.1; done";
    let mut holder = once(&dev, 0, &[], script);
    holder.error_with("running");
    dev.force("recipes", "once/o");
    holder.error_with("told");
    let (code, error) = holder.end();
    assert_eq!(code, Some(79), "{error}");
    assert!(error.contains("--settle RESULT"), "{error}");
    refused(&dev, &[(&["once", "o", "--", "true"], 82, "not ended")]);
}

#[test]
fn signals_end_a_wait_and_are_passed_on_to_the_command() {
    let dev = Dev::start();
    let script = "trap 'exit 9' TERM; echo running >&2; while :; do sleep 0.1; done";
    let mut holder = once(&dev, 0, &[], script);
    holder.error_with("running");
    let waiter = once(&dev, 1, &[], "echo ran");
    dev.wait_for_queue_of("recipes", "once/o", 2);
    waiter.signal("INT");
    assert_eq!(waiter.end().0, Some(130));
    dev.wait_for_queue_of("recipes", "once/o", 1);
    holder.signal("TERM");
    assert_eq!(holder.end().0, Some(9));
    assert_eq!(dev.run(&["once", "o", "--", "echo", "ran"]), "ran\n");
}

#[test]
fn what_a_command_leaves_behind_is_waited_for_and_signalled() {
    let dev = Dev::start();
    // It speaks when the command itself has ended.
    let rest = "trap 'exit 0' TERM; while kill -0 $$ 2> /dev/null; do sleep 0.1; done; \
                echo rest >&2; while :; do sleep 0.1; done";
    let script = format!("({rest}) & echo result");
    let mut holder = once(&dev, 0, &[], &script);
    holder.error_with("rest");
    assert!(
        holder.is_silent(),
        "as a shell waits for what writes to $(...)"
    );
    holder.signal("TERM");
    assert_eq!(holder.line(), "result");
    assert_eq!(holder.end().0, Some(0));
}

#[test]
fn what_is_wrong_with_a_step_is_said() {
    let dev = Dev::start();
    refused(
        &dev,
        &[
            (&["once", "o"], 2, "CMD"),
            (&["once", "o", "true"], 2, "`--` before it"),
            (
                &["once", "o", "--forget", "--", "true"],
                2,
                "cannot be used",
            ),
            (
                &["once", "o", "--forget", "--settle", "x"],
                2,
                "cannot be used",
            ),
            (
                &["once", "o", "--lease", "1ms", "--", "true"],
                2,
                "a lease is",
            ),
            (&["once", "", "--", "true"], 1, "has 1 to 900 bytes"),
        ],
    );
}
