//! `music register`.

use serde_json::{Value, json};

use super::refused;
use crate::support::Dev;

#[test]
fn a_register_is_read_and_changed() {
    let dev = Dev::start();
    let register = |action: &[&str]| dev.run(&[&["register", "r"], action].concat());
    assert_eq!(register(&["set", "one"]), "version 1\n");
    assert_eq!(register(&[]), "one");
    assert_eq!(register(&["set", "-2"]), "version 2\n");
    assert_eq!(register(&["get"]), "-2");
    assert_eq!(register(&["compare-and-set", "2", "three"]), "version 3\n");
    let shown: Value = serde_json::from_str(&register(&["get", "--json"])).unwrap();
    assert_eq!(shown["version"], 3);
    assert_eq!(shown["value"], json!({"text": "three"}));
}

#[test]
fn a_register_takes_any_bytes_from_standard_input() {
    let dev = Dev::start();
    let bytes: Vec<u8> = (0..=255).collect();
    let set = dev.run_with(&["--json", "register", "r", "set", "-"], &bytes);
    assert_eq!(
        serde_json::from_str::<Value>(&set).unwrap(),
        json!({"register": "r", "version": 1})
    );
    let mut get = dev.music(&[1]);
    let output = get.args(["register", "r"]).output().unwrap();
    assert!(output.stdout == bytes);
}

#[test]
fn what_a_register_does_not_do_is_said() {
    let dev = Dev::start();
    refused(&dev, &[(&["register", "r"], 66, "was never set")]);
    dev.run(&["register", "r", "compare-and-set", "0", "first"]);
    let large = "x".repeat(120_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), large.repeat(3)).unwrap();
    let file = file.path().to_str().unwrap();
    refused(
        &dev,
        &[
            (
                &["register", "r", "compare-and-set", "0", "again"],
                83,
                "the version is 1, not 0",
            ),
            (
                &["register", "r", "set", "--file", file],
                1,
                "is larger than",
            ),
            (&["register", "r", "set"], 2, "VALUE"),
            (&["register", "r", "compare-and-set", "-1", "v"], 2, "-1"),
            (&["register", "", "set", "v"], 1, "has 1 to 900 bytes"),
        ],
    );
    assert_eq!(dev.run(&["register", "r"]), "first");
}
