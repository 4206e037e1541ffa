//! `music barrier`.

use serde_json::Value;

use super::{refused, start};
use crate::support::{Dev, Running};

fn waits(dev: &Dev, node: usize, arguments: &[&str]) -> Running {
    let barrier = ["--json", "barrier", "b", "--parties", "3"];
    start(dev, node, &[&barrier, arguments].concat())
}

/// What the parties say that have crossed, the last one of them last.
fn crossed(parties: [Running; 3]) -> Vec<Value> {
    let mut crossings: Vec<Value> = parties
        .into_iter()
        .map(|party| {
            let crossing = serde_json::from_str(&party.line()).unwrap();
            let (code, error) = party.end();
            assert_eq!(code, Some(0), "{error}");
            crossing
        })
        .collect();
    crossings.sort_by_key(|crossing| crossing["last"].as_bool());
    crossings
}

/// Waits until that many parties have arrived.
fn arrived(dev: &Dev, kind: &str, parties: usize) {
    until(dev, kind, |held| {
        let arrived = held["state"]["arrived"].as_object();
        arrived.map_or(0, serde_json::Map::len) == parties
    });
}

/// Waits until what a barrier's record holds passes a test.
fn until(dev: &Dev, kind: &str, passes: impl Fn(&Value) -> bool) {
    let key = format!("{kind}/b");
    let watch = start(dev, 0, &["--json", "watch", "-t", "recipes", &key]);
    loop {
        let event: Value = serde_json::from_str(&watch.line()).unwrap();
        if passes(&event["fields"][""]["json"]) {
            return;
        }
    }
}

#[test]
fn three_processes_wait_for_each_other_again_and_again() {
    let dev = Dev::start();
    dev.run(&["table", "create", "recipes", "--mode", "critical"]);
    for number in 1..3 {
        let first = waits(&dev, 0, &[]);
        let second = waits(&dev, 1, &["--party", "b"]);
        arrived(&dev, "barrier", 2);
        assert!(first.is_silent() && second.is_silent());
        let crossings = crossed([first, second, waits(&dev, 2, &["--timeout", "1h"])]);
        for crossing in &crossings {
            assert_eq!(crossing["crossing"], number);
        }
        let last: Vec<_> = crossings.iter().map(|crossing| &crossing["last"]).collect();
        assert_eq!(last, [false, false, true]);
    }
}

#[test]
fn a_party_that_stops_waiting_is_withdrawn() {
    let dev = Dev::start();
    for party in [&[][..], &["--party", "a"]] {
        let wait = ["barrier", "b", "--parties", "3", "--timeout", "100ms"];
        let (code, error) = dev.fail(&[&wait, party].concat());
        assert_eq!(code, 75, "{error}");
        assert!(error.contains("not all parties arrived"), "{error}");
        arrived(&dev, "barrier", 0);
    }
    let party = waits(&dev, 0, &[]);
    arrived(&dev, "barrier", 1);
    party.signal("INT");
    let (code, error) = party.end();
    assert_eq!(code, Some(130));
    assert!(error.contains("interrupted while it waited"), "{error}");
    arrived(&dev, "barrier", 0);
}

#[test]
fn a_party_that_was_killed_is_counted_once_under_its_name() {
    let dev = Dev::start();
    dev.run(&["table", "create", "recipes", "--mode", "critical"]);
    let killed = waits(&dev, 0, &["--party", "a"]);
    arrived(&dev, "barrier", 1);
    dev.wait_for_queue_of("recipes", "barrier/b", 0);
    killed.signal("KILL");
    drop(killed);
    let other = waits(&dev, 1, &["--party", "b"]);
    arrived(&dev, "barrier", 2);
    let again = waits(&dev, 0, &["--party", "a"]);
    // Three arrivals, of two parties.
    until(&dev, "barrier", |held| {
        held["answers"].as_array().map_or(0, Vec::len) == 3
    });
    arrived(&dev, "barrier", 2);
    crossed([other, again, waits(&dev, 2, &["--party", "c"])]);
}

#[test]
fn parties_enter_and_leave_together() {
    let dev = Dev::start();
    dev.run(&["table", "create", "recipes", "--mode", "critical"]);
    for (turn, number) in [("--enter", 1), ("--leave", 2), ("--enter", 3)] {
        let party = |node: usize, party| waits(&dev, node, &[turn, "--party", party]);
        let (a, b) = (party(0, "a"), party(1, "b"));
        arrived(&dev, "double-barrier", 2);
        assert!(a.is_silent() && b.is_silent());
        let crossings = crossed([a, b, party(2, "c")]);
        assert_eq!(crossings[2]["crossing"], number);
    }
}

#[test]
fn what_a_barrier_does_not_do_is_said() {
    let dev = Dev::start();
    let large = "99999999999999999999999";
    let party = "p".repeat(257);
    refused(
        &dev,
        &[
            (
                &["barrier", "b", "--parties", "0"],
                2,
                "whole number from 1",
            ),
            (
                &["barrier", "b", "--parties", "-3"],
                2,
                "whole number from 1",
            ),
            (&["barrier", "b", "--parties", large], 2, "far too large"),
            (
                &["barrier", "b", "--parties", "5000"],
                1,
                "parties are 1 to 4096",
            ),
            (&["barrier", "b"], 2, "--parties"),
            (&["barrier", "b", "--parties", "2", "--enter"], 2, "--party"),
            (
                &["barrier", "b", "--parties", "2", "--party", &party],
                1,
                "256",
            ),
            (&["barrier", "", "--parties", "2"], 1, "has 1 to 900 bytes"),
        ],
    );
    dev.run(&["barrier", "b", "--parties", "1"]);
    refused(
        &dev,
        &[(
            &["barrier", "b", "--parties", "2"],
            1,
            "in use with 1 parties, not 2",
        )],
    );
}
