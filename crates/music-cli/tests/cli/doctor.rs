//! `music doctor` where there is no engine to look at.

use serde_json::Value;

use crate::support::music;

/// The code, and the report.
fn examine(config: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("music.toml");
    std::fs::write(&path, config).unwrap();
    let mut doctor = music();
    doctor.args(["--json", "doctor", "--config"]).arg(&path);
    let output = doctor.output().unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_default())
}

#[test]
fn the_embedded_engine_needs_no_check_beyond_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (code, report) = examine(&format!(
        "site = 'a'\n[embedded]\ndir = '{}'",
        folder.path().display()
    ));
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(
        (&report["engine"], &report["errors"]),
        (&"embedded".into(), &0.into())
    );
    let what = report["findings"][0]["what"].as_str().unwrap();
    assert!(what.contains("needs no check"), "{report}");
}

#[test]
fn an_engine_that_does_not_answer_is_an_error_with_advice() {
    let (code, report) = examine(
        "site = 'ohio'
        engine = { state = 'cassandra', locks = 'etcd' }
        [cassandra]
        contact_points = ['127.0.0.1:1']
        replication = { ohio = 1 }
        [etcd]
        endpoints = ['http://127.0.0.1:1']",
    );
    assert_eq!(code, Some(81), "{report}");
    let findings = report["findings"].as_array().unwrap();
    for check in ["cassandra", "etcd.majority"] {
        let mut those = findings.iter().filter(|finding| finding["check"] == check);
        let finding = those.next().unwrap();
        assert_eq!(finding["level"], "error", "{finding}");
        assert!(finding["what"].as_str().is_some(), "{finding}");
        assert!(finding["advice"].as_str().is_some(), "{finding}");
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_not_looked_at() {
    let (code, report) = examine("engine = { state = 'cassandra' }");
    assert_eq!((code, report), (Some(78), Value::Null));
}
