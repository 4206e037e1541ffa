//! `music counter`.

use serde_json::{Value, json};

use super::{refused, start};
use crate::support::Dev;

#[test]
fn a_counter_is_read_and_changed() {
    let dev = Dev::start();
    let counter = |action: &[&str]| {
        let shown = dev.run(&[&["counter", "c"], action].concat());
        shown.trim().parse::<i64>().unwrap()
    };
    assert_eq!(counter(&[]), 0);
    assert_eq!(counter(&["add", "5"]), 5);
    assert_eq!(counter(&["add", "-8"]), -3);
    assert_eq!(counter(&["get"]), -3);
    assert_eq!(counter(&["set", "-7"]), -7);
    assert_eq!(counter(&["compare-and-set", "-7", "-9"]), -9);
    let shown = dev.run(&["--json", "counter", "c", "add", "-1"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, json!({"counter": "c", "number": -10, "before": -9}));
}

#[test]
fn all_sites_change_one_number() {
    let dev = Dev::start();
    let adders = [0, 1, 2].map(|node| start(&dev, node, &["counter", "c", "add", "7"]));
    for adder in adders {
        assert_eq!(adder.end().0, Some(0));
    }
    assert_eq!(dev.run(&["counter", "c"]), "21\n");
}

#[test]
fn what_a_counter_does_not_do_is_said() {
    let dev = Dev::start();
    let max = i64::MAX.to_string();
    dev.run(&["counter", "c", "set", &max]);
    refused(
        &dev,
        &[
            (&["counter", "c", "add", "1"], 1, "would leave the range"),
            (
                &["counter", "c", "compare-and-set", "-1", "0"],
                83,
                &format!("the number is {max}, not -1"),
            ),
            (
                &["counter", "c", "add", "9223372036854775808"],
                2,
                "too large",
            ),
            (&["counter", "c", "add", "one"], 2, "invalid digit"),
            (&["counter", "c", "add"], 2, "<NUMBER>"),
            (&["counter", "c", "multiply", "2"], 2, "multiply"),
            (&["counter", ""], 1, "has 1 to 900 bytes"),
        ],
    );
    assert_eq!(dev.run(&["counter", "c"]), format!("{max}\n"));
}
