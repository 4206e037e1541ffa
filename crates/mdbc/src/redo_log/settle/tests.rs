//! The decision against a model: owners that die at any step, with any of
//! their puts landed, at several sites that see late what others did.

use std::collections::{BTreeMap, BTreeSet};

use music_client::Content;
use music_client::api::name::Fields;
use proptest::prelude::*;

use super::*;
use crate::redo_log::entry::Head;
use crate::redo_log::ring::Ring;

const RING: Ring = Ring { slots: 1024 };
const NAMES: [&str; 3] = ["a", "b", "c"];

fn partition(name: &str) -> Partition {
    Partition::try_from(name.to_owned()).unwrap()
}

fn place(name: &str, position: u64, token: u64, token_before: u64) -> Place {
    let point = Point { position, token };
    Place {
        partition: partition(name),
        point,
        token_before,
    }
}

fn entry(places: Vec<Place>) -> Entry {
    let digest = format!("{:?}", places[0]).into_bytes().into();
    Entry { places, digest }
}

/// Logs as MUSIC holds them.
#[derive(Clone, Debug, Default)]
struct Logs(BTreeMap<Partition, BTreeMap<String, Bytes>>);

impl Logs {
    fn put(&mut self, entry: &Entry, at: usize, committed: Point) {
        let place = &entry.places[at];
        let value = Head::new(entry, at, committed).encode(&entry.digest);
        let log = self.0.entry(place.partition.clone()).or_default();
        log.insert(RING.field(place.point.position), value);
    }

    fn reading(&self, partition: &Partition, is_owned: bool) -> Reading {
        let fields = self.0.get(partition).cloned().unwrap_or_default();
        let fields: Fields = fields
            .into_iter()
            .map(|(name, value)| (name, Content::from(value).to_value()))
            .collect();
        Reading {
            view: View::read(RING, partition, fields),
            is_owned,
            claims: Vec::new(),
        }
    }

    fn owned(&self, names: &[&str]) -> Readings {
        let read = |name: &&str| (partition(name), self.reading(&partition(name), true));
        names.iter().map(read).collect()
    }
}

fn points(verdict: &Verdict) -> Vec<(String, u64)> {
    let Verdict::Settled { entries, .. } = verdict else {
        panic!("{verdict:?}")
    };
    let point = |place: &Place| (place.partition.name().to_owned(), place.point.position);
    entries
        .iter()
        .map(|entry| point(&entry.places[0]))
        .collect()
}

fn applied(points: &[(&str, u64, u64)]) -> Applied {
    let point = |(name, position, token): &(&str, u64, u64)| {
        (
            partition(name),
            Point {
                position: *position,
                token: *token,
            },
        )
    };
    points.iter().map(point).collect()
}

#[test]
fn what_a_lost_owner_left_beyond_a_gap_never_counts() {
    let mut logs = Logs::default();
    let chain = [(1, 7, 0), (3, 7, 7), (2, 8, 7)];
    for (position, token, before) in chain {
        logs.put(
            &entry(vec![place("a", position, token, before)]),
            0,
            Point::START,
        );
    }
    // Position 2 was lost and written anew by the next owner; 3 names the old one.
    let verdict = settle(&logs.owned(&["a"]), &Applied::default()).unwrap();
    assert_eq!(points(&verdict), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
}

#[test]
fn a_prepared_entry_counts_only_with_its_commit_point() {
    let both = entry(vec![place("a", 1, 7, 0), place("b", 1, 9, 0)]);
    let mut logs = Logs::default();
    logs.put(&both, 1, Point::START);
    let own = settle(&logs.owned(&["b"]), &Applied::default()).unwrap();
    assert_eq!(own, Verdict::Own(BTreeSet::from([partition("a")])));
    let none = settle(&logs.owned(&["a", "b"]), &Applied::default()).unwrap();
    assert_eq!(points(&none), []);
    // Somebody else's entry at the commit point's position.
    let mut other = logs.clone();
    other.put(&entry(vec![place("a", 1, 8, 0)]), 0, Point::START);
    let other = settle(&other.owned(&["a", "b"]), &Applied::default()).unwrap();
    assert_eq!(points(&other), [("a".to_owned(), 1)]);
    logs.put(&both, 0, Point::START);
    let Verdict::Settled { entries, ends } =
        settle(&logs.owned(&["a", "b"]), &Applied::default()).unwrap()
    else {
        panic!("it is settled");
    };
    assert_eq!((entries, ends[&partition("b")].token), (vec![both], 9));
}

#[test]
fn what_is_applied_at_the_commit_point_decides_without_its_owner() {
    let mut logs = Logs::default();
    let both = entry(vec![place("a", 1, 7, 0), place("b", 1, 9, 0)]);
    logs.put(&both, 1, Point::START);
    let verdict = settle(&logs.owned(&["b"]), &applied(&[("a", 1, 8)])).unwrap();
    assert_eq!(points(&verdict), []);
}

#[test]
fn an_owner_looks_at_other_logs_for_what_its_own_rests_on() {
    let mut logs = Logs::default();
    let first = entry(vec![place("b", 1, 9, 0)]);
    let both = entry(vec![place("a", 1, 7, 0), place("b", 2, 9, 9)]);
    logs.put(&first, 0, Point::START);
    logs.put(&both, 1, Point::START);
    logs.put(&both, 0, Point::START);
    let mut readings = logs.owned(&["a"]);
    let b = partition("b");
    let look = settle(&readings, &Applied::default()).unwrap();
    assert_eq!(look, Verdict::Look(BTreeSet::from([b.clone()])));
    readings.insert(b.clone(), Logs::default().reading(&b, false));
    let own = settle(&readings, &Applied::default()).unwrap();
    assert_eq!(own, Verdict::Own(BTreeSet::from([b.clone()])));
    readings.insert(b.clone(), logs.reading(&b, false));
    let verdict = settle(&readings, &Applied::default()).unwrap();
    assert_eq!(points(&verdict), [("b".to_owned(), 1), ("a".to_owned(), 1)]);
    let known = settle(&logs.owned(&["a"]), &applied(&[("b", 1, 9)])).unwrap();
    assert_eq!(points(&known), [("a".to_owned(), 1)]);
}

#[test]
fn bad_states_are_told_by_name() {
    let mut logs = Logs::default();
    for position in 1..=3 {
        let committed = Point {
            position: position - 1,
            token: 7,
        };
        let before = if position == 1 { 0 } else { 7 };
        logs.put(&entry(vec![place("a", position, 7, before)]), 0, committed);
    }
    let a = partition("a");
    let settled = |logs: &Logs, applied: &Applied| settle(&logs.owned(&["a"]), applied);
    let forked = settled(&logs, &applied(&[("a", 2, 6)])).unwrap_err();
    assert_eq!(
        forked,
        LogFault::Forked {
            partition: a.clone(),
            position: 2
        }
    );
    let field = |position| RING.field(position);
    let mut emptied = logs.clone();
    emptied
        .0
        .get_mut(&a)
        .unwrap()
        .insert(field(1), Bytes::new());
    let behind = settled(&emptied, &Applied::default()).unwrap_err();
    assert_eq!(
        behind,
        LogFault::Behind {
            partition: a.clone(),
            applied: 0
        }
    );
    let mut holed = logs.clone();
    holed.0.get_mut(&a).unwrap().remove(&field(2));
    let gap = settled(&holed, &Applied::default()).unwrap_err();
    assert_eq!(
        gap,
        LogFault::Gap {
            partition: a.clone(),
            position: 2
        }
    );
    let mut scribbled = logs.clone();
    scribbled
        .0
        .get_mut(&a)
        .unwrap()
        .insert(field(3), Bytes::from_static(b"mine!"));
    let damaged = settled(&scribbled, &Applied::default()).unwrap_err();
    assert_eq!(
        damaged,
        LogFault::Damaged {
            partition: a,
            position: 3
        }
    );
}

#[test]
fn a_follower_stops_where_nothing_is_known_to_be_committed() {
    let mut logs = Logs::default();
    for position in 1..=3 {
        let before = if position == 1 { 0 } else { 7 };
        logs.put(
            &entry(vec![place("a", position, 7, before)]),
            0,
            Point::START,
        );
    }
    let a = partition("a");
    let mut reading = logs.reading(&a, false);
    let visible_with = |reading: &Reading| {
        let readings = Readings::from([(a.clone(), reading.clone())]);
        visible(&readings, &Applied::default()).unwrap().len()
    };
    assert_eq!(visible_with(&reading), 0);
    let later = visible(
        &Readings::from([(a.clone(), reading.clone())]),
        &applied(&[("a", 1, 7)]),
    );
    assert_eq!(later, Ok(Vec::new()));
    reading.claims = vec![
        Point {
            position: 2,
            token: 7,
        },
        Point {
            position: 9,
            token: 7,
        },
    ];
    assert_eq!(visible_with(&reading), 2);
    // Of another history than this replica has by now.
    reading.claims = vec![Point {
        position: 2,
        token: 8,
    }];
    assert_eq!(visible_with(&reading), 0);
}

/// Chance from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn subset(&mut self) -> BTreeSet<Partition> {
        let bits = 1 + self.below(7);
        let chosen = NAMES
            .iter()
            .enumerate()
            .filter(|(n, _)| bits & (1 << n) != 0);
        chosen.map(|(_, name)| partition(name)).collect()
    }
}

/// A site: its database is the list of transactions that it has applied.
#[derive(Clone, Debug, Default)]
struct Site {
    applied: Applied,
    done: Vec<Entry>,
}

impl Site {
    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            assert_eq!(self.applied.step(&entry), Step::Next, "{entry:?}");
            self.applied.advance(&entry);
            self.done.push(entry);
        }
    }

    /// What is applied of one partition, in order.
    fn of(&self, partition: &Partition) -> Vec<&Entry> {
        let is_of = |entry: &&Entry| {
            entry
                .places
                .iter()
                .any(|place| place.partition == *partition)
        };
        self.done.iter().filter(is_of).collect()
    }
}

/// The world of a model's run.
#[derive(Default)]
struct World {
    logs: Logs,
    /// What the replica of every site has, at least.
    older: Logs,
    sites: [Site; 3],
    token: u64,
    acknowledged: Vec<Entry>,
}

/// An entry of a turn: how far its puts are.
struct Sent {
    entry: Entry,
    committed: Vec<Point>,
    /// Which of its slots are put; the commit point is the first.
    put: Vec<bool>,
    is_acknowledged: bool,
}

impl World {
    /// One turn: read, apply, append, and die at some step.
    fn turn(&mut self, site: usize, dice: &mut Dice) {
        let wanted = dice.subset();
        let owned = self.acquire(site, wanted, dice);
        self.token += 1;
        let mut ends = self.sites[site].applied.clone();
        let mut sent: Vec<Sent> = Vec::new();
        for _ in 0..dice.below(12) {
            if dice.below(2) == 0 {
                self.append(&owned, &mut ends, &mut sent, dice);
            } else {
                self.step(&mut sent, dice);
            }
        }
        // What is under way lands or does not: from now on, a put of this owner
        // that is not there is never seen.
        for index in 0..sent.len() {
            for at in may_be_put(&sent, index) {
                if dice.below(2) == 0 {
                    self.logs
                        .put(&sent[index].entry, at, sent[index].committed[at]);
                }
            }
        }
        let acknowledged = sent.iter().filter(|sent| sent.is_acknowledged);
        self.acknowledged
            .extend(acknowledged.map(|sent| sent.entry.clone()));
    }

    fn acquire(
        &mut self,
        site: usize,
        mut owned: BTreeSet<Partition>,
        dice: &mut Dice,
    ) -> BTreeSet<Partition> {
        let mut readings = Readings::new();
        loop {
            for partition in &owned {
                readings.insert(partition.clone(), self.logs.reading(partition, true));
            }
            match settle(&readings, &self.sites[site].applied).unwrap() {
                Verdict::Settled { entries, ends } => {
                    self.sites[site].apply(entries);
                    assert!(
                        ends.iter()
                            .all(|(p, end)| self.sites[site].applied.point(p) == *end)
                    );
                    self.check(site, &owned);
                    return owned;
                }
                Verdict::Look(others) => {
                    for partition in others {
                        let logs = if dice.below(2) == 0 {
                            &self.logs
                        } else {
                            &self.older
                        };
                        readings.insert(partition.clone(), logs.reading(&partition, false));
                    }
                }
                Verdict::Own(more) => owned.extend(more),
            }
        }
    }

    /// The owner has all that was acknowledged, and all sites agree on it.
    fn check(&self, site: usize, owned: &BTreeSet<Partition>) {
        let site = &self.sites[site];
        for entry in &self.acknowledged {
            let is_owned = entry
                .places
                .iter()
                .any(|place| owned.contains(&place.partition));
            assert!(!is_owned || site.done.contains(entry), "lost: {entry:?}");
        }
        for other in &self.sites {
            for partition in NAMES.map(partition) {
                let (ours, theirs) = (site.of(&partition), other.of(&partition));
                assert!(ours.starts_with(&theirs) || theirs.starts_with(&ours));
            }
        }
    }

    fn append(
        &mut self,
        owned: &BTreeSet<Partition>,
        ends: &mut Applied,
        sent: &mut Vec<Sent>,
        dice: &mut Dice,
    ) {
        let partitions: Vec<Partition> = dice
            .subset()
            .into_iter()
            .filter(|partition| owned.contains(partition))
            .collect();
        if partitions.is_empty() {
            return;
        }
        let places = partitions.iter().map(|partition| {
            let end = ends.point(partition);
            let point = end.next(self.token);
            Place {
                partition: partition.clone(),
                point,
                token_before: end.token,
            }
        });
        let entry = entry(places.collect());
        ends.advance(&entry);
        let committed = |place: &Place| {
            let acknowledged = sent.iter().filter(|sent| sent.is_acknowledged);
            let places = acknowledged.flat_map(|sent| &sent.entry.places);
            let points = places.filter(|other| other.partition == place.partition);
            points.map(|place| place.point).max().unwrap_or_default()
        };
        let committed: Vec<Point> = entry.places.iter().map(committed).collect();
        let put = vec![false; committed.len()];
        sent.push(Sent {
            entry,
            committed,
            put,
            is_acknowledged: false,
        });
    }

    /// One put is acknowledged.
    fn step(&mut self, sent: &mut [Sent], dice: &mut Dice) {
        if sent.is_empty() {
            return;
        }
        let index = dice.below(sent.len());
        let may = may_be_put(sent, index);
        if !may.is_empty() {
            let at = may[dice.below(may.len())];
            self.logs
                .put(&sent[index].entry, at, sent[index].committed[at]);
            sent[index].put[at] = true;
        }
        for index in 0..sent.len() {
            let is_put = sent[index].put.iter().all(|put| *put);
            sent[index].is_acknowledged = is_put && before(sent, index).all(|s| s.is_acknowledged);
        }
    }
}

/// The entries of a turn that come before one in its partitions.
fn before(sent: &[Sent], index: usize) -> impl Iterator<Item = &Sent> {
    let places = &sent[index].entry.places;
    let meets = |other: &&Sent| {
        let names = other.entry.places.iter().map(|place| &place.partition);
        names
            .clone()
            .any(|name| places.iter().any(|place| place.partition == *name))
    };
    sent[..index]
        .iter()
        .filter(meets)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether an entry of the same partitions comes right before one, in all of them.
fn follows(sent: &[Sent], index: usize) -> bool {
    let names = |sent: &Sent| {
        let places = sent.entry.places.iter();
        places
            .map(|place| place.partition.clone())
            .collect::<Vec<_>>()
    };
    let last = before(sent, index).last();
    last.is_some_and(|last| names(last) == names(&sent[index]))
}

/// The slots of an entry that its owner may have put, by the rules.
fn may_be_put(sent: &[Sent], index: usize) -> Vec<usize> {
    let one = &sent[index];
    let prepared = (1..one.put.len()).filter(|at| !one.put[*at]);
    let mut may: Vec<usize> = prepared.collect();
    let is_alone = one.put.len() == 1;
    let are_before = before(sent, index).all(|sent| sent.is_acknowledged);
    let is_ready = may.is_empty() && (are_before || follows(sent, index));
    if !one.put[0] && (is_alone || is_ready) {
        may.push(0);
    }
    may
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_owner_loses_or_tears_what_another_acknowledged(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let mut world = World::default();
        for _ in 0..25 {
            let site = dice.below(3);
            world.turn(site, &mut dice);
            if dice.below(3) == 0 {
                world.older = world.logs.clone();
            }
        }
    }
}
