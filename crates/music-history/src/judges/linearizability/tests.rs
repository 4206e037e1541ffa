use super::WRITES_MAX;
use crate::story::{Story, stamp};

#[test]
fn gets_and_puts_one_after_the_other_are_fine() {
    let story = Story::default().section(1, 5).put(1, 10, &["x"]);
    let story = story.reads(1, &[("x", 10)]).put(1, 11, &["x"]);
    let story = story.releases(1).section(2, 6);
    story.reads(2, &[("x", 11)]).passes("linearizability", 4);
}

#[test]
fn a_lost_put_is_found() {
    let story = Story::default().section(1, 5).put(1, 10, &["x"]);
    let story = story.put(1, 11, &["x"]).releases(1).section(2, 6);
    story.reads(2, &[("x", 10)]).includes("linearizability");
}

#[test]
fn a_value_that_comes_back_is_found() {
    let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
    let story = story.section(2, 6).reads(2, &[("x", 10)]);
    let story = story.put(2, 20, &["x"]).releases(2).section(3, 7);
    story.reads(3, &[("x", 10)]).includes("linearizability");
}

#[test]
fn an_unacknowledged_put_that_is_never_seen_is_fine() {
    let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
    let story = story.unknown(10).section(2, 6);
    story.reads(2, &[]).passes("linearizability", 1);
}

#[test]
fn puts_under_way_together_take_any_order() {
    let story = Story::default().section(1, 5);
    let story = story.begins_put(1, 10, &["x"]).begins_put(1, 11, &["x"]);
    let story = story.acknowledged_as(10, stamp(5, 2));
    let story = story.acknowledged_as(11, stamp(5, 1));
    story.reads(1, &[("x", 10)]).passes("linearizability", 1);
}

#[test]
fn too_many_under_way_together_are_skipped() {
    let mut story = Story::default().section(1, 5);
    let puts = 100..=100 + u64::try_from(WRITES_MAX).unwrap();
    for op in puts.clone() {
        story = story.begins_put(1, op, &["x"]);
    }
    for op in puts {
        story = story.acknowledged(op);
    }
    let verdict = story.report().verdict("linearizability").unwrap().clone();
    assert_eq!((verdict.checked, verdict.skipped), (0, 1));
}

#[test]
fn what_is_skipped_is_judged_again_from_the_next_known_value() {
    let mut story = Story::default().section(1, 5);
    let puts = 100..=100 + u64::try_from(WRITES_MAX).unwrap();
    for op in puts.clone() {
        story = story.begins_put(1, op, &["x"]);
    }
    for op in puts.clone() {
        story = story.acknowledged(op);
    }
    let story = story.reads(1, &[("x", *puts.end())]);
    let story = story.put(1, 200, &["x"]).releases(1).section(2, 6);
    story.reads(2, &[("x", 100)]).includes("linearizability");
}

#[test]
fn what_a_preempted_holder_sees_of_its_own_may_vanish() {
    let story = Story::default().section(1, 5).put(1, 10, &["x"]);
    let story = story.begins_put(1, 11, &["x"]).asks(2);
    let story = story.reads(1, &[("x", 11)]).granted(2, 6);
    story.reads(2, &[("x", 10)]).passes("linearizability", 2);
}

#[test]
fn what_a_confirmed_section_saw_may_not() {
    let story = Story::default().section(1, 5).put(1, 10, &["x"]);
    let story = story.begins_put(1, 11, &["x"]).unknown(11);
    let story = story.reads(1, &[("x", 11)]).confirms(1).section(2, 6);
    story.reads(2, &[("x", 10)]).includes("linearizability");
}
