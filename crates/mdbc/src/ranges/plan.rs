//! What a statement says of the rows that it touches, and the ranges that these
//! are in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::domain::Domain;
use super::{Key, is_kin};
use crate::catalog::schema::Table;
use crate::types::{SqlType, Value};

/// The ranges of a table that a statement touches, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeAccess {
    /// Those that it reads.
    pub reads: BTreeSet<u32>,
    /// Those that it writes, or whose rows it locks.
    pub writes: BTreeSet<u32>,
}

/// Rows of a table that a statement touches, by their number in its plan.
pub(crate) type TouchId = usize;

/// Rows of a table that a statement touches in one way.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    pub(crate) table: Arc<Table>,
    pub(crate) is_write: bool,
}

/// A column of such rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) touch: TouchId,
    /// The column's number.
    pub(crate) column: i16,
}

/// A value that is known when the statement runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Key(Key),
    /// No row has it where it is compared.
    Null,
    /// A parameter by its index, for a column of that type.
    Parameter(usize, SqlType),
}

/// Values on one side of another one, with it or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Above,
    AtLeast,
    AtMost,
    Below,
}

/// What is true of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The column has one of these values.
    OneOf(Place, Vec<Operand>),
    /// The column has this value, or one on that side of it.
    Beside(Place, Side, Operand),
    /// The column has a value alone that another one has.
    Same { from: Place, to: Place },
}

/// What a statement says of the rows that it touches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    touches: Vec<Touch>,
    facts: Vec<Fact>,
    /// Nothing can be told.
    is_blind: bool,
}

/// Parameters, and their types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) types: &'a [SqlType],
    pub(crate) values: &'a [Value],
}

impl Operand {
    /// The key that it is, or no key for a null; nothing where it is not known.
    fn keys(&self, given: Given<'_>) -> Option<Vec<Key>> {
        match self {
            Self::Key(key) => Some(vec![key.clone()]),
            Self::Null => Some(Vec::new()),
            Self::Parameter(index, ty) => {
                let own = given.types.get(*index).filter(|own| is_kin(**own, *ty));
                let value = own.and_then(|_| given.values.get(*index))?;
                match value {
                    Value::Null => Some(Vec::new()),
                    value => Key::of(value.clone()).map(|key| vec![key]),
                }
            }
        }
    }
}

impl Plan {
    pub(crate) fn touch(&mut self, table: Arc<Table>, is_write: bool) -> TouchId {
        self.touches.push(Touch { table, is_write });
        self.touches.len().saturating_sub(1)
    }

    pub(crate) fn table(&self, touch: TouchId) -> Option<&Arc<Table>> {
        self.touches.get(touch).map(|touch| &touch.table)
    }

    /// Rows that were to be read are locked.
    pub(crate) fn lock(&mut self, touch: TouchId) {
        if let Some(touch) = self.touches.get_mut(touch) {
            touch.is_write = true;
        }
    }

    pub(crate) fn note(&mut self, fact: Fact) {
        self.facts.push(fact);
    }

    /// From now on nothing can be told.
    pub(crate) fn blind(&mut self) {
        self.is_blind = true;
    }

    /// Whether there is anything to be worked out.
    pub(crate) fn is_empty(&self) -> bool {
        let mut tables = self.touches.iter().map(|touch| &touch.table);
        self.is_blind || tables.all(|table| table.owned.ranges.is_none())
    }

    /// The ranges of each table that the statement touches with any of these
    /// parameters; all of a table that is not among them.
    pub(crate) fn ranges(
        &self,
        types: &[SqlType],
        rows: &[Vec<Value>],
    ) -> BTreeMap<String, RangeAccess> {
        let mut found: BTreeMap<String, RangeAccess> = BTreeMap::new();
        for values in rows {
            let domains = self.domains(Given { types, values });
            for (id, touch) in self.touches.iter().enumerate() {
                let Some(ranges) = &touch.table.owned.ranges else {
                    continue;
                };
                let column = ranges.column;
                let domain = domains.get(&Place { touch: id, column });
                let numbers = domain.map_or_else(|| ranges.all(), |domain| domain.numbers(ranges));
                let access = found.entry(touch.table.name.clone()).or_default();
                if touch.is_write {
                    access.writes.extend(numbers);
                } else {
                    access.reads.extend(numbers);
                }
            }
        }
        found
    }

    /// What each column may be that anything is known of.
    fn domains(&self, given: Given<'_>) -> BTreeMap<Place, Domain> {
        let mut domains: BTreeMap<Place, Domain> = BTreeMap::new();
        for fact in &self.facts {
            if let Some((place, domain)) = alone(fact, given) {
                domains.entry(place).or_default().narrow(&domain);
            }
        }
        // What is known spreads one step further each time; where that ended
        // early, the rest would be known less.
        for _ in 0..=self.facts.len() {
            let mut is_less = false;
            for fact in &self.facts {
                if let Fact::Same { from, to } = fact
                    && let Some(domain) = domains.get(from).cloned()
                {
                    is_less |= domains.entry(*to).or_default().narrow(&domain);
                }
            }
            if !is_less {
                break;
            }
        }
        domains
    }
}

/// The values on one side of a key; of text with the key itself.
fn beside(side: Side, key: Key) -> Domain {
    let moved = |by: i64| match &key {
        Key::Integer(number) => Key::Integer(number.saturating_add(by)),
        Key::Text(_) => key.clone(),
    };
    match side {
        Side::Above => Domain::from(moved(1)),
        Side::AtLeast => Domain::from(key),
        Side::AtMost => Domain::to(key),
        Side::Below => Domain::to(moved(-1)),
    }
}

/// What a fact says of its column, whatever others say.
fn alone(fact: &Fact, given: Given<'_>) -> Option<(Place, Domain)> {
    match fact {
        Fact::OneOf(place, operands) => {
            let keys: Option<Vec<Vec<Key>>> =
                operands.iter().map(|operand| operand.keys(given)).collect();
            let keys = keys?.into_iter().flatten().collect();
            Some((*place, Domain::one_of(keys)))
        }
        Fact::Beside(place, side, operand) => {
            let none = || Domain::one_of(BTreeSet::new());
            let key = operand.keys(given)?.pop();
            Some((*place, key.map_or_else(none, |key| beside(*side, key))))
        }
        Fact::Same { .. } => None,
    }
}
