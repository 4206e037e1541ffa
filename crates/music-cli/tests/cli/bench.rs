//! `music bench`, as to what it reports; how long things take is no test.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Dev, music, succeeded};

fn reports(arguments: &[&str]) -> Vec<Value> {
    let data = tempfile::tempdir().unwrap();
    let mut command = music();
    command.args(["bench", "--json"]).args(arguments);
    command.arg("--data").arg(data.path().join("data"));
    let output = succeeded(&command.output().unwrap());
    serde_json::from_str(&output).unwrap()
}

#[test]
fn sections_are_measured_at_each_site() {
    let arguments = [
        "sections",
        "--profile",
        "local3",
        "--rounds",
        "2",
        "--puts",
        "1,3",
    ];
    let reports = reports(&arguments);
    for site in ["a", "b", "c"] {
        for (what, rounds) in [
            ("section, fresh key", 3),
            ("section, same key", 3),
            ("critical get, again", 0),
            ("3 puts, one by one", 3),
            ("3 puts, at once", 1),
            ("eventual put", 0),
        ] {
            let line = reports
                .iter()
                .find(|line| line["site"] == site && line["what"] == what);
            let line = line.unwrap_or_else(|| panic!("{what} at {site}: {reports:?}"));
            assert_eq!(line["expected_rounds"], rounds, "{what}");
            assert!(line["median_ms"].as_f64().unwrap() > 0.0, "{what}");
        }
    }
}

#[test]
fn gets_and_puts_are_counted() {
    let arguments = [
        "local",
        "--connections",
        "2",
        "--keys",
        "10",
        "--seconds",
        "1",
    ];
    let reports = reports(&[&arguments[..], &["--warm-up", "0s"]].concat());
    let operations: Vec<_> = reports.iter().map(|report| &report["operation"]).collect();
    assert_eq!(operations, ["get", "put"]);
    for report in &reports {
        assert!(report["requests"].as_u64().unwrap() > 0, "{report}");
        assert_eq!(report["errors"], 0, "{report}");
    }
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let arguments = [
        "local",
        "--connections",
        "4",
        "--keys",
        "10",
        "--seconds",
        "1",
    ];
    let reports = reports(&[&arguments[..], &["--warm-up", "0s", "--rate", "50"]].concat());
    for report in &reports {
        assert!(report["requests"].as_u64().unwrap() <= 50, "{report}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for arguments in [
        &["local", "--running"][..],
        &["local", "--connections", "0"],
        &["local", "--rate", "0"],
        &["sections", "--profile", "mars"],
        &["sections", "--rounds", "0"],
        &["wan"],
    ] {
        let output = music().arg("bench").args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!error.is_empty() && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn recipes_are_measured_at_each_endpoint() {
    let dev = Dev::start();
    let mut bench = dev.music(&[0, 1, 2]);
    bench.args(["--json", "bench", "recipes", "--count", "2"]);
    let rows: Value = serde_json::from_str(&succeeded(&bench.output().unwrap())).unwrap();
    let rows = rows.as_array().unwrap();
    for recipe in [
        "mutex",
        "counter",
        "election",
        "semaphore",
        "double-barrier",
        "queue push",
        "queue take, done",
    ] {
        let mut measured: Vec<_> = rows.iter().filter(|row| row["recipe"] == recipe).collect();
        measured.dedup_by_key(|row| row["endpoint"].clone());
        assert_eq!(measured.len(), 3, "{recipe}: {rows:?}");
        assert!(
            measured
                .iter()
                .all(|row| row["median_ms"].as_f64() > Some(0.0))
        );
    }
}

#[test]
fn sections_are_done_as_lines_ask_for_them() {
    let dev = Dev::start();
    let mut wan = music();
    wan.args(["bench", "wan", "--node", dev.url(0)]);
    let mut wan = wan
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = wan.stdin.take().unwrap();
    for (id, how) in (1..).zip(["one-by-one", "pipelined", "batch"]) {
        let wanted =
            json!({ "id": id, "client": 0, "key": how, "puts": 3, "bytes": 9, "how": how });
        writeln!(input, "{wanted}").unwrap();
    }
    drop(input);
    let output = succeeded(&wan.wait_with_output().unwrap());
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("ready"));
    let answers: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), 3, "{output}");
    for answer in answers {
        let times = ["began_ns", "granted_ns", "released_ns", "ended_ns"];
        let times = times.map(|name| answer[name].as_u64());
        assert!(times.is_sorted() && times[0] > Some(0), "{answer}");
    }
}
