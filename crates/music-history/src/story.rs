//! Histories for tests, told like stories: one event after the other, ten
//! microseconds apart. Section `n` is of client `n`, at site 0, of key `k`.

use std::collections::{BTreeMap, BTreeSet};

use music_core::lock_ref::{FencingToken, HandOvers, Holding, Incarnation, LockRef, Tick};
use music_core::stamp::Stamp;

use super::{
    ClientId, EndOutcome, Event, Limits, OpId, PlainKind, PlainOutcome, PutOutcome, Report,
    SectionId, What, judge,
};

const KEY: &str = "k";
const STEP_US: u64 = 10;
/// Where gets and operations without a lock get their names from.
const OP_FIRST: u64 = 1_000_000;

/// The stamp of a put, in the first incarnation.
pub(crate) fn stamp(token: u64, tick: u32) -> u64 {
    let holding = Holding {
        lock_ref: LockRef::new(token).unwrap(),
        incarnation: Incarnation(0),
    };
    Stamp::critical(holding, Tick::new(tick).unwrap()).get()
}

/// The fencing token of the first section of a ticket.
pub(crate) fn fencing(lock_ref: u64) -> u64 {
    let lock_ref = LockRef::new(lock_ref).unwrap();
    FencingToken::new(lock_ref, HandOvers::default()).get()
}

/// A history under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    events: Vec<Event>,
    now_us: u64,
    clients: BTreeSet<u32>,
    tokens: BTreeMap<u32, u64>,
    putters: BTreeMap<u64, u32>,
    tick: u32,
    op: u64,
}

impl Story {
    pub(crate) fn events(self) -> Vec<Event> {
        self.events
    }

    fn then(mut self, what: What) -> Self {
        self.now_us += STEP_US;
        self.events.push(Event {
            at_us: self.now_us,
            what,
        });
        self
    }

    fn next_op(&mut self) -> OpId {
        self.op += 1;
        OpId(OP_FIRST + self.op)
    }

    fn client(mut self, client: u32) -> Self {
        if !self.clients.insert(client) {
            return self;
        }
        let client = ClientId(client);
        self.then(What::Client { client, site: 0 })
    }

    fn asks_with(self, section: u32, keys: &[&str], shared: bool) -> Self {
        self.client(section).then(What::Asked {
            client: ClientId(section),
            section: SectionId(section),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            shared,
        })
    }

    pub(crate) fn asks(self, section: u32) -> Self {
        self.asks_with(section, &[KEY], false)
    }

    pub(crate) fn asks_shared(self, section: u32) -> Self {
        self.asks_with(section, &[KEY], true)
    }

    pub(crate) fn asks_for(self, section: u32, keys: &[&str]) -> Self {
        self.asks_with(section, keys, false)
    }

    pub(crate) fn granted(self, section: u32, token: u64) -> Self {
        self.granted_on(section, &[(KEY, token)])
    }

    pub(crate) fn granted_on(mut self, section: u32, tokens: &[(&str, u64)]) -> Self {
        if let Some((_, token)) = tokens.first() {
            self.tokens.insert(section, *token);
        }
        let tokens = tokens
            .iter()
            .map(|&(key, token)| (key.to_owned(), fencing(token)));
        self.then(What::Granted {
            section: SectionId(section),
            tokens: tokens.collect(),
        })
    }

    /// Asked for and granted at once.
    pub(crate) fn section(self, section: u32, token: u64) -> Self {
        self.asks(section).granted(section, token)
    }

    pub(crate) fn refused(self, section: u32) -> Self {
        let section = SectionId(section);
        self.then(What::Refused { section })
    }

    pub(crate) fn lost(self, section: u32) -> Self {
        let section = SectionId(section);
        self.then(What::Lost { section })
    }

    pub(crate) fn moved(self, section: u32) -> Self {
        let section = SectionId(section);
        self.then(What::Moved { section })
    }

    pub(crate) fn forced(self, section: u32) -> Self {
        let section = SectionId(section);
        self.then(What::Forced { section })
    }

    pub(crate) fn crashes(self, client: u32) -> Self {
        let client = ClientId(client);
        self.then(What::Crashed { client })
    }

    pub(crate) fn ending(self, section: u32, confirm: bool) -> Self {
        let section = SectionId(section);
        self.then(What::Ending { section, confirm })
    }

    pub(crate) fn ended(self, section: u32, outcome: EndOutcome) -> Self {
        let section = SectionId(section);
        self.then(What::Ended { section, outcome })
    }

    pub(crate) fn ends(self, section: u32, outcome: EndOutcome) -> Self {
        self.ending(section, false).ended(section, outcome)
    }

    pub(crate) fn releases(self, section: u32) -> Self {
        self.ends(section, EndOutcome::Released)
    }

    pub(crate) fn confirms(self, section: u32) -> Self {
        self.ending(section, true)
            .ended(section, EndOutcome::Confirmed)
    }

    /// A put that sets (`true`) and deletes fields; of the whole record where
    /// it names none.
    pub(crate) fn begins(mut self, section: u32, op: u64, fields: &[(&str, bool)]) -> Self {
        self.putters.insert(op, section);
        let whole = fields.is_empty();
        let fields = fields.iter().map(|&(field, sets)| (field.to_owned(), sets));
        self.then(What::Put {
            section: SectionId(section),
            op: OpId(op),
            key: KEY.to_owned(),
            fields: fields.collect(),
            whole,
        })
    }

    pub(crate) fn begins_put(self, section: u32, op: u64, fields: &[&str]) -> Self {
        let fields: Vec<(&str, bool)> = fields.iter().map(|&field| (field, true)).collect();
        self.begins(section, op, &fields)
    }

    pub(crate) fn begins_deletion(self, section: u32, op: u64) -> Self {
        self.begins(section, op, &[])
    }

    fn put_ended(self, op: u64, outcome: PutOutcome) -> Self {
        let op = OpId(op);
        self.then(What::PutEnded { op, outcome })
    }

    /// Under the next tick of the story.
    pub(crate) fn acknowledged(mut self, op: u64) -> Self {
        self.tick += 1;
        let stamp = stamp(self.tokens[&self.putters[&op]], self.tick);
        self.acknowledged_as(op, stamp)
    }

    pub(crate) fn acknowledged_as(self, op: u64, stamp: u64) -> Self {
        self.put_ended(op, PutOutcome::Acknowledged { stamp })
    }

    pub(crate) fn unknown(self, op: u64) -> Self {
        self.put_ended(op, PutOutcome::Unknown)
    }

    pub(crate) fn not_applied(self, op: u64) -> Self {
        self.put_ended(op, PutOutcome::NotApplied)
    }

    pub(crate) fn put(self, section: u32, op: u64, fields: &[&str]) -> Self {
        self.begins_put(section, op, fields).acknowledged(op)
    }

    pub(crate) fn deletes(self, section: u32, op: u64) -> Self {
        self.begins_deletion(section, op).acknowledged(op)
    }

    pub(crate) fn reads(mut self, section: u32, seen: &[(&str, u64)]) -> Self {
        let op = self.next_op();
        let seen = seen
            .iter()
            .map(|&(field, put)| (field.to_owned(), OpId(put)));
        let fields = Some(seen.collect());
        self.then(What::Get {
            section: SectionId(section),
            op,
            key: KEY.to_owned(),
        })
        .then(What::Got { op, fields })
    }

    pub(crate) fn plain(self, client: u32, kind: PlainKind, outcome: PlainOutcome) -> Self {
        let mut story = self.client(client);
        let (op, client) = (story.next_op(), ClientId(client));
        story
            .then(What::Plain { client, op, kind })
            .then(What::PlainEnded { op, outcome })
    }

    pub(crate) fn cut_off(self, site: u32) -> Self {
        self.then(What::CutOff { site })
    }

    pub(crate) fn healed(self, site: u32) -> Self {
        self.then(What::Healed { site })
    }

    pub(crate) fn down(self, site: u32) -> Self {
        self.then(What::Down { site })
    }

    pub(crate) fn up(self, site: u32) -> Self {
        self.then(What::Up { site })
    }

    pub(crate) fn calm(self) -> Self {
        self.then(What::Calm)
    }

    pub(crate) fn end(self) -> Self {
        self.then(What::End)
    }

    pub(crate) fn waits(mut self, us: u64) -> Self {
        self.now_us += us;
        self
    }

    /// Until the effects of faults are over.
    pub(crate) fn settles(self) -> Self {
        let settling = Limits::default().settling.as_micros();
        self.waits(u64::try_from(settling).unwrap())
    }

    pub(crate) fn report(self) -> Report {
        judge(&self.events, Limits::default()).unwrap()
    }

    /// Nobody finds anything, and the judge has checked so much.
    #[track_caller]
    pub(crate) fn passes(self, judge: &str, checked: usize) {
        let report = self.report();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.verdict(judge).unwrap().checked, checked, "{report}");
    }

    /// The judge finds something.
    #[track_caller]
    pub(crate) fn includes(self, judge: &str) {
        let report = self.report();
        assert!(
            !report.verdict(judge).unwrap().violations.is_empty(),
            "{report}"
        );
    }

    /// The judge finds something, and no other does, but for the independent
    /// checker.
    #[track_caller]
    pub(crate) fn fails(self, judge: &str) {
        let report = self.report();
        let judges = report.violations().map(|found| found.breach.judge().name);
        let judges: BTreeSet<_> = judges.filter(|&name| name != "linearizability").collect();
        assert_eq!(judges, BTreeSet::from([judge]), "{report}");
    }

    /// A history with every kind of event in it.
    pub(crate) fn of_every_event() -> Vec<Event> {
        let story = Self::default().section(1, 5).put(1, 10, &["x"]).moved(1);
        let story = story
            .deletes(1, 11)
            .reads(1, &[])
            .begins_put(1, 12, &["", "x"]);
        let story = story.not_applied(12).begins_put(1, 13, &["x"]).unknown(13);
        let story = story
            .asks_shared(2)
            .forced(1)
            .lost(1)
            .confirms(1)
            .refused(2);
        let story = story.cut_off(1).healed(1).down(1).up(1).crashes(1);
        story
            .plain(2, PlainKind::PutOnCritical, PlainOutcome::WrongMode)
            .calm()
            .end()
            .events()
    }
}
