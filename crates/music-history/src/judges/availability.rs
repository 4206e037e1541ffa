//! Availability: a site that is cut off serves what is local, and nothing
//! else; and whatever is asked is answered in time.
//!
//! Demanded of a client at a site that was cut off from before an operation
//! began until after it ended: no lock is granted, no critical put is
//! acknowledged and no section is confirmed there; local puts and gets succeed.
//! Demanded of every client that lives: each operation but the wait for a
//! lock ends within the deadline.
//!
//! Not demanded: that a node grants nothing under tickets that it has kept
//! itself, as it may until its lease has run out; that a critical get fails
//! there, for a section may answer from what it has read before, be it at its
//! grant; nor that its release does, which may finish later; nor that local
//! operations succeed while a node or replica of the site is down.

use super::{Judge, Verdict};
use crate::index::{Fault, History, Moment, Outage, Plain};
use crate::{ClientId, OpId, PlainKind, PlainOutcome, SectionId};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "local put and get need one replica of the local site; critical \
    operations and lock operations need a majority. A majority side of a partition goes on; a \
    minority side answers `unavailable` within its deadline, and never lies.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "availability",
    guarantee: 5,
    sentence: SENTENCE,
    judge,
};

/// How availability was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A minority granted a lock.
    #[error("section {section} is granted at site {site}, which is cut off")]
    GrantedByMinority {
        /// Which section.
        section: SectionId,
        /// Where.
        site: u32,
    },
    /// A minority acknowledged a put.
    #[error("put {put} is acknowledged at site {site}, which is cut off")]
    AcknowledgedByMinority {
        /// Which put.
        put: OpId,
        /// Where.
        site: u32,
    },
    /// A minority confirmed a section.
    #[error("section {section} is confirmed at site {site}, which is cut off")]
    ConfirmedByMinority {
        /// Which section.
        section: SectionId,
        /// Where.
        site: u32,
    },
    /// Something local failed.
    #[error("{kind:?} {op} is local, and fails at site {site}, which is cut off")]
    LocalFailed {
        /// Which operation.
        op: OpId,
        /// Which kind.
        kind: PlainKind,
        /// Where.
        site: u32,
    },
    /// An operation did not end in time.
    #[error("client {client} is not answered within the deadline")]
    Late {
        /// Who asked.
        client: ClientId,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    locks(history, &mut verdict);
    puts(history, &mut verdict);
    for plain in &history.plains {
        local(history, plain, &mut verdict);
    }
    deadlines(history, &mut verdict);
    verdict
}

fn is_cut_off(history: &History, site: u32, begun: Moment, ended: Moment) -> bool {
    let mut outages = history.outages.iter().filter(|outage| outage.site == site);
    outages.any(|outage| outage.fault == Fault::CutOff && outage.covers(begun, ended))
}

/// The site of a client, if it was cut off all the while.
fn minority(history: &History, client: ClientId, begun: Moment, ended: Moment) -> Option<u32> {
    let site = history.clients.get(&client)?.site;
    is_cut_off(history, site, begun, ended).then_some(site)
}

fn locks(history: &History, verdict: &mut Verdict) {
    for section in history.sections.values() {
        let (client, id) = (section.client, section.id);
        if let Some(granted) = section.granted_at().filter(|_| !section.is_handed_over()) {
            verdict.checked += 1;
            if let Some(site) = minority(history, client, section.asked, granted) {
                let breach = Breach::GrantedByMinority { section: id, site };
                verdict.found(breach, [section.asked, granted]);
            }
        }
        let ended = section.ended.map(|(at, _)| at);
        if let Some((ending, ended)) = section.confirmed().zip(ended) {
            verdict.checked += 1;
            if let Some(site) = minority(history, client, ending, ended) {
                let breach = Breach::ConfirmedByMinority { section: id, site };
                verdict.found(breach, [ending, ended]);
            }
        }
    }
}

fn puts(history: &History, verdict: &mut Verdict) {
    for put in history.keys.values().flat_map(|key| key.puts.values()) {
        let client = history.sections.get(&put.section).map(|of| of.client);
        let Some((client, (at, _))) = client.zip(put.acknowledged()) else {
            continue;
        };
        verdict.checked += 1;
        if let Some(site) = minority(history, client, put.begun, at) {
            let breach = Breach::AcknowledgedByMinority { put: put.op, site };
            verdict.found(breach, [put.begun, at]);
        }
    }
}

fn local(history: &History, plain: &Plain, verdict: &mut Verdict) {
    let is_local = match plain.kind {
        PlainKind::EventualPut | PlainKind::EventualGet | PlainKind::CriticalTableGet => true,
        PlainKind::PutOnCritical | PlainKind::LockOnEventual => false,
    };
    let Some((ended, outcome)) = plain.ended.filter(|_| is_local) else {
        return;
    };
    let Some(site) = minority(history, plain.client, plain.begun, ended) else {
        return;
    };
    let is_down = |outage: &Outage| {
        let here = outage.fault == Fault::Down && outage.site == site;
        here && outage.touches(plain.begun, ended)
    };
    if history.outages.iter().any(is_down) {
        verdict.skipped += 1;
        return;
    }
    verdict.checked += 1;
    if outcome == PlainOutcome::Failed {
        let breach = Breach::LocalFailed {
            op: plain.op,
            kind: plain.kind,
            site,
        };
        verdict.found(breach, [plain.begun, ended]);
    }
}

fn deadlines(history: &History, verdict: &mut Verdict) {
    let Some(last) = history.last else { return };
    for span in &history.spans {
        let crashed = history.clients.get(&span.client).map(|of| of.crashed);
        // One that its client did not live to see answered.
        let until = span.ended.or(crashed.flatten()).unwrap_or(last);
        verdict.checked += 1;
        if until.since(span.begun) > history.limits.deadline {
            let breach = Breach::Late {
                client: span.client,
            };
            verdict.found(breach, [span.begun, until]);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;
    use crate::{EndOutcome, PlainKind, PlainOutcome};

    #[test]
    fn a_minority_that_answers_unavailable_is_fine() {
        let story = Story::default().section(1, 5).cut_off(0);
        let story = story.begins_put(1, 10, &["x"]).unknown(10);
        story.ends(1, EndOutcome::Unknown).passes("availability", 3);
    }

    #[test]
    fn a_grant_by_a_minority_is_found() {
        let story = Story::default().cut_off(0).section(1, 5);
        story.healed(0).fails("availability");
    }

    #[test]
    fn a_grant_after_the_site_healed_is_fine() {
        let story = Story::default().cut_off(0).asks(1).healed(0);
        story.granted(1, 5).passes("availability", 1);
    }

    #[test]
    fn an_acknowledgement_by_a_minority_is_found() {
        let story = Story::default().section(1, 5).cut_off(0);
        story.put(1, 10, &["x"]).fails("availability");
    }

    #[test]
    fn one_that_may_have_come_before_is_fine() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        story.cut_off(0).acknowledged(10).passes("availability", 3);
    }

    #[test]
    fn a_confirmation_by_a_minority_is_found() {
        let story = Story::default().section(1, 5).cut_off(0);
        story.confirms(1).fails("availability");
    }

    #[test]
    fn a_local_put_that_fails_at_a_site_cut_off_is_found() {
        let story = Story::default().cut_off(0);
        story
            .plain(1, PlainKind::EventualPut, PlainOutcome::Failed)
            .fails("availability");
    }

    #[test]
    fn one_that_fails_while_a_replica_is_down_is_not_judged() {
        let story = Story::default().down(0).cut_off(0);
        let story = story.plain(1, PlainKind::EventualPut, PlainOutcome::Failed);
        story.passes("availability", 1);
    }

    #[test]
    fn an_operation_that_is_never_answered_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        story.waits(31_000_000).end().fails("availability");
    }

    #[test]
    fn an_answer_after_the_deadline_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        story.waits(31_000_000).unknown(10).fails("availability");
    }

    #[test]
    fn a_client_that_crashed_is_owed_no_answer() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.crashes(1).waits(31_000_000).end();
        story.passes("availability", 2);
    }

    #[test]
    fn the_wait_for_a_lock_has_no_deadline() {
        let story = Story::default().asks(1).waits(31_000_000);
        story.granted(1, 5).passes("availability", 1);
    }
}
