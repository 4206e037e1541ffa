//! `music semaphore`.

use super::{UNTIL_TOLD, refused, start};
use crate::support::{Dev, Running};

/// A command that shows its permits, and ends with its standard input.
const SHOW: [&str; 3] = ["sh", "-c", "echo $MUSIC_PERMITS; cat > /dev/null"];

fn semaphore(dev: &Dev, node: usize, arguments: &[&str], command: &[&str]) -> Running {
    let semaphore = ["semaphore", "s", "--permits", "2"];
    start(
        dev,
        node,
        &[&semaphore, arguments, &["--"], command].concat(),
    )
}

#[test]
fn the_third_of_two_waits() {
    let dev = Dev::start();
    let mut first = semaphore(&dev, 0, &[], &SHOW);
    let number = first.line();
    let second = semaphore(&dev, 1, &[], &SHOW);
    assert_ne!(second.line(), number, "each has a permit of its own");
    let third = semaphore(&dev, 2, &[], &SHOW);
    let key = format!("permit/s/{number}");
    dev.wait_for_queue_of("recipes", &key, 2);
    assert!(third.is_silent());
    drop(first.stdin());
    assert_eq!(third.line(), number);
    for holder in [first, second, third] {
        let (code, error) = holder.end();
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn a_permit_of_a_process_that_was_killed_is_free_again() {
    let dev = Dev::start();
    let number = ["--number", "2"];
    let short = ["--number", "2", "--lease", "500ms"];
    let first = semaphore(&dev, 0, &short, &UNTIL_TOLD);
    first.line_with("holding");
    let second = semaphore(&dev, 1, &number, &["sh", "-c", "echo $MUSIC_PERMITS"]);
    dev.wait_for_queue_of("recipes", "permit/s/0", 2);
    first.signal("KILL");
    first.wait_until_all_ended();
    let numbers = second.line();
    assert!(["0,1", "1,0"].contains(&numbers.as_str()), "{numbers}");
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_lost_permit_ends_the_command() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap 'echo told; exit 0' TERM; echo holding $MUSIC_FENCING_TOKEN; \
         while :; do sleep 0.1; done",
    ];
    let holder = semaphore(&dev, 0, &["--number", "2"], &command);
    let line = holder.line();
    assert!(
        line.trim_start_matches("holding ").parse::<u64>().is_ok(),
        "{line}"
    );
    dev.force("recipes", "permit/s/1");
    holder.line_with("told");
    let (code, error) = holder.end();
    assert_eq!(code, Some(79), "{error}");
    assert!(error.contains("the lock is lost"), "{error}");
}

#[test]
fn a_wait_that_is_over_runs_nothing() {
    let dev = Dev::start();
    let holder = semaphore(&dev, 0, &["--number", "2"], &UNTIL_TOLD);
    holder.line_with("holding");
    let wait = ["semaphore", "s", "--permits", "2", "--timeout", "0s"];
    let (code, error) = dev.fail(&[&wait[..], &["--", "echo", "ran"]].concat());
    assert_eq!(code, 75, "{error}");
    assert!(error.contains("the permits were not free"), "{error}");
    let waiter = semaphore(&dev, 1, &[], &["echo", "ran"]);
    dev.wait_for_queue_of("recipes", "permit/s/0", 2);
    waiter.signal("TERM");
    assert_eq!(waiter.end().0, Some(143));
    dev.wait_for_queue_of("recipes", "permit/s/0", 1);
    dev.wait_for_queue_of("recipes", "semaphore/s", 0);
}

/// A command line of the semaphore, with what is different about it.
fn line<'a>(permits: &'a str, arguments: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    let semaphore = ["semaphore", "s", "--permits", permits];
    [&semaphore, arguments, &["--"], command].concat()
}

#[test]
fn what_a_semaphore_does_not_do_is_said() {
    let dev = Dev::start();
    let run = ["true"];
    refused(
        &dev,
        &[
            (&line("0", &[], &run), 2, "whole number from 1"),
            (&line("-2", &[], &run), 2, "whole number from 1"),
            (&line("99999999999999999999", &[], &run), 2, "far too large"),
            (
                &line("1000", &[], &run),
                1,
                "permits are 1 to 128, not 1000",
            ),
            (
                &line("2", &["--number", "3"], &run),
                1,
                "permits are 1 to 2, not 3",
            ),
            (
                &line("2", &["--number", "0"], &run),
                2,
                "whole number from 1",
            ),
            (&line("2", &["--lease", "0s"], &run), 2, "a lease is"),
            (&["semaphore", "s", "--", "true"], 2, "--permits"),
            (&["semaphore", "s", "--permits", "2"], 2, "<CMD>"),
            (
                &["semaphore", "s", "--permits", "2", "true"],
                2,
                "`--` before it",
            ),
            (
                &line("2", &[], &["no-such-command"]),
                127,
                "no-such-command",
            ),
            (&line("2", &[], &["/etc/passwd"]), 126, "cannot be run"),
            (&line("2", &[], &["sh", "-c", "exit 5"]), 5, ""),
            (&line("3", &[], &run), 1, "in use with 2 permits, not 3"),
        ],
    );
}
