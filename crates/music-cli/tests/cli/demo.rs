//! `music demo placement`.

use serde_json::Value;

use crate::support::{music, succeeded};

fn demo(arguments: &[&str]) -> std::process::Output {
    let mut command = music();
    command.args(["demo", "placement", "--profile", "local3"]);
    command.args(arguments).output().unwrap()
}

fn number(report: &Value, name: &str) -> u64 {
    report[name]
        .as_u64()
        .unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn every_template_is_placed_once_though_a_worker_a_site_and_a_node_fail() {
    let output = demo(&["--json", "--seed", "3"]);
    let report: Value = serde_json::from_str(&succeeded(&output)).unwrap();
    assert_eq!(report["exactly_once"], true, "{report}");
    for nothing in ["duplicates", "lost", "unplaceable"] {
        assert_eq!(number(&report, nothing), 0, "{report}");
    }
    let (templates, placed) = (number(&report, "templates"), number(&report, "placed"));
    assert_eq!(placed + number(&report, "unreadable"), templates);
    assert!(report["seconds"].as_f64().unwrap() > 0.0);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(u64::try_from(rows.len()).unwrap(), placed);
    for name in ["template", "site", "worker", "token", "lock_ref", "at_ms"] {
        assert!(rows.iter().all(|row| !row[name].is_null()), "{report}");
    }
    let faults = report["faults"].as_array().unwrap();
    let kinds: Vec<&str> = faults
        .iter()
        .filter_map(|fault| fault["kind"].as_str())
        .collect();
    let expected = [
        "worker_killed",
        "site_cut",
        "site_healed",
        "node_killed",
        "node_started",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn people_are_told_what_goes_on_and_how_it_ends() {
    let text = succeeded(&demo(&["--no-faults", "--workers", "1"]));
    for part in [
        "templates submitted: ",
        "placed single_server.yaml",
        "unreadable: unreadable.yaml: resource \"volume\": size cannot be told",
        "TEMPLATE",
        "0 duplicates, 0 lost",
        "every readable template was placed exactly once",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("KILLED"), "{text}");
}

#[test]
fn a_template_that_fits_no_site_is_named_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = |count| {
        format!(
            "heat_template_version: 2021-04-16\n\
             resources:\n\
             \x20 group:\n\
             \x20   type: OS::Heat::ResourceGroup\n\
             \x20   properties:\n\
             \x20     count: {count}\n\
             \x20     resource_def: {{type: OS::Nova::Server, properties: {{flavor: m1.small}}}}\n"
        )
    };
    std::fs::write(folder.path().join("small.yaml"), server(1)).unwrap();
    std::fs::write(folder.path().join("huge.yaml"), server(500)).unwrap();
    std::fs::write(folder.path().join("broken.yaml"), "no template").unwrap();
    let folder = folder.path().to_str().unwrap();
    let output = demo(&[
        "--json",
        "--no-faults",
        "--sites",
        "1",
        "--templates",
        folder,
    ]);
    assert_eq!(output.status.code(), Some(80));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exactly_once"], false);
    let counts = ["templates", "placed", "unreadable", "unplaceable"];
    assert_eq!(counts.map(|name| number(&report, name)), [3, 1, 1, 1]);
    assert_eq!(report["rows"][0]["template"], "small.yaml");
    let reason = report["unplaceable_templates"]["huge.yaml"]
        .as_str()
        .unwrap();
    assert!(reason.contains("needs 500 vcpus, has 32"), "{reason}");
}

#[test]
fn what_cannot_be_shown_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = folder.path().join("catalogue.toml");
    std::fs::write(&catalogue, "flavours = 1").unwrap();
    let catalogue = catalogue.to_str().unwrap();
    for (arguments, code) in [
        (["--templates", "/no/such/folder"], 74),
        (["--catalogue", "/no/such/file"], 74),
        (["--catalogue", catalogue], 78),
        (["--workers", "0"], 2),
        (["--sites", "0"], 2),
        (["--deadline", "soon"], 2),
    ] {
        let output = demo(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(
            !output.stderr.is_empty() && output.stdout.is_empty(),
            "{arguments:?}"
        );
    }
}
