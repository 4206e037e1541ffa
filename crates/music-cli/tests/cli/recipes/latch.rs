//! `music latch`.

use serde_json::{Value, json};

use super::{refused, start};
use crate::support::Dev;

#[test]
fn a_latch_opens_after_its_counts_and_stays_open() {
    let dev = Dev::start();
    let latch = |action: &str| dev.run(&["latch", "l", "--count", "3", action]);
    assert_eq!(latch("--left"), "3\n");
    let waits = [1, 2].map(|node| start(&dev, node, &["latch", "l", "--count", "3", "--wait"]));
    assert_eq!(latch("--down"), "2\n");
    assert_eq!(latch("--down"), "1\n");
    assert!(waits.iter().all(crate::support::Running::is_silent));
    assert_eq!(latch("--down"), "0\n");
    for wait in waits {
        assert_eq!(wait.line(), "open");
        assert_eq!(wait.end().0, Some(0));
    }
    assert_eq!(latch("--down"), "0\n");
    assert_eq!(latch("--wait"), "open\n");
    let left = dev.run(&["--json", "latch", "l", "--count", "3", "--left"]);
    assert_eq!(
        serde_json::from_str::<Value>(&left).unwrap(),
        json!({"latch": "l", "left": 0})
    );
}

#[test]
fn what_a_latch_does_not_do_is_said() {
    let dev = Dev::start();
    dev.run(&["latch", "l", "--count", "3", "--down"]);
    refused(
        &dev,
        &[
            (
                &["latch", "l", "--count", "4", "--down"],
                1,
                "in use with 3 counts, not 4",
            ),
            (
                &["latch", "l", "--count", "3", "--wait", "--timeout", "50ms"],
                75,
                "the latch did not open",
            ),
            (&["latch", "l", "--count", "0", "--down"], 2, "from 1"),
            (&["latch", "l", "--count", "-1", "--down"], 2, "from 1"),
            (
                &["latch", "l", "--count", "2000000000000", "--down"],
                1,
                "counts are 1 to",
            ),
            (&["latch", "l", "--count", "3"], 2, "--down"),
            (&["latch", "l", "--down"], 2, "--count"),
            (
                &["latch", "l", "--count", "3", "--down", "--wait"],
                2,
                "cannot be used with",
            ),
            (
                &["latch", "l", "--count", "3", "--down", "--timeout", "1s"],
                2,
                "cannot be used with",
            ),
        ],
    );
    assert_eq!(dev.run(&["latch", "l", "--count", "3", "--left"]), "2\n");
}
