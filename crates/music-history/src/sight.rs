//! Which puts an observation can come from, and which of two is older.
//!
//! A judge never demands an order that it cannot know. Between puts of two
//! sections the tokens decide; between two of one section the stamps do, and
//! only acknowledged puts have one. A put that began when another had been
//! acknowledged is younger all the same. One that began when its client had
//! given another up is not: that other may reach the node, and take its tick
//! there, much later.

use super::index::{Get, History, Key, Moment, Put, Section};

/// The write behind what is seen of a field.
#[derive(Clone, Copy, Debug)]
pub enum Source<'h> {
    /// There was none: the field never had a value.
    Never,
    /// This put set or deleted it.
    Put(&'h Put),
}

impl Source<'_> {
    /// Whether it came certainly before a put.
    pub fn is_older_than(self, other: &Put) -> bool {
        match self {
            Self::Never => true,
            Self::Put(put) => is_older(put, other),
        }
    }
}

/// Whether one put came certainly before the other, in the order of writes.
pub fn is_older(one: &Put, other: &Put) -> bool {
    if one.token != other.token {
        return one.token < other.token;
    }
    let Some((at, stamp)) = one.acknowledged() else {
        return false;
    };
    match other.acknowledged() {
        Some((_, other)) => stamp < other,
        None => at < other.begun,
    }
}

/// What a get's observation of a field can come from. Absence can come from
/// any deletion that may have taken effect by then, or from no write at all.
///
/// `None` where the get saw a value that nobody can have written.
pub fn sources<'h>(key: &'h Key, get: &Get, field: &str) -> Option<Vec<Source<'h>>> {
    let Some(op) = get.seen.get(field) else {
        let deletions = deletions(key, get, field).map(Source::Put);
        return Some([Source::Never].into_iter().chain(deletions).collect());
    };
    let put = key.puts.get(op)?;
    let wrote = put.touch(field) == Some(true) && put.may_show_before(get.ended);
    wrote.then(|| vec![Source::Put(put)])
}

/// The deletions of a field that a get may have seen the effect of.
pub fn deletions<'h>(
    key: &'h Key,
    get: &Get,
    field: &str,
) -> impl Iterator<Item = &'h Put> + use<'h> {
    let (ended, field) = (get.ended, field.to_owned());
    key.puts
        .values()
        .filter(move |put| put.touch(&field) == Some(false) && put.may_show_before(ended))
}

/// Whether what was seen is not certainly older than a put.
pub fn reaches(sources: &[Source<'_>], put: &Put) -> bool {
    sources.iter().any(|source| !source.is_older_than(put))
}

impl History {
    /// Whether a put is promised to last: it was acknowledged, which no forced
    /// release undoes that comes from a suspicion. Not so
    ///
    /// - one by hand, which asks for no lease: then only acknowledgements
    ///   before it count;
    /// - nor what a node acknowledges that its client has left, to the other
    ///   node that is just taking the section over.
    pub fn is_firm(&self, put: &Put) -> bool {
        let acknowledged = put.acknowledged().map(|(at, _)| at);
        let Some((at, section)) = acknowledged.zip(self.sections.get(&put.section)) else {
            return false;
        };
        let forced = section.forced.is_some_and(|forced| forced < at);
        let moved = |moved: &Moment| put.begun < *moved && *moved < at;
        !forced && !section.moved.iter().any(moved)
    }

    /// Whether a section may have been superseded before a moment: somebody
    /// asked for the key by then who does not come before it in the queue,
    /// and its client was not told at the end that nobody was granted.
    pub fn may_be_superseded(&self, section: &Section, key: &str, before: Moment) -> bool {
        let Some(token) = section.token(key) else {
            return true;
        };
        let comes_before = |other: &Section| other.token(key).is_some_and(|other| other < token);
        let mut others = self.keys.get(key).into_iter().flat_map(|of| {
            self.sections_of(of)
                .filter(|other| other.id != section.id && other.asked < before)
        });
        section.confirmed().is_none() && others.any(|other| !comes_before(other))
    }
}
