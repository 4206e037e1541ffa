//! `music serve`.

use std::path::Path;

use serde_json::Value;

use crate::support::{Running, music, succeeded};

fn config(dir: &Path, text: &str) -> String {
    let path = dir.join("music.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_node_serves_until_it_is_told_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(
        dir.path(),
        "node = \"n1\"\nsite = \"a\"\nlisten = \"127.0.0.1:0\"\n",
    );
    let mut serve = music();
    serve.args(["--json", "serve", "--config", &config]);
    let node = Running::start(&mut serve);
    let says: Value = serde_json::from_str(&node.line()).unwrap();
    assert_eq!((&says["node"], &says["site"]), (&"n1".into(), &"a".into()));
    let url = says["url"].as_str().unwrap();
    let status = music()
        .args(["--json", "--endpoint", url, "status"])
        .output()
        .unwrap();
    let status: Value = serde_json::from_str(&succeeded(&status)).unwrap();
    assert_eq!(status[0]["status"]["node"], "n1");
    node.signal("TERM");
    let (code, error) = node.end();
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn all_faults_of_a_configuration_are_told_together() {
    let dir = tempfile::tempdir().unwrap();
    let text = "site = \"no such site!\"\nlisten = \"nowhere\"\nnonsense = 1\n";
    let config = config(dir.path(), text);
    let output = music()
        .args(["serve", "--check", "--config", &config])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{error}");
    for setting in ["site", "listen", "nonsense"] {
        assert!(error.contains(setting), "{error}");
    }
}

#[test]
fn a_configuration_that_is_missing_is_said() {
    let output = music()
        .args(["serve", "--config", "/no/such/file"])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{error}");
    assert!(error.contains("/no/such/file"), "{error}");
}
