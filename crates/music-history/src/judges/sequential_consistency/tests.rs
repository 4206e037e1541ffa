use crate::story::Story;

fn holder() -> Story {
    Story::default().section(1, 5).put(1, 10, &["x"])
}

#[test]
fn own_puts_are_seen() {
    let story = holder().reads(1, &[("x", 10)]).put(1, 11, &["x", "y"]);
    let story = story.reads(1, &[("x", 11), ("y", 11)]).deletes(1, 12);
    story.reads(1, &[]).passes("sequential_consistency", 3);
}

#[test]
fn an_own_put_that_is_missed_is_found() {
    let story = holder().put(1, 11, &["x"]).reads(1, &[("x", 10)]);
    story.fails("sequential_consistency");
}

#[test]
fn one_that_is_still_under_way_need_not_be_seen() {
    let story = holder().begins_put(1, 11, &["x"]).reads(1, &[("x", 10)]);
    let story = story.acknowledged(11);
    story.passes("sequential_consistency", 1);
}

#[test]
fn an_own_deletion_that_is_missed_is_found() {
    let story = holder().deletes(1, 11).reads(1, &[("x", 10)]);
    story.fails("sequential_consistency");
}

#[test]
fn a_get_that_goes_back_is_found() {
    let story = holder().begins_put(1, 11, &["x"]);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[("x", 10)]);
    story.acknowledged(11).fails("sequential_consistency");
}

#[test]
fn a_get_that_goes_back_behind_the_grant_is_found() {
    let story = holder().releases(1).section(2, 6);
    let story = story.begins_put(2, 20, &["x"]).unknown(20);
    let story = story.reads(2, &[("x", 20)]).reads(2, &[("x", 10)]);
    // Nobody else has asked: nobody can have undone it.
    story.fails("sequential_consistency");
}

#[test]
fn an_own_put_may_vanish_when_another_waits() {
    let story = holder().begins_put(1, 11, &["x"]).unknown(11).asks(2);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[("x", 10)]);
    story.passes("sequential_consistency", 2);
}

#[test]
fn but_not_for_one_who_asks_later() {
    let story = holder().begins_put(1, 11, &["x"]).unknown(11);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[("x", 10)]);
    story.asks(2).fails("sequential_consistency");
}

#[test]
fn but_not_if_it_is_acknowledged_in_the_end() {
    let story = holder().begins_put(1, 11, &["x"]).asks(2);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[("x", 10)]);
    story.acknowledged(11).fails("sequential_consistency");
}

#[test]
fn what_was_there_at_the_grant_may_not_vanish() {
    let story = holder().begins_put(1, 11, &["x"]).crashes(1);
    let story = story.section(2, 6).asks(3).reads(2, &[("x", 11)]);
    let story = story.reads(2, &[("x", 10)]);
    story.includes("sequential_consistency");
}

#[test]
fn but_not_in_a_section_that_is_confirmed() {
    let story = holder().begins_put(1, 11, &["x"]).unknown(11).asks(2);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[("x", 10)]);
    story.confirms(1).fails("sequential_consistency");
}

#[test]
fn a_value_that_went_away_and_comes_back_is_found() {
    let story = holder().put(1, 11, &["x"]).begins_deletion(1, 12);
    let story = story.reads(1, &[("x", 11)]).reads(1, &[]);
    let story = story.reads(1, &[("x", 11)]).acknowledged(12);
    story.fails("sequential_consistency");
}

#[test]
fn a_torn_put_is_found() {
    let story = holder().put(1, 11, &["x", "y"]).releases(1);
    let story = story.section(2, 6).begins_put(2, 20, &["x", "y"]);
    let story = story.reads(2, &[("x", 20), ("y", 11)]);
    story.fails("sequential_consistency");
}

#[test]
fn a_part_of_a_put_may_be_overwritten() {
    let story = holder().put(1, 11, &["x", "y"]).put(1, 12, &["x"]);
    let story = story.reads(1, &[("x", 12), ("y", 11)]);
    story.passes("sequential_consistency", 1);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    holder()
        .reads(1, &[("x", 99)])
        .fails("sequential_consistency");
}

#[test]
fn a_value_of_another_field_is_found() {
    let story = holder().reads(1, &[("x", 10), ("y", 10)]);
    story.fails("sequential_consistency");
}

#[test]
fn a_value_from_the_future_is_found() {
    let story = holder().releases(1).section(2, 6).reads(2, &[("x", 20)]);
    story.put(2, 20, &["x"]).includes("sequential_consistency");
}

#[test]
fn a_value_that_was_not_to_take_effect_is_found() {
    let story = holder().begins_put(1, 11, &["x"]).not_applied(11);
    story.reads(1, &[("x", 11)]).fails("sequential_consistency");
}
