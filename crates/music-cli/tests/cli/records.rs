//! Tables and records on the command line.

use serde_json::{Value, json};

use crate::support::{Dev, music, succeeded};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn tables_are_created_listed_and_dropped() {
    let dev = Dev::start();
    dev.run(&["table", "create", "t1", "--mode", "eventual"]);
    dev.run(&["table", "create", "t1", "--mode", "eventual"]);
    let (code, error) = dev.fail(&["table", "create", "t1", "--mode", "critical"]);
    assert_eq!(code, 1, "{error}");
    let listed = json(&dev.run(&["table", "list", "--json"]));
    let entry = json!({"name": "t1", "mode": "eventual"});
    assert!(listed.as_array().unwrap().contains(&entry), "{listed}");
    dev.run(&["table", "drop", "t1"]);
    let (code, error) = dev.fail(&["get", "-t", "t1", "k"]);
    assert_eq!(code, 1);
    assert!(error.contains("music table create"), "{error}");
}

#[test]
fn values_are_put_read_listed_and_deleted() {
    let dev = Dev::start();
    dev.run(&["table", "create", "e", "--mode", "eventual"]);
    dev.run(&["put", "-t", "e", "a/b", "hello"]);
    assert_eq!(dev.run(&["get", "-t", "e", "a/b"]), "hello");
    dev.run_with(&["put", "-t", "e", "c", "-"], b"from\nstdin");
    assert_eq!(dev.run(&["get", "-t", "e", "c"]), "from\nstdin");
    dev.run(&[
        "put",
        "-t",
        "e",
        "c",
        "-f",
        "size",
        "{\"w\":1}",
        "--content-type",
        "application/json",
    ]);
    assert_eq!(
        dev.run(&["scan", "-t", "e"]),
        "a/b\thello\nc\tfrom\\nstdin\nc\tsize\t{\"w\":1}\n"
    );
    assert_eq!(
        dev.run(&["scan", "-t", "e", "--prefix", "a"]),
        "a/b\thello\n"
    );
    assert_eq!(
        dev.run(&["scan", "-t", "e", "--limit", "1"]),
        "a/b\thello\n"
    );
    dev.run(&["delete", "-t", "e", "c", "--field", "size"]);
    assert_eq!(
        dev.run(&["get", "-t", "e", "--all", "c"]),
        "c\tfrom\\nstdin\n"
    );
    dev.run(&["delete", "-t", "e", "c"]);
    let (code, error) = dev.fail(&["get", "-t", "e", "c"]);
    assert_eq!(code, 66, "{error}");
}

#[test]
fn a_value_of_any_bytes_comes_back_as_it_was() {
    let dev = Dev::start();
    dev.run(&["table", "create", "e", "--mode", "eventual"]);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    dev.run_with(
        &["put", "-t", "e", "k", "-", "--content-type", "image/png"],
        &bytes,
    );
    let output = dev
        .music(&[0])
        .args(["get", "-t", "e", "k"])
        .output()
        .unwrap();
    assert!(output.stdout == bytes);
    let read = json(&dev.run(&["get", "-t", "e", "k", "--json"]));
    assert_eq!(read["content_type"], "image/png");
    assert_eq!(read["key"], "k");
}

#[test]
fn a_critical_table_is_written_in_a_section_and_read_anywhere() {
    let dev = Dev::start();
    dev.run(&["table", "create", "c", "--mode", "critical"]);
    let (code, error) = dev.fail(&["put", "-t", "c", "k", "v"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("--critical") && error.contains("effect: none"),
        "{error}"
    );
    dev.run(&["put", "-t", "c", "k", "v", "--critical"]);
    let elsewhere = dev
        .music(&[2])
        .args(["get", "-t", "c", "k", "--critical"])
        .output()
        .unwrap();
    assert_eq!(succeeded(&elsewhere), "v");
    dev.run(&["delete", "-t", "c", "k", "--critical"]);
    assert_eq!(dev.fail(&["get", "-t", "c", "k", "--critical"]).0, 66);
}

#[test]
fn a_failure_is_json_where_that_is_asked_for() {
    let dev = Dev::start();
    let (code, error) = dev.fail(&["get", "-t", "nothing", "k", "--json"]);
    let error = json(&error);
    assert_eq!(error["exit_code"].as_i64(), Some(i64::from(code)));
    assert_eq!(error["code"], "MUSIC-2001");
    assert_eq!(error["outcome"], "not_applied");
}

#[test]
fn what_is_wrong_with_a_command_line_is_said() {
    for arguments in [
        &["put", "-t", "t", "k"][..],
        &["lock", "k"],
        &["lock", "--", "true"],
    ] {
        let output = music().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = music()
        .args(["--endpoint", "localhost:1", "status"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn nobody_at_the_address_is_said_with_what_to_do() {
    let output = music()
        .args(["--endpoint", "http://127.0.0.1:9", "get", "-t", "t", "k"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{error}");
    for text in ["effect: none", "to do:", "MUSIC_ENDPOINTS"] {
        assert!(error.contains(text), "{error}");
    }
    assert!(!error.contains('\x1b'), "colours are for terminals");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dev = Dev::start();
    dev.run(&["table", "create", "e", "--mode", "eventual"]);
    let large = "x".repeat(200_000);
    dev.run_with(&["put", "-t", "e", "k", "-"], large.as_bytes());
    let mut get = dev.music(&[0]);
    get.args(["get", "-t", "e", "k"]);
    get.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = get.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn completions_and_codes_need_no_node() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeded(&music().args(["completions", shell]).output().unwrap());
        assert!(script.contains("music"));
    }
    let codes = json(&succeeded(
        &music().args(["exit-codes", "--json"]).output().unwrap(),
    ));
    assert_eq!(codes[0]["code"], 0);
}
