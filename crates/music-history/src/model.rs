//! A deployment that is correct by construction, on one thread: a queue, and
//! the list of writes that landed. What its clients see must pass all judges;
//! the same with one thing changed must not.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::story::{Story, stamp};
use super::{EndOutcome, Event};

const SECTIONS_MAX: u32 = 6;
const FIELDS: [&str; 2] = ["x", "y"];

/// What happens next, and which way: each pair chooses one of what can happen.
pub(super) type Choice = (u8, u8);

/// The history of a correct deployment to which that happens.
pub(super) fn history(choices: &[Choice]) -> Vec<Event> {
    let mut model = Model::default();
    for choice in choices {
        model.step(*choice);
    }
    model.comes_to_rest();
    model.story.events()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    Granted,
    Over,
}

#[derive(Clone, Debug)]
struct Section {
    token: u64,
    stage: Stage,
    /// Whether it is in the queue still.
    queued: bool,
    crashed: bool,
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    OnItsWay,
    /// A replica has it.
    Landed,
    /// It stays, whoever synchronises.
    Lasting,
    /// A majority had it before its section left the queue.
    InTime,
}

#[derive(Clone, Debug)]
struct Write {
    op: u64,
    section: u32,
    stamp: u64,
    /// The fields that it sets or deletes; the whole record where it is empty.
    fields: Vec<(&'static str, bool)>,
    reach: Reach,
    /// Whether its client waits for it.
    awaited: bool,
}

impl Write {
    fn touch(&self, field: &str) -> Option<bool> {
        let mut named = self.fields.iter().filter(|(name, _)| *name == field);
        let named = named.next().map(|(_, sets)| *sets);
        named.or(self.fields.is_empty().then_some(false))
    }
}

#[derive(Default)]
struct Model {
    story: Story,
    sections: BTreeMap<u32, Section>,
    queue: VecDeque<u32>,
    writes: Vec<Write>,
    ticks: u32,
    op: u64,
}

impl Model {
    /// The story goes on.
    fn tell(&mut self, next: impl FnOnce(Story) -> Story) {
        self.story = next(std::mem::take(&mut self.story));
    }

    fn step(&mut self, (what, which): Choice) {
        match what % 16 {
            0 => self.ask(),
            1 | 2 => self.grant(which),
            3..=5 => self.put(which),
            6 => self.land(which, Reach::Landed),
            7 => self.land(which, Reach::InTime),
            8..=10 => self.answer(which),
            11..=13 => self.get(which),
            14 if which < 128 => self.preempt(which),
            14 => self.end(which),
            _ if which < 32 => self.crash(which),
            _ => self.answer(which),
        }
    }

    /// One of the sections that are granted, by their clients' knowledge.
    fn granted(&self, which: u8) -> Option<u32> {
        let granted = self
            .sections
            .iter()
            .filter(|(_, section)| section.stage == Stage::Granted && !section.crashed);
        let granted: Vec<u32> = granted.map(|(id, _)| *id).collect();
        granted
            .get(usize::from(which) % granted.len().max(1))
            .copied()
    }

    fn ask(&mut self) {
        let id = u32::try_from(self.sections.len()).unwrap() + 1;
        if id > SECTIONS_MAX {
            return;
        }
        let section = Section {
            token: u64::from(id) * 2,
            stage: Stage::Waiting,
            queued: true,
            crashed: false,
        };
        self.sections.insert(id, section);
        self.queue.push_back(id);
        self.tell(|story| story.asks(id));
    }

    /// The head is granted. What had not landed of older writes, or may be
    /// missed by the majority that it reads, is included or gone for good.
    fn grant(&mut self, which: u8) {
        let Some(id) = self.queue.front().copied() else {
            return;
        };
        let section = self.sections.get_mut(&id).unwrap();
        if section.stage != Stage::Waiting {
            return;
        }
        section.stage = Stage::Granted;
        let (token, crashed) = (section.token, section.crashed);
        let mut dice = which;
        self.writes.retain_mut(|write| {
            dice = dice.rotate_left(1);
            if write.reach < Reach::Lasting && dice & 1 == 1 {
                write.reach = Reach::Lasting;
            }
            write.reach >= Reach::Lasting
        });
        if !crashed {
            self.tell(|story| story.granted(id, token));
        }
    }

    fn put(&mut self, which: u8) {
        let Some(section) = self.granted(which) else {
            return;
        };
        let (x, y) = (FIELDS[0], FIELDS[1]);
        let fields = match which.reverse_bits() {
            0..80 => vec![(x, true)],
            80..120 => vec![(y, true)],
            120..190 => vec![(x, true), (y, true)],
            190..240 => vec![(x, true), (y, false)],
            240.. => vec![],
        };
        self.ticks += 1;
        self.op += 1;
        let (op, token) = (self.op, self.sections[&section].token);
        self.tell(|story| story.begins(section, op, &fields));
        if self.sections[&section].queued {
            self.writes.push(Write {
                op,
                section,
                stamp: stamp(token, self.ticks),
                fields,
                reach: Reach::OnItsWay,
                awaited: true,
            });
        } else {
            // It loses to what the next holder synchronised, or will.
            self.tell(|story| story.unknown(op));
        }
    }

    /// A write of the holder reaches a replica, or a majority.
    fn land(&mut self, which: u8, reach: Reach) {
        let sections = &self.sections;
        let mut flying = self
            .writes
            .iter_mut()
            .filter(|write| sections[&write.section].queued && write.reach != Reach::InTime);
        if let Some(write) = flying.nth(usize::from(which % 3)) {
            write.reach = write.reach.max(reach);
        }
    }

    /// A client is told what became of its put.
    fn answer(&mut self, which: u8) {
        let sections = &self.sections;
        let mut awaited = self
            .writes
            .iter_mut()
            .filter(|write| write.awaited && !sections[&write.section].crashed);
        let Some(write) = awaited.nth(usize::from(which % 3)) else {
            return;
        };
        write.awaited = false;
        if sections[&write.section].queued && which & 64 == 0 {
            write.reach = Reach::InTime;
        }
        let (op, stamp) = (write.op, write.stamp);
        // The answer may take its time: the section may be over by now.
        if write.reach == Reach::InTime {
            self.tell(|story| story.acknowledged_as(op, stamp));
        } else {
            self.tell(|story| story.unknown(op));
        }
    }

    fn get(&mut self, which: u8) {
        let Some(section) = self.granted(which) else {
            return;
        };
        if self.sections[&section].queued {
            // What a holder sees is at a majority before it is answered.
            for write in &mut self.writes {
                if write.reach == Reach::Landed {
                    write.reach = Reach::Lasting;
                }
            }
        }
        let seen: Vec<(&str, u64)> = FIELDS
            .iter()
            .filter_map(|field| Some((*field, self.value(field)?)))
            .collect();
        self.tell(|story| story.reads(section, &seen));
    }

    fn value(&self, field: &str) -> Option<u64> {
        let writes = self
            .writes
            .iter()
            .filter(|write| write.reach >= Reach::Landed);
        let last = writes
            .filter(|write| write.touch(field).is_some())
            .max_by_key(|write| write.stamp)?;
        last.touch(field)?.then_some(last.op)
    }

    /// The holder is taken for dead, or forced by hand, and learns nothing.
    fn preempt(&mut self, which: u8) {
        let Some(id) = self.queue.front().copied() else {
            return;
        };
        if self.sections[&id].stage != Stage::Granted {
            return;
        }
        if which < 64 {
            self.tell(|story| story.forced(id));
        }
        self.leave(id);
    }

    fn leave(&mut self, id: u32) {
        self.queue.retain(|queued| *queued != id);
        self.sections.get_mut(&id).unwrap().queued = false;
    }

    fn end(&mut self, which: u8) {
        let Some(id) = self.granted(which) else {
            return;
        };
        let section = self.sections.get_mut(&id).unwrap();
        section.stage = Stage::Over;
        let confirm = which & 8 == 8;
        let outcome = match (section.queued, confirm) {
            (true, true) => EndOutcome::Confirmed,
            (false, true) => EndOutcome::Lost,
            (_, false) => EndOutcome::Released,
        };
        self.leave(id);
        self.tell(|story| story.ending(id, confirm).ended(id, outcome));
    }

    fn crash(&mut self, which: u8) {
        let Some(id) = self.granted(which) else {
            return;
        };
        self.sections.get_mut(&id).unwrap().crashed = true;
        self.tell(|story| story.crashes(id));
    }

    /// Faults stop; everybody is served and ends.
    fn comes_to_rest(&mut self) {
        self.tell(Story::calm);
        while self
            .writes
            .iter()
            .any(|write| write.awaited && !self.sections[&write.section].crashed)
        {
            self.answer(0);
        }
        while let Some(id) = self.queue.front().copied() {
            self.grant(0);
            if self.sections[&id].crashed {
                self.leave(id);
            } else {
                self.end(8);
            }
        }
        while self.granted(0).is_some() {
            self.end(8);
        }
        self.tell(Story::end);
    }
}
