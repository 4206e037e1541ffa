//! `music group`.

use serde_json::{Value, json};

use super::{UNTIL_TOLD, refused, start};
use crate::support::{Dev, Running};

fn event(watch: &Running) -> Value {
    serde_json::from_str(&watch.line()).unwrap()
}

#[test]
fn members_come_and_go() {
    let dev = Dev::start();
    let watch = start(&dev, 1, &["--json", "group", "g", "--watch"]);
    let first = ["group", "g", "--join", "a", "--value", "-one"];
    let first = start(&dev, 0, &first);
    assert_eq!(first.line(), "a is a member of g");
    let joined = json!({"event": "joined", "name": "a", "value": {"text": "-one"}});
    assert_eq!(event(&watch), joined);

    let show = "echo $MUSIC_MEMBER; cat > /dev/null; exit 5";
    let second = ["group", "g", "--join", "b", "--", "sh", "-c", show];
    let mut second = start(&dev, 0, &second);
    assert_eq!(second.line(), "b");
    let joined = json!({"event": "joined", "name": "b", "value": {"text": ""}});
    assert_eq!(event(&watch), joined);
    assert_eq!(dev.run(&["group", "g"]), "MEMBER  VALUE\na       -one\nb\n");
    let listed: Value = serde_json::from_str(&dev.run(&["--json", "group", "g"])).unwrap();
    assert_eq!(listed[0], json!({"name": "a", "value": {"text": "-one"}}));

    drop(second.stdin());
    assert_eq!(second.end().0, Some(5), "the code of the command");
    assert_eq!(event(&watch)["event"], "left");
    first.signal("INT");
    assert_eq!(first.end().0, Some(130));
    let left = json!({"event": "left", "name": "a", "value": {"text": "-one"}});
    assert_eq!(event(&watch), left);
    assert_eq!(dev.run(&["group", "g"]), "MEMBER  VALUE\n");
    watch.signal("INT");
    assert_eq!(watch.end().0, Some(130));
}

#[test]
fn a_member_that_was_killed_is_missed() {
    let dev = Dev::start();
    let watch = start(&dev, 1, &["group", "g", "--watch"]);
    let member = ["group", "g", "--join", "a", "--lease", "300ms", "--"];
    let member = start(&dev, 0, &[&member[..], &UNTIL_TOLD].concat());
    assert_eq!(watch.line(), "joined\ta");
    member.line_with("holding");
    member.signal("KILL");
    member.wait_until_all_ended();
    assert_eq!(watch.line(), "left\ta");
}

#[test]
fn a_signal_is_passed_on_to_the_command_of_a_member() {
    let dev = Dev::start();
    let command = "trap 'exit 9' TERM; echo holding; while :; do sleep 0.1; done";
    let member = ["group", "g", "--join", "a", "--", "sh", "-c", command];
    let member = start(&dev, 0, &member);
    member.line_with("holding");
    member.signal("TERM");
    assert_eq!(member.end().0, Some(9));
    assert_eq!(dev.run(&["group", "g"]), "MEMBER  VALUE\n");
}

#[test]
fn what_a_group_does_not_do_is_said() {
    let dev = Dev::start();
    let long = "n".repeat(101);
    refused(
        &dev,
        &[
            (&["group", "g", "--", "true"], 2, "--join"),
            (&["group", "g", "--value", "v"], 2, "--join"),
            (&["group", "g", "--join", ""], 2, "--join"),
            (&["group", "g", "--join", "a", "true"], 2, "`--` before it"),
            (
                &["group", "g", "--join", "a", "--watch"],
                2,
                "cannot be used",
            ),
            (
                &["group", "g", "--join", "a", "--lease", "0s"],
                2,
                "a lease is",
            ),
            (&["group", "g", "--join", &long], 1, "100"),
            (&["group", ""], 1, "has 1 to 900 bytes"),
            (
                &["group", "g", "--join", "a", "--", "no-such-command"],
                127,
                "no-such-command",
            ),
        ],
    );
}
