//! Reads events into the index, and refuses what cannot have happened.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{
    Client, Fault, Get, Grant, History, Limits, Moment, Outage, Plain, Put, Section, Span,
};
use crate::{ClientId, Event, Fields, OpId, SectionId, What};

/// An event that cannot follow those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {index}: {defect}", index = .at.index.saturating_add(1))]
pub struct Malformed {
    /// Which event.
    pub at: Moment,
    /// What is wrong with it.
    pub defect: Defect,
}

/// What is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// It is earlier than the one before it.
    #[error("time goes back")]
    TimeGoesBack,
    /// It comes after the end.
    #[error("it comes after the end")]
    AfterEnd,
    /// Nobody has introduced this client.
    #[error("client {0} is unknown")]
    UnknownClient(ClientId),
    /// Nobody has asked for this section.
    #[error("section {0} is unknown")]
    UnknownSection(SectionId),
    /// Nobody has begun this operation.
    #[error("operation {0} is unknown, or of another kind")]
    UnknownOp(OpId),
    /// It has happened before, and happens once.
    #[error("it has happened already")]
    Repeated,
    /// A client that is gone does or learns something.
    #[error("client {0} has crashed")]
    Dead(ClientId),
    /// A section is used before its grant, or after its client began to end
    /// it.
    #[error("section {0} is not held")]
    NotHeld(SectionId),
    /// A section ends that its client did not begin to end.
    #[error("section {0} was not being ended")]
    NotEnding(SectionId),
    /// An operation is on a key that the section has not.
    #[error("section {section} is not of key {key}")]
    KeyNotInSet {
        /// Which section.
        section: SectionId,
        /// Which key.
        key: String,
    },
    /// A grant has not one token for each key of the section.
    #[error("section {0} is granted with the tokens of other keys")]
    TokensOfOtherKeys(SectionId),
    /// A section is of no key.
    #[error("section {0} is of no key")]
    NoKeys(SectionId),
    /// A put names no field, or names fields and deletes the whole record.
    #[error("put {0} names no field, or fields beside the whole record")]
    NoFields(OpId),
    /// A site recovers from what it had not.
    #[error("site {0} recovers from nothing")]
    NoOutage(u32),
}

pub(super) fn read(events: &[Event], limits: Limits) -> Result<History, Malformed> {
    let mut reader = Reader::new(limits);
    for (index, event) in events.iter().enumerate() {
        let at = Moment {
            index,
            at_us: event.at_us,
        };
        reader
            .take(at, &event.what)
            .map_err(|defect| Malformed { at, defect })?;
    }
    Ok(reader.history)
}

/// Where an operation that has begun is found.
struct Begun {
    span: usize,
    client: ClientId,
    place: Place,
}

/// What an operation is.
#[derive(Clone)]
enum Place {
    Put { key: String },
    Get { key: String, section: SectionId },
    Plain { position: usize },
}

struct Reader {
    history: History,
    begun: BTreeMap<OpId, Begun>,
    /// Where the ends of sections are in the list of spans.
    endings: BTreeMap<SectionId, usize>,
}

impl Reader {
    fn new(limits: Limits) -> Self {
        let history = History {
            limits,
            clients: BTreeMap::new(),
            sections: BTreeMap::new(),
            keys: BTreeMap::new(),
            plains: Vec::new(),
            spans: Vec::new(),
            outages: Vec::new(),
            calm: None,
            end: None,
            last: None,
        };
        Self {
            history,
            begun: BTreeMap::new(),
            endings: BTreeMap::new(),
        }
    }

    fn take(&mut self, at: Moment, what: &What) -> Result<(), Defect> {
        if self.history.last.is_some_and(|last| last.at_us > at.at_us) {
            return Err(Defect::TimeGoesBack);
        }
        if self.history.end.is_some() {
            return Err(Defect::AfterEnd);
        }
        self.history.last = Some(at);
        match what {
            What::Client { client, site } => self.client(*client, *site),
            What::Crashed { client } => {
                let client = self.alive(*client)?;
                once(&mut client.crashed, at)
            }
            What::CutOff { site } => self.fails(*site, Fault::CutOff, at),
            What::Healed { site } => self.recovers(*site, Fault::CutOff, at),
            What::Down { site } => self.fails(*site, Fault::Down, at),
            What::Up { site } => self.recovers(*site, Fault::Down, at),
            What::Calm => once(&mut self.history.calm, at),
            What::End => once(&mut self.history.end, at),
            What::Plain { client, op, kind } => {
                self.alive(*client)?;
                let position = self.history.plains.len();
                self.begin(*op, *client, at, Place::Plain { position })?;
                self.history.plains.push(Plain {
                    op: *op,
                    client: *client,
                    kind: *kind,
                    begun: at,
                    ended: None,
                });
                Ok(())
            }
            What::PlainEnded { op, outcome } => {
                let Place::Plain { position } = self.end(*op, at)? else {
                    return Err(Defect::UnknownOp(*op));
                };
                let plain = self.history.plains.get_mut(position);
                plain.ok_or(Defect::UnknownOp(*op))?.ended = Some((at, *outcome));
                Ok(())
            }
            _ => self.take_of_section(at, what),
        }
    }

    fn take_of_section(&mut self, at: Moment, what: &What) -> Result<(), Defect> {
        match what {
            What::Asked { section, .. } => self.asked(*section, at, what),
            What::Granted { section, tokens } => self.granted(*section, tokens, at),
            What::Refused { section } => {
                let section = self.section(*section)?;
                if section.granted.is_some() {
                    return Err(Defect::Repeated);
                }
                once(&mut section.refused, at)
            }
            What::Lost { section } => once(&mut self.section(*section)?.lost, at),
            What::Moved { section } => {
                self.section(*section)?.moved.push(at);
                Ok(())
            }
            What::Forced { section: id } => {
                // Not by its own client: that one may be long gone.
                let section = self.history.sections.get_mut(id);
                let section = section.ok_or(Defect::UnknownSection(*id))?;
                section.forced.get_or_insert(at);
                Ok(())
            }
            What::Ending { section, .. } => self.ending(*section, at),
            What::Ended { section, outcome } => {
                let span = self.endings.get(section).copied();
                let ended = self.section(*section)?;
                let span = span.ok_or(Defect::NotEnding(ended.id))?;
                once(&mut ended.ended, (at, *outcome))?;
                self.close(span, at);
                Ok(())
            }
            What::Put { .. } => self.put(at, what),
            What::PutEnded { op, outcome } => {
                let Place::Put { key } = self.end(*op, at)? else {
                    return Err(Defect::UnknownOp(*op));
                };
                let key = self.history.keys.get_mut(&key);
                let put = key.and_then(|key| key.puts.get_mut(op));
                put.ok_or(Defect::UnknownOp(*op))?.ended = Some((at, *outcome));
                Ok(())
            }
            What::Get { section, op, key } => {
                let client = self.held(*section, key)?;
                let place = Place::Get {
                    key: key.clone(),
                    section: *section,
                };
                self.begin(*op, client, at, place)
            }
            What::Got { op, fields } => self.got(*op, fields.as_ref(), at),
            _ => Ok(()),
        }
    }

    fn client(&mut self, client: ClientId, site: u32) -> Result<(), Defect> {
        let crashed = None;
        let client = self.history.clients.entry(client);
        fresh(client, Client { site, crashed })
    }

    /// A client that is not gone.
    fn alive(&mut self, client: ClientId) -> Result<&mut Client, Defect> {
        match self.history.clients.get_mut(&client) {
            None => Err(Defect::UnknownClient(client)),
            Some(Client {
                crashed: Some(_), ..
            }) => Err(Defect::Dead(client)),
            Some(known) => Ok(known),
        }
    }

    /// A section whose client is not gone.
    fn section(&mut self, section: SectionId) -> Result<&mut Section, Defect> {
        let unknown = Defect::UnknownSection(section);
        let known = self.history.sections.get(&section);
        let client = known.ok_or(unknown.clone())?.client;
        self.alive(client)?;
        self.history.sections.get_mut(&section).ok_or(unknown)
    }

    fn asked(&mut self, section: SectionId, at: Moment, what: &What) -> Result<(), Defect> {
        let What::Asked {
            client,
            keys,
            shared,
            ..
        } = what
        else {
            return Ok(());
        };
        self.alive(*client)?;
        if keys.is_empty() {
            return Err(Defect::NoKeys(section));
        }
        let asked = Section {
            id: section,
            client: *client,
            keys: keys.clone(),
            shared: *shared,
            asked: at,
            granted: None,
            refused: None,
            lost: None,
            ending: None,
            ended: None,
            forced: None,
            moved: Vec::new(),
        };
        fresh(self.history.sections.entry(section), asked)?;
        for key in keys {
            let key = self.history.keys.entry(key.clone()).or_default();
            key.sections.push(section);
        }
        Ok(())
    }

    fn granted(
        &mut self,
        section: SectionId,
        tokens: &BTreeMap<String, u64>,
        at: Moment,
    ) -> Result<(), Defect> {
        let known = self.section(section)?;
        if known.refused.is_some() {
            return Err(Defect::Repeated);
        }
        if !tokens.keys().eq(&known.keys) {
            return Err(Defect::TokensOfOtherKeys(section));
        }
        let tokens = tokens.clone();
        once(&mut known.granted, Grant { at, tokens })
    }

    fn ending(&mut self, section: SectionId, at: Moment) -> Result<(), Defect> {
        let known = self.section(section)?;
        once(&mut known.ending, at)?;
        let client = known.client;
        let span = self.open(client, at);
        self.endings.insert(section, span);
        Ok(())
    }

    /// The client of a section that holds `key`, as far as it knows.
    fn held(&mut self, section: SectionId, key: &str) -> Result<ClientId, Defect> {
        let known = self.section(section)?;
        if known.granted.is_none() || known.ending.is_some() {
            return Err(Defect::NotHeld(section));
        }
        if !known.keys.contains(key) {
            let key = key.to_owned();
            return Err(Defect::KeyNotInSet { section, key });
        }
        Ok(known.client)
    }

    fn put(&mut self, at: Moment, what: &What) -> Result<(), Defect> {
        let What::Put {
            section,
            op,
            key,
            fields,
            whole,
        } = what
        else {
            return Ok(());
        };
        let client = self.held(*section, key)?;
        if fields.is_empty() != *whole {
            return Err(Defect::NoFields(*op));
        }
        let token = self.section(*section)?.token(key);
        let put = Put {
            op: *op,
            section: *section,
            token: token.ok_or(Defect::NotHeld(*section))?,
            fields: fields.clone(),
            whole: *whole,
            begun: at,
            ended: None,
        };
        self.begin(*op, client, at, Place::Put { key: key.clone() })?;
        let key = self.history.keys.entry(key.clone()).or_default();
        key.fields.extend(fields.keys().cloned());
        key.puts.insert(*op, put);
        Ok(())
    }

    fn got(&mut self, op: OpId, seen: Option<&Fields>, at: Moment) -> Result<(), Defect> {
        let begun = self.begun.get(&op).map(|begun| begun.span);
        let Place::Get { key, section } = self.end(op, at)? else {
            return Err(Defect::UnknownOp(op));
        };
        let Some(seen) = seen else { return Ok(()) };
        let token = self.section(section)?.token(&key);
        let token = token.ok_or(Defect::NotHeld(section))?;
        let span = begun.and_then(|span| self.history.spans.get(span));
        let begun = span.ok_or(Defect::UnknownOp(op))?.begun;
        let key = self.history.keys.entry(key).or_default();
        key.fields.extend(seen.keys().cloned());
        // Gets may overlap: they are kept in the order of their beginnings.
        let place = key.gets.partition_point(|other| other.begun < begun);
        let get = Get {
            op,
            section,
            token,
            begun,
            ended: at,
            seen: seen.clone(),
        };
        key.gets.insert(place, get);
        Ok(())
    }

    fn begin(
        &mut self,
        op: OpId,
        client: ClientId,
        at: Moment,
        place: Place,
    ) -> Result<(), Defect> {
        let span = self.history.spans.len();
        let begun = Begun {
            span,
            client,
            place,
        };
        fresh(self.begun.entry(op), begun)?;
        self.open(client, at);
        Ok(())
    }

    fn end(&mut self, op: OpId, at: Moment) -> Result<Place, Defect> {
        let begun = self.begun.get(&op).ok_or(Defect::UnknownOp(op))?;
        let (span, client, place) = (begun.span, begun.client, begun.place.clone());
        self.alive(client)?;
        let known = self.history.spans.get(span);
        if known.is_some_and(|span| span.ended.is_some()) {
            return Err(Defect::Repeated);
        }
        self.close(span, at);
        Ok(place)
    }

    fn open(&mut self, client: ClientId, begun: Moment) -> usize {
        self.history.spans.push(Span {
            client,
            begun,
            ended: None,
        });
        self.history.spans.len() - 1
    }

    fn close(&mut self, span: usize, at: Moment) {
        if let Some(span) = self.history.spans.get_mut(span) {
            span.ended = Some(at);
        }
    }

    /// The outage of that kind that lasts at a site.
    fn lasting(&mut self, site: u32, fault: Fault) -> Option<&mut Outage> {
        let is_it = |outage: &&mut Outage| {
            outage.site == site && outage.fault == fault && outage.until.is_none()
        };
        self.history.outages.iter_mut().find(is_it)
    }

    fn fails(&mut self, site: u32, fault: Fault, from: Moment) -> Result<(), Defect> {
        if self.lasting(site, fault).is_some() {
            return Err(Defect::Repeated);
        }
        self.history.outages.push(Outage {
            site,
            fault,
            from,
            until: None,
        });
        Ok(())
    }

    fn recovers(&mut self, site: u32, fault: Fault, at: Moment) -> Result<(), Defect> {
        let outage = self.lasting(site, fault).ok_or(Defect::NoOutage(site))?;
        outage.until = Some(at);
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Defect> {
    if slot.is_some() {
        return Err(Defect::Repeated);
    }
    *slot = Some(value);
    Ok(())
}

fn fresh<K: Ord, V>(entry: Entry<'_, K, V>, value: V) -> Result<(), Defect> {
    match entry {
        Entry::Occupied(_) => Err(Defect::Repeated),
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
    }
}
