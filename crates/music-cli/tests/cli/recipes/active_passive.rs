//! `music active-passive`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::support::{DEADLINE, Dev, Running, music, succeeded};

/// The scripts of a service that is nothing but a file in which they write who
/// does what, under which token.
const SCRIPTS: [(&str, &str); 3] = [
    (
        "activate",
        r#"echo "$MUSIC_REPLICA activate $MUSIC_FENCING_TOKEN ($(cat))" >> log"#,
    ),
    (
        "deactivate",
        r#"echo "$MUSIC_REPLICA deactivate $MUSIC_FENCING_TOKEN $MUSIC_REASON" >> log"#,
    ),
    ("check", "test ! -e $MUSIC_REPLICA.sick"),
];

/// More of them, where a test wants them.
/// The fencing token of the first holder of a lock.
const FIRST_TOKEN: u64 = 1 << 16;
const RESTART: (&str, &str) = ("restart", "echo $MUSIC_REPLICA restart >> log");
const STATE: (&str, &str) = ("state", "printf 'as %s left it' $MUSIC_REPLICA");

/// Settings with which a test is quick: a lease, `out_ms` and a section.
const QUICK: &str = "lease_ms = 2000
out_ms = 300
[check]
interval_ms = 250
failures = 2
restarts = 2
[timeouts]
activate_ms = 5000
kill_ms = 200
";

/// A service on this machine, with its scripts and what they wrote.
struct World {
    dev: Dev,
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            dev: Dev::start(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration of the replica at a site, named `r0` to `r2` as their
    /// sites are ranked.
    fn config(&self, site: usize, settings: &str, scripts: &[(&str, &str)]) -> PathBuf {
        let replica = format!("r{site}");
        let sites: Vec<_> = (0..3).map(|site| self.dev.site(site)).collect();
        let mut text = format!(
            "service = 's'\nreplica = '{replica}'\nsite = '{}'\nsites = {sites:?}\n",
            sites[site]
        );
        text += settings;
        text += "[scripts]\n";
        let all = SCRIPTS
            .iter()
            .filter(|(name, _)| !scripts.iter().any(|(n, _)| n == name));
        for (name, body) in all.chain(scripts) {
            let script = self.path(&format!("{replica}-{name}"));
            write_script(&script, body);
            text += &[name, " = ['./", &replica, "-", name, "']\n"].concat();
        }
        let path = self.path(&format!("{replica}.toml"));
        fs::write(&path, text).unwrap();
        path
    }

    fn daemon(&self, site: usize, config: &Path) -> Running {
        let mut music = self.dev.music(&[site]);
        music.current_dir(self.directory.path());
        // What daemons that are killed leave behind goes with the test.
        music.env("TMPDIR", self.directory.path());
        music.arg("--json").arg("active-passive");
        Running::start(music.arg("--config").arg(config))
    }

    /// The daemon at a site, with the settings that are quick.
    fn start(&self, site: usize, scripts: &[(&str, &str)]) -> Running {
        self.daemon(site, &self.config(site, QUICK, scripts))
    }

    /// What the scripts wrote, line by line; not what daemons did that began.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines = log.lines().filter(|line| !line.ends_with(" start"));
        lines.map(str::to_owned).collect()
    }

    fn sicken(&self, replica: &str) {
        fs::write(self.path(&format!("{replica}.sick")), "").unwrap();
    }

    /// The process id that a script wrote, other than that one.
    fn pid(&self, old: &str) -> String {
        let read = || fs::read_to_string(self.path("pid")).unwrap_or_default();
        until(|| read().ends_with('\n') && read() != old);
        read()
    }

    /// Waits until the state of the only slot is this.
    fn wait_for_state(&self, state: &str) {
        until(|| {
            let mut get = self.dev.music(&[0]);
            let get = get.args(["get", "-t", "recipes", "active/s/0"]).output();
            get.unwrap().stdout == state.as_bytes()
        });
    }

    /// Waits until the replicas have these roles, each by its first letter.
    fn wait_for_roles(&self, roles: &str) {
        let config = self.path("r0.toml");
        until(|| {
            let mut status = self.dev.music(&[0]);
            status.args(["--json", "active-passive", "--status", "--config"]);
            let status = succeeded(&status.arg(&config).output().unwrap());
            let status: Vec<Value> = serde_json::from_str(&status).unwrap();
            let first = |replica: &Value| replica["role"].as_str().unwrap()[..1].to_owned();
            status.iter().map(first).collect::<String>() == roles
        });
    }
}

fn write_script(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Waits until a process is no more, or waits for somebody to ask how it ended.
fn wait_for_death(pid: &str) {
    until(|| {
        let mut state = Command::new("ps");
        let state = state.args(["-o", "stat=", "-p", pid.trim()]).output();
        let state = state.unwrap().stdout;
        state.is_empty() || state.starts_with(b"Z")
    });
}

/// Waits until it is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "it has to be so at last");
        std::thread::yield_now();
    }
}

/// The next transition of that name.
fn event(daemon: &Running, name: &str) -> Value {
    let line = daemon.line_with(&format!("\"event\":\"{name}\""));
    serde_json::from_str(&line).unwrap()
}

/// The next transition, whichever it is.
fn next(daemon: &Running) -> String {
    let event: Value = serde_json::from_str(&daemon.line()).unwrap();
    event["event"].as_str().unwrap().to_owned()
}

/// Waits until a daemon is active; the token.
fn active(daemon: &Running) -> u64 {
    event(daemon, "active")["token"].as_u64().unwrap()
}

/// Waits until a daemon makes its service passive, for that reason.
fn deactivating(daemon: &Running, why: &str) -> Value {
    loop {
        let event = event(daemon, "deactivating");
        if event["why"] != "start" {
            assert_eq!(event["why"], why, "{event}");
            return event;
        }
    }
}

#[test]
fn one_is_active_and_the_next_one_goes_on_from_its_state() {
    let world = World::new();
    let first = world.start(0, &[STATE]);
    for told in ["deactivating", "joined", "waiting", "activating", "active"] {
        assert_eq!(next(&first), told);
    }
    let second = world.start(1, &[STATE]);
    event(&second, "waiting");
    let third = world.start(2, &[STATE]);
    event(&third, "waiting");
    world.wait_for_roles("aww");
    assert_eq!(world.log(), ["r0 activate 65536 ()"]);

    world.wait_for_state("as r0 left it");
    first.signal("KILL");
    let token = active(&second);
    assert!(token > FIRST_TOKEN);
    let activated = format!("r1 activate {token} (as r0 left it)");
    assert_eq!(world.log()[1..], [activated.as_str()]);

    world.wait_for_state("as r1 left it");
    second.signal("HUP");
    second.signal("TERM");
    assert_eq!(deactivating(&second, "stop")["token"], token);
    assert_eq!(next(&second), "left");
    assert_eq!(second.end().0, Some(0));
    let last = active(&third);
    assert!(last > token);
    let deactivated = format!("r1 deactivate {token} stop");
    let activated = format!("r2 activate {last} (as r1 left it)");
    assert_eq!(world.log()[2..], [deactivated, activated]);
    third.signal("INT");
    let (code, told) = third.end();
    assert_eq!(code, Some(0));
    assert!(
        told.contains(&format!("r2: active, slot 0, token {last}")),
        "{told}"
    );
}

#[test]
fn where_activate_hangs_another_one_is_next() {
    let world = World::new();
    let settings = QUICK.replace("activate_ms = 5000", "activate_ms = 300");
    let settings = settings.replace("out_ms = 300", "out_ms = 3600000");
    let hangs = (
        "activate",
        "trap '' TERM; echo $$ > pid; while :; do sleep 1; done",
    );
    let config = world.config(0, &settings, &[hangs]);
    let hanging = world.daemon(0, &config);
    event(&hanging, "activating");
    let second = world.start(1, &[]);
    assert_eq!(
        deactivating(&hanging, "activation_failed")["token"],
        FIRST_TOKEN
    );
    assert_eq!(next(&hanging), "passive");
    assert_eq!(next(&hanging), "out");
    assert!(active(&second) > FIRST_TOKEN);
    assert_eq!(world.log()[0], "r0 deactivate 65536 activation_failed");
    wait_for_death(&world.pid(""));
    assert!(hanging.is_silent(), "it is out");
    hanging.signal("TERM");
    assert_eq!(hanging.end().0, Some(0));
}

#[test]
fn a_service_that_fails_is_mended_so_often_and_then_handed_over() {
    let world = World::new();
    let first = world.start(0, &[RESTART]);
    active(&first);
    let second = world.start(1, &[]);
    event(&second, "waiting");
    world.sicken("r0");
    for attempt in [1, 2] {
        assert_eq!(event(&first, "restarting")["attempt"], attempt);
    }
    deactivating(&first, "unhealthy");
    assert_eq!(next(&first), "passive");
    assert_eq!(next(&first), "out");
    let token = active(&second);
    let expected = [
        "r0 activate 65536 ()".to_owned(),
        "r0 restart".to_owned(),
        "r0 restart".to_owned(),
        "r0 deactivate 65536 unhealthy".to_owned(),
        format!("r1 activate {token} ()"),
    ];
    assert_eq!(world.log(), expected);
    // It asks again when it is well, and not before.
    world.wait_for_roles("pa");
    assert!(first.is_silent(), "its service is not healthy");
    fs::remove_file(world.path("r0.sick")).unwrap();
    assert_eq!(next(&first), "waiting");
    world.sicken("r1");
    deactivating(&second, "unhealthy");
    assert!(active(&first) > token);
}

#[test]
fn one_that_was_paused_beyond_its_lease_deactivates_with_its_old_token() {
    let world = World::new();
    let paused = world.start(0, &[]);
    assert_eq!(active(&paused), FIRST_TOKEN);
    let second = world.start(1, &[]);
    event(&second, "waiting");
    paused.signal("STOP");
    let token = active(&second);
    assert!(token > FIRST_TOKEN);
    let checks = ("check", "echo $MUSIC_REPLICA checks as $MUSIC_ROLE >> log");
    write_script(&world.path("r0-check"), checks.1);
    paused.signal("CONT");
    assert_eq!(deactivating(&paused, "lost")["token"], FIRST_TOKEN);
    assert_eq!(next(&paused), "passive");
    assert_eq!(next(&paused), "waiting");
    let log = world.log();
    assert_eq!(log[2], "r0 deactivate 65536 lost", "{log:?}");
    assert!(!log.contains(&"r0 checks as active".to_owned()), "{log:?}");
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    assert!(active(&paused) > token);
}

#[test]
fn what_runs_ends_with_the_right_and_with_the_daemon() {
    let world = World::new();
    let hangs = ("activate", "echo $$ > pid; exec sleep 1000");
    let settings = QUICK.replace("activate_ms = 5000", "activate_ms = 1000000");
    let first = world.daemon(0, &world.config(0, &settings, &[hangs]));
    event(&first, "activating");
    let pid = world.pid("");
    world.dev.force("recipes", "active/s/0");
    deactivating(&first, "lost");
    assert_eq!(next(&first), "passive");
    wait_for_death(&pid);
    assert_eq!(world.log(), ["r0 deactivate 65536 lost"]);
    let pid = world.pid(&pid);
    first.signal("KILL");
    wait_for_death(&pid);
}

#[test]
fn where_deactivate_hangs_the_right_is_given_up_all_the_same() {
    let world = World::new();
    let hangs = (
        "deactivate",
        "test $MUSIC_REASON = start || { echo $$ > pid; exec sleep 1000; }",
    );
    let settings = format!("{QUICK}deactivate_ms = 300\n");
    let first = world.daemon(0, &world.config(0, &settings, &[hangs]));
    active(&first);
    let second = world.start(1, &[]);
    event(&second, "waiting");
    first.signal("TERM");
    assert!(active(&second) > FIRST_TOKEN);
    wait_for_death(&world.pid(""));
    let (code, told) = first.end();
    assert_eq!(code, Some(0));
    assert!(
        told.contains("deactivate did not end within 300ms"),
        "{told}"
    );
}

#[test]
fn one_whose_nodes_are_gone_deactivates_and_comes_back() {
    let world = World::new();
    let first = world.start(0, &[]);
    active(&first);
    let second = world.start(1, &[]);
    event(&second, "waiting");
    world.dev.run(&["dev", "suspend", world.dev.node(0)]);
    assert_eq!(deactivating(&first, "lost")["token"], FIRST_TOKEN);
    let token = active(&second);
    world.dev.run(&["dev", "resume", world.dev.node(0)]);
    event(&first, "waiting");
    second.signal("TERM");
    assert_eq!(second.end().0, Some(0));
    assert!(active(&first) > token);
}

#[test]
fn a_better_site_takes_over_where_the_other_steps_down_for_it() {
    let world = World::new();
    let failback = format!("failback = true\n{QUICK}");
    let worse = world.daemon(2, &world.config(2, &failback, &[STATE]));
    active(&worse);
    world.wait_for_state("as r2 left it");
    let better = world.start(0, &[]);
    let why = deactivating(&worse, "failback");
    assert_eq!(why["detail"], "r0, of a better site, waits");
    let token = active(&better);
    let activated = format!("r0 activate {token} (as r2 left it)");
    assert_eq!(
        world.log()[1..],
        ["r2 deactivate 65536 failback", &activated]
    );
    // It waits again, and the better one does not step down for it.
    event(&worse, "waiting");
    world.wait_for_roles("aw");
}

#[test]
fn the_replica_that_has_least_to_do_is_next() {
    let world = World::new();
    let load = ("load", "cat $MUSIC_REPLICA.load");
    let same_site = |replica: usize, load: (&str, &str)| {
        let config = world.config(replica, QUICK, &[load]);
        let text = fs::read_to_string(&config).unwrap();
        let site = |site: usize| format!("\nsite = '{}'", world.dev.site(site));
        fs::write(&config, text.replace(&site(replica), &site(0))).unwrap();
        world.daemon(0, &config)
    };
    for (replica, text) in [("r0", "1"), ("r1", "9"), ("r2", "5")] {
        fs::write(world.path(&format!("{replica}.load")), text).unwrap();
    }
    let first = same_site(0, load);
    active(&first);
    let busy = same_site(1, load);
    event(&busy, "waiting");
    let idle = same_site(2, load);
    event(&idle, "waiting");
    let config = world.path("r0.toml");
    until(|| {
        let mut status = world.dev.music(&[0]);
        status.args(["active-passive", "--status", "--config"]);
        let status = succeeded(&status.arg(&config).output().unwrap());
        let rows: Vec<_> = status.lines().map(|line| line.split_whitespace()).collect();
        let rows: Vec<Vec<_>> = rows.into_iter().map(Iterator::collect).collect();
        let site = world.dev.site(0);
        rows == [
            vec!["REPLICA", "SITE", "LOAD", "ROLE"],
            vec!["r0", site, "1", "active"],
            vec!["r1", site, "9", "waiting"],
            vec!["r2", site, "5", "waiting"],
        ]
    });
    drop(busy);
    first.signal("TERM");
    active(&idle);
}

#[test]
fn the_example_runs() {
    let dev = Dev::start();
    let directory = tempfile::tempdir().unwrap();
    let example = include_str!("../../../../../deploy/active-passive.toml");
    let config = directory.path().join("active-passive.toml");
    fs::write(&config, example).unwrap();
    for (name, body) in [
        (
            "activate",
            "test -s $MUSIC_STATE_FILE || echo nothing is known",
        ),
        ("deactivate", "exit 0"),
        ("check", "test $1 = --quick"),
        ("restart", "exit 0"),
        ("state", "echo state"),
        ("load", "echo 3"),
    ] {
        write_script(&directory.path().join("billing").join(name), body);
    }
    let mut music = dev.music(&[0]);
    music
        .args(["--json", "active-passive", "--config"])
        .arg(&config);
    let mut daemon = Running::start(&mut music);
    assert_eq!(active(&daemon), FIRST_TOKEN);
    daemon.error_with("nothing is known");
    daemon.signal("TERM");
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn faults_are_told_before_anything_is_done() {
    let world = World::new();
    let config = world.config(0, "out_ms = 0\nlease = 3\n", &[]);
    fs::remove_file(world.path("r0-activate")).unwrap();
    fs::set_permissions(world.path("r0-check"), PermissionsExt::from_mode(0o644)).unwrap();
    for more in [&[][..], &["--check"]] {
        let mut music = world.dev.music(&[0]);
        music
            .args(["active-passive", "--config"])
            .arg(&config)
            .args(more);
        let output = music.output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let told = String::from_utf8(output.stderr).unwrap();
        for text in [
            "r0.toml has 4 fault(s):",
            "line 5: out_ms: is a whole number of 1 to",
            "line 6: lease: is no setting; there are service, replica",
            "r0-activate is not there",
            "r0-check is not executable",
        ] {
            assert!(told.contains(text), "{text}: {told}");
        }
    }
    let listed = world.dev.run(&["group", "active-passive/s"]);
    assert_eq!(listed, "MEMBER  VALUE\n", "nobody has joined");

    let config = world.config(0, QUICK, &[]);
    let check = |command: &mut Command| {
        let command = command.args(["active-passive", "--check", "--json", "--config"]);
        let told = succeeded(&command.arg(&config).output().unwrap());
        serde_json::from_str::<Value>(&told).unwrap()["endpoints"][0].clone()
    };
    assert_eq!(check(&mut music()), "http://127.0.0.1:7701");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("endpoints = ['http://a:1']\n{text}")).unwrap();
    assert_eq!(check(&mut music()), "http://a:1");
    assert_eq!(
        check(music().args(["--endpoint", "http://b:2"])),
        "http://b:2"
    );
    assert_eq!(check(&mut world.dev.music(&[1])), world.dev.url(1));
}
