//! `music dev`.

use std::process::{Command, Stdio};

use crate::support::{Dev, MUSIC, Running, music, succeeded};

#[test]
fn the_three_commands_work_as_printed() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = music();
    command.args(["dev", "--port", "0", "--profile", "local3"]);
    command.env("TMPDIR", temporary.path());
    let dev = Running::start(&mut command);
    dev.line_with("Try");
    for _ in 0..3 {
        let line = dev.line();
        let output = Command::new("sh")
            .args(["-c", line.trim()])
            .env_remove("MUSIC_ENDPOINTS")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!succeeded(&output).is_empty(), "{line}");
        assert!(line.contains("music"), "{line}");
    }
}

#[test]
fn each_site_has_an_address_that_answers() {
    let dev = Dev::start();
    let nodes = dev.says["nodes"].as_array().unwrap().len();
    assert_eq!(nodes, 3);
    for node in 0..nodes {
        let status = dev
            .music(&[node])
            .args(["status", "--json"])
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_str(&succeeded(&status)).unwrap();
        assert_eq!(status[0]["status"]["site"], dev.site(node));
    }
}

#[test]
fn an_interrupt_ends_it_and_removes_what_was_temporary() {
    let dev = Dev::start();
    let data = std::path::PathBuf::from(dev.says["data"].as_str().unwrap());
    assert!(data.exists());
    dev.run(&["lock", "k", "--", "true"]);
    let (code, error) = dev.stop();
    assert_eq!(code, Some(0), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_data_directory_is_kept_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let data = data.to_str().unwrap();
    let dev = Dev::start_with(&["--data", data]);
    dev.run(&["table", "create", "e", "--mode", "eventual"]);
    dev.run(&["put", "-t", "e", "k", "v"]);
    dev.stop();
    let dev = Dev::start_with(&["--data", data]);
    assert_eq!(dev.run(&["get", "-t", "e", "k"]), "v");
    // One that is in use is not used twice.
    let second = Command::new(MUSIC)
        .args(["dev", "--port", "0", "--data", data])
        .output()
        .unwrap();
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && error.contains(data), "{error}");
}
