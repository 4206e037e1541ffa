use std::os::unix::fs::PermissionsExt;

use super::*;

const EXAMPLE: &str = include_str!("../../../../../deploy/active-passive.toml");

/// A directory with these scripts, which can be run.
fn scripts(names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    directory
}

fn faults(text: &str, directory: &Path) -> Vec<String> {
    let faults = Config::parse(text, directory).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

const SHORT: &str = r#"
service = "s"
replica = "r"
site = "ohio"
[scripts]
activate = ["./a"]
deactivate = ["true"]
"#;

#[test]
fn what_is_not_said_is_as_in_the_example() {
    let names = [
        "activate",
        "deactivate",
        "check",
        "restart",
        "state",
        "load",
    ];
    let names = names.map(|name| format!("billing/{name}"));
    let directory = scripts(&names.each_ref().map(String::as_str));
    let example = Config::parse(EXAMPLE, directory.path()).unwrap();
    let directory = scripts(&["a"]);
    let short = Config::parse(SHORT, directory.path()).unwrap();
    assert_eq!(example.check, short.check);
    for (one, other) in [
        (example.lease, short.lease),
        (example.out, short.out),
        (example.kill_after, short.kill_after),
        (
            example.scripts.activate.timeout,
            short.scripts.activate.timeout,
        ),
        (
            example.scripts.deactivate.timeout,
            short.scripts.deactivate.timeout,
        ),
    ] {
        assert_eq!(one, other);
    }
    let check = example.scripts.check.unwrap();
    assert_eq!(check.command.last().unwrap(), "--quick");
    assert!(short.scripts.check.is_none() && short.endpoints.is_none());
    assert_eq!(short.active, 1);
    let activate = directory.path().join("./a").into_os_string();
    assert_eq!(short.scripts.activate.command, [activate]);
}

#[test]
fn all_faults_are_told_with_their_lines() {
    let directory = scripts(&["a"]);
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "#!/bin/sh\n").unwrap();
    let text = r#"
service = ""
site = 7
active = 65
sites = "ohio"
failback = "yes"
endpoints = ["ohio:7701"]
lease_ms = 99
scripts.activate = ["./plain"]
scripts.check = []
scripts.restart = ["./gone", "x"]
scripts.state = "./a"
scripts.load = ["no-such-program"]
scripts.lode = ["./a"]
check = 5
[timeouts]
check_ms = 0
kill_ms = 1.5
"#;
    let told = faults(text, directory.path());
    let directory = directory.path().display();
    let expected = [
        "line 2: service: is a text of 1 to 100 bytes".to_owned(),
        "line 3: site: is a text of 1 to 100 bytes".to_owned(),
        "line 4: active: is a whole number of 1 to 64".to_owned(),
        "line 5: sites: is a list of texts, as [\"ohio\", \"oregon\"]".to_owned(),
        "line 6: failback: is true or false".to_owned(),
        "line 7: endpoints: \"ohio:7701\" is not the address of a node: write http://HOST:PORT"
            .to_owned(),
        "line 8: lease_ms: is a whole number of 100 to 86400000".to_owned(),
        format!("line 9: scripts.activate: {directory}/./plain is not executable: chmod +x"),
        "line 10: scripts.check: is empty: it begins with a program".to_owned(),
        format!("line 11: scripts.restart: {directory}/./gone is not there"),
        "line 12: scripts.state: is a list of texts, as [\"/usr/bin/program\", \"argument\"]"
            .to_owned(),
        "line 13: scripts.load: there is no program \"no-such-program\" in PATH".to_owned(),
        "line 14: scripts.lode: is no setting; there are activate, deactivate, check, restart, \
         state, load"
            .to_owned(),
        "line 15: check: is a section: [check]".to_owned(),
        "line 17: timeouts.check_ms: is a whole number of 1 to 86400000".to_owned(),
        "line 18: timeouts.kill_ms: is a whole number of 1 to 86400000".to_owned(),
        "replica: is missing".to_owned(),
        "scripts.deactivate: is missing".to_owned(),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let directory = scripts(&["a"]);
    for (old, new, told) in [
        (
            "site = \"ohio\"",
            "site = \"ohio\"\nfailback = true\nsites = [\"oregon\"]",
            "line 5: failback: needs `sites`, this one among them",
        ),
        (
            "[scripts]",
            "[scripts]\nrestart = [\"./a\"]",
            "line 6: scripts.restart: is run when `check` fails: there is none",
        ),
        (
            "[\"./a\"]",
            "[\".\"]",
            "line 6: scripts.activate: there is no program \".\" in PATH",
        ),
    ] {
        let text = SHORT.replacen(old, new, 1);
        assert_eq!(faults(&text, directory.path()), [told], "{text}");
    }
}

#[test]
fn every_slip_of_syntax_is_told() {
    let directory = scripts(&["a"]);
    let text = format!("{SHORT}\nx = \ny = [1\n");
    let told = faults(&text, directory.path());
    assert!(told.len() >= 2, "{told:?}");
    assert!(told[0].starts_with("line 9: "), "{told:?}");
}
