use super::*;
use crate::story::{Story, fencing};
use crate::{SectionId, What};

fn read(story: Story) -> Result<History, Malformed> {
    History::read(&story.events(), Limits::default())
}

#[track_caller]
fn refuses(story: Story, defect: &Defect) {
    let events = story.events();
    let error = History::read(&events, Limits::default()).unwrap_err();
    assert_eq!(&error.defect, defect);
    assert_eq!(error.at.index, events.len() - 1, "of the last event");
}

#[test]
fn every_event_has_its_place() {
    let events = Story::of_every_event();
    let history = History::read(&events, Limits::default()).unwrap();
    assert_eq!(history.sections.len(), 2);
    assert_eq!(history.keys["k"].puts.len(), 4);
    assert_eq!(history.keys["k"].gets.len(), 1);
    assert_eq!(history.plains.len(), 1);
    assert_eq!(history.outages.len(), 2);
    assert!(history.calm < history.end);
    let section = &history.sections[&SectionId(1)];
    assert_eq!(section.token("k"), Some(fencing(5)));
    assert!(section.forced < section.lost && section.lost < section.confirmed());
}

#[test]
fn gets_are_in_the_order_in_which_they_began() {
    let story = Story::default().section(1, 5).reads(1, &[]).reads(1, &[]);
    let mut events = story.events();
    // The second get begins within the first, and ends after it.
    events.swap(4, 5);
    for (at, event) in events.iter_mut().enumerate() {
        event.at_us = u64::try_from(at).unwrap();
    }
    let history = History::read(&events, Limits::default()).unwrap();
    let gets = &history.keys["k"].gets;
    assert!(gets[0].begun < gets[1].begun);
    assert!(gets[1].begun < gets[0].ended);
}

#[test]
fn time_that_goes_back_is_refused() {
    let mut events = Story::default().section(1, 5).events();
    events[2].at_us = 0;
    let error = History::read(&events, Limits::default()).unwrap_err();
    assert_eq!(error.defect, Defect::TimeGoesBack);
    assert!(error.to_string().starts_with("event 3: "));
}

#[test]
fn answers_without_a_question_are_refused() {
    let holder = || Story::default().section(1, 5);
    refuses(holder().unknown(10), &Defect::UnknownOp(OpId(10)));
    refuses(
        Story::default().lost(1),
        &Defect::UnknownSection(SectionId(1)),
    );
    refuses(
        Story::default().forced(1),
        &Defect::UnknownSection(SectionId(1)),
    );
    refuses(
        holder().ended(1, EndOutcome::Released),
        &Defect::NotEnding(SectionId(1)),
    );
    refuses(Story::default().healed(1), &Defect::NoOutage(1));
    refuses(
        Story::default().crashes(1),
        &Defect::UnknownClient(ClientId(1)),
    );
}

#[test]
fn an_answer_of_another_kind_is_refused() {
    let mut events = Story::default()
        .section(1, 5)
        .begins_put(1, 10, &["x"])
        .events();
    events.push(Event {
        at_us: 100,
        what: What::Got {
            op: OpId(10),
            fields: None,
        },
    });
    let error = History::read(&events, Limits::default()).unwrap_err();
    assert_eq!(error.defect, Defect::UnknownOp(OpId(10)));
}

#[test]
fn what_happens_once_is_refused_again() {
    let holder = || Story::default().section(1, 5).put(1, 10, &["x"]);
    refuses(holder().unknown(10), &Defect::Repeated);
    refuses(holder().begins_put(1, 10, &["x"]), &Defect::Repeated);
    refuses(holder().asks(1), &Defect::Repeated);
    refuses(holder().granted(1, 6), &Defect::Repeated);
    refuses(holder().refused(1), &Defect::Repeated);
    refuses(Story::default().cut_off(1).cut_off(1), &Defect::Repeated);
    refuses(Story::default().end().calm(), &Defect::AfterEnd);
}

#[test]
fn a_section_is_used_between_its_grant_and_its_end() {
    let early = Story::default().asks(1).begins_put(1, 10, &["x"]);
    refuses(early, &Defect::NotHeld(SectionId(1)));
    let late = Story::default().section(1, 5).releases(1);
    refuses(
        late.begins_put(1, 10, &["x"]),
        &Defect::NotHeld(SectionId(1)),
    );
}

#[test]
fn a_put_may_be_answered_after_the_end() {
    let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
    assert!(read(story.releases(1).acknowledged(10)).is_ok());
}

#[test]
fn a_client_that_crashed_does_and_learns_nothing() {
    let story = || {
        Story::default()
            .section(1, 5)
            .begins_put(1, 10, &["x"])
            .crashes(1)
    };
    refuses(story().unknown(10), &Defect::Dead(ClientId(1)));
    refuses(story().lost(1), &Defect::Dead(ClientId(1)));
    assert!(read(story().forced(1)).is_ok(), "others force it");
}

#[test]
fn keys_are_those_of_the_section() {
    let story = Story::default().asks_for(1, &["k", "l"]);
    refuses(
        story.granted(1, 5),
        &Defect::TokensOfOtherKeys(SectionId(1)),
    );
    let story = Story::default().asks_for(1, &[]);
    refuses(story, &Defect::NoKeys(SectionId(1)));
    let story = Story::default()
        .asks_for(1, &["l"])
        .granted_on(1, &[("l", 5)]);
    let other = Defect::KeyNotInSet {
        section: SectionId(1),
        key: "k".to_owned(),
    };
    refuses(story.begins_put(1, 10, &["x"]), &other);
}
