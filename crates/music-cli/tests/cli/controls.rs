//! The controls of `music dev`.

use serde_json::Value;

use crate::support::{Dev, Running};

fn state(dev: &Dev) -> Value {
    serde_json::from_str(&dev.run(&["--json", "dev", "state"])).unwrap()
}

fn node_state(dev: &Dev, node: usize) -> String {
    state(dev)["nodes"][node]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn nodes_are_suspended_resumed_killed_and_started() {
    let dev = Dev::start();
    let node = dev.node(1);
    for (control, after) in [
        ("suspend", "suspended"),
        ("resume", "running"),
        ("kill", "stopped"),
        ("start", "running"),
    ] {
        dev.run(&["dev", control, node]);
        assert_eq!(node_state(&dev, 1), after);
    }
    let (code, error) = dev.fail(&["dev", "suspend", "nobody"]);
    assert_eq!(code, 1, "{error}");
}

#[test]
fn a_node_that_was_started_again_serves_at_its_address() {
    let dev = Dev::start();
    dev.run(&["table", "create", "c", "--mode", "critical"]);
    dev.run(&["dev", "kill", dev.node(0)]);
    assert_eq!(dev.fail(&["get", "-t", "c", "k"]).0, 69);
    dev.run(&["dev", "start", dev.node(0)]);
    dev.run(&["put", "-t", "c", "--critical", "k", "v"]);
    assert_eq!(dev.run(&["get", "-t", "c", "--critical", "k"]), "v");
}

#[test]
fn links_are_cut_healed_and_delayed() {
    let dev = Dev::start();
    let (a, b) = (dev.site(0), dev.site(1));
    let cuts = |dev: &Dev| {
        let state = state(dev);
        let links = state["links"].as_array().unwrap();
        let ways = links
            .iter()
            .flat_map(|link| [&link["cut_a_to_b"], &link["cut_b_to_a"]]);
        ways.filter(|cut| cut.as_bool() == Some(true)).count()
    };
    for (arguments, count) in [
        (vec!["cut", a, b], 2),
        (vec!["heal", a, b], 0),
        (vec!["cut", a, b, "--oneway"], 1),
        (vec!["heal", a], 0),
        (vec!["cut", a], 4),
        (vec!["heal", a], 0),
    ] {
        let arguments: Vec<_> = ["dev"].into_iter().chain(arguments).collect();
        dev.run(&arguments);
        assert_eq!(cuts(&dev), count, "{arguments:?}");
    }
    dev.run(&["dev", "delay", a, b, "7ms"]);
    let state = state(&dev);
    let delayed = |link: &&Value| link["rtt_ms"].as_f64() == Some(7.0);
    assert_eq!(
        state["links"]
            .as_array()
            .unwrap()
            .iter()
            .filter(delayed)
            .count(),
        1
    );
}

#[test]
fn a_site_is_stopped_and_started() {
    let dev = Dev::start();
    dev.run(&["dev", "stop-site", dev.site(2)]);
    let running = |dev: &Dev| state(dev)["sites"][2]["running"].as_bool();
    assert_eq!(running(&dev), Some(false));
    dev.run(&["dev", "start-site", dev.site(2)]);
    assert_eq!(running(&dev), Some(true));
}

#[test]
fn a_site_that_is_cut_off_goes_on_alone_where_it_can_and_says_where_not() {
    let dev = Dev::start();
    dev.run(&["table", "create", "e", "--mode", "eventual"]);
    dev.run(&["table", "create", "c", "--mode", "critical"]);
    dev.run(&["dev", "cut", dev.site(0)]);
    dev.run(&["put", "-t", "e", "k", "v"]);
    assert_eq!(dev.run(&["get", "-t", "e", "k"]), "v");
    let (code, error) = dev.fail(&["put", "-t", "c", "k", "v", "--critical"]);
    assert!([69, 76].contains(&code), "{code} {error}");
    let there = dev
        .music(&[1])
        .args(["put", "-t", "c", "k", "w", "--critical"])
        .status()
        .unwrap();
    assert!(there.success());
    dev.run(&["dev", "heal", dev.site(0)]);
    assert_eq!(dev.run(&["get", "-t", "c", "k", "--critical"]), "w");
}

#[test]
fn a_section_outlives_its_node() {
    let dev = Dev::start();
    let mut holder = dev.music(&[0, 1, 2]);
    holder.args([
        "lock",
        "--lease",
        "2s",
        "k",
        "--",
        "sh",
        "-c",
        "echo holding; cat > /dev/null",
    ]);
    let holder = Running::start(&mut holder);
    holder.line_with("holding");
    dev.run(&["dev", "kill", dev.node(0)]);
    let mut adopted = dev.music(&[1]);
    adopted.args(["--json", "watch", "-t", "locks", "--queue", "k"]);
    let adopted = Running::start(&mut adopted);
    loop {
        let queue: Value = serde_json::from_str(&adopted.line()).unwrap();
        assert_eq!(
            queue["length"].as_u64(),
            Some(1),
            "the lock was lost: {queue}"
        );
        if queue["tickets"][0]["incarnation"].as_u64() == Some(1) {
            break;
        }
    }
    assert_eq!(holder.end().0, Some(0));
}
