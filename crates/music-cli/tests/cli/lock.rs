//! `music lock`.

use serde_json::Value;

use crate::support::{Dev, Running};

/// A command that says that it runs, and ends with its standard input.
const UNTIL_TOLD: [&str; 3] = ["sh", "-c", "echo holding; cat > /dev/null"];

fn lock(dev: &Dev, node: usize, arguments: &[&str], command: &[&str]) -> Running {
    let mut lock = dev.music(&[node]);
    lock.arg("lock").args(arguments).arg("--").args(command);
    Running::start(&mut lock)
}

#[test]
fn the_second_waits_and_starts_when_the_first_ends() {
    let dev = Dev::start();
    let mut first = lock(&dev, 0, &["k"], &UNTIL_TOLD);
    first.line_with("holding");
    let second = lock(&dev, 1, &["k"], &["echo", "second"]);
    dev.wait_for_queue("k", 2);
    assert!(second.is_silent());
    drop(first.stdin());
    assert_eq!(second.line(), "second");
    assert_eq!(second.end().0, Some(0));
    assert_eq!(first.end().0, Some(0));
    dev.wait_for_queue("k", 0);
}

#[test]
fn the_second_starts_when_the_first_is_killed_and_nothing_of_it_runs_on() {
    let dev = Dev::start();
    let command = ["sh", "-c", "sleep 1000 & echo holding; sleep 1000"];
    let first = lock(&dev, 0, &["--lease", "500ms", "k"], &command);
    first.line_with("holding");
    let second = lock(&dev, 1, &["k"], &["echo", "second"]);
    dev.wait_for_queue("k", 2);
    first.signal("KILL");
    first.wait_until_all_ended();
    assert_eq!(second.line(), "second");
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn a_later_section_has_a_greater_token() {
    let dev = Dev::start();
    let token = || {
        let shown = dev.run(&["lock", "k", "--", "sh", "-c", "echo $MUSIC_FENCING_TOKEN"]);
        shown.trim().parse::<u64>().unwrap()
    };
    let first = token();
    assert!(token() > first);
}

#[test]
fn the_command_finds_its_section_in_the_environment() {
    let dev = Dev::start();
    let show =
        "echo \"$MUSIC_FENCING_TOKEN|$MUSIC_FENCING_TOKENS|$MUSIC_LOCK_REF|$MUSIC_ENDPOINTS\"";
    let shown = dev.run(&["lock", "b", "a", "--", "sh", "-c", show]);
    let mut parts = shown.trim().split('|');
    let token: u64 = parts.next().unwrap().parse().unwrap();
    let tokens: Value = serde_json::from_str(parts.next().unwrap()).unwrap();
    assert_eq!(tokens[0]["token"].as_u64(), Some(token));
    assert_eq!(
        (&tokens[0]["key"], &tokens[1]["key"]),
        (&"b".into(), &"a".into())
    );
    assert!(!parts.next().unwrap().is_empty());
    assert_eq!(parts.next().unwrap(), dev.url(0));
}

#[test]
fn the_code_of_the_command_is_passed_on() {
    let dev = Dev::start();
    for (command, code) in [("exit 5", 5), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        assert_eq!(
            dev.fail(&["lock", "k", "--", "sh", "-c", command]).0,
            code,
            "{command}"
        );
    }
    let (code, error) = dev.fail(&["lock", "k", "--", "no-such-command"]);
    assert_eq!(code, 127);
    assert!(error.contains("no-such-command"), "{error}");
    assert_eq!(dev.fail(&["lock", "k", "--", "/etc/passwd"]).0, 126);
}

#[test]
fn a_wait_that_is_over_runs_nothing_and_leaves_the_queue() {
    let dev = Dev::start();
    let holder = lock(&dev, 0, &["k"], &UNTIL_TOLD);
    holder.line_with("holding");
    let (code, error) = dev.fail(&["lock", "--timeout", "0s", "k", "--", "echo", "ran"]);
    assert_eq!(code, 75, "{error}");
    dev.wait_for_queue("k", 1);
}

#[test]
fn a_wait_that_is_interrupted_leaves_the_queue() {
    let dev = Dev::start();
    let holder = lock(&dev, 0, &["k"], &UNTIL_TOLD);
    holder.line_with("holding");
    let waiter = lock(&dev, 1, &["k"], &["echo", "ran"]);
    dev.wait_for_queue("k", 2);
    waiter.signal("INT");
    assert_eq!(waiter.end().0, Some(130));
    dev.wait_for_queue("k", 1);
}

#[test]
fn a_lost_lock_ends_the_command() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap 'echo told; exit 0' TERM; echo holding; while :; do sleep 0.1; done",
    ];
    let holder = lock(&dev, 0, &["k"], &command);
    holder.line_with("holding");
    dev.force("locks", "k");
    holder.line_with("told");
    let (code, error) = holder.end();
    assert_eq!(code, Some(79), "{error}");
    assert!(error.contains("the lock is lost"), "{error}");
}

#[test]
fn a_command_that_does_not_end_is_killed_with_all_it_started() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap '' TERM; echo holding; sleep 1000 & sleep 1000; sleep 1000",
    ];
    let holder = lock(&dev, 0, &["--kill-after", "100ms", "k"], &command);
    holder.line_with("holding");
    dev.force("locks", "k");
    holder.wait_until_all_ended();
    assert_eq!(holder.end().0, Some(79));
}

#[test]
fn a_signal_is_passed_on_to_the_command() {
    let dev = Dev::start();
    let command = [
        "sh",
        "-c",
        "trap 'echo told; exit 9' TERM; echo holding; while :; do sleep 0.1; done",
    ];
    let holder = lock(&dev, 0, &["k"], &command);
    holder.line_with("holding");
    holder.signal("TERM");
    holder.line_with("told");
    assert_eq!(holder.end().0, Some(9));
    dev.wait_for_queue("k", 0);
}

#[test]
fn shared_holders_run_beside_each_other() {
    let dev = Dev::start();
    let first = lock(&dev, 0, &["--shared", "k"], &UNTIL_TOLD);
    first.line_with("holding");
    let second = lock(&dev, 1, &["--shared", "k"], &UNTIL_TOLD);
    second.line_with("holding");
    assert_eq!((first.end().0, second.end().0), (Some(0), Some(0)));
}

#[test]
fn a_confirmed_section_counts() {
    let dev = Dev::start();
    assert_eq!(
        dev.run(&["lock", "--confirm", "k", "--", "echo", "done"]),
        "done\n"
    );
}

#[test]
fn a_put_that_fails_or_is_interrupted_in_its_section_holds_nobody_up() {
    let dev = Dev::start();
    let large = "x".repeat(3 << 20);
    let mut put = dev.music(&[0]);
    put.args(["put", "-t", "locks", "--critical", "k", "-"]);
    let mut put = Running::start(&mut put);
    std::io::Write::write_all(&mut put.stdin(), large.as_bytes()).unwrap();
    let (code, error) = put.end();
    assert_eq!(code, Some(1), "{error}");
    dev.wait_for_queue("k", 0);

    let holder = lock(&dev, 0, &["k"], &UNTIL_TOLD);
    holder.line_with("holding");
    let mut put = dev.music(&[0]);
    put.args(["put", "-t", "locks", "--critical", "k", "v"]);
    let put = Running::start(&mut put);
    dev.wait_for_queue("k", 2);
    put.signal("TERM");
    assert_eq!(put.end().0, Some(143));
    dev.wait_for_queue("k", 1);
}
