//! The values that a column may have in the rows that a statement touches.

use std::collections::BTreeSet;

use super::{Key, Ranges};

/// The values that a column may have: those of a list, or all, within limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Domain {
    values: Option<BTreeSet<Key>>,
    low: Option<Key>,
    high: Option<Key>,
}

impl Domain {
    /// One of these, and no other.
    pub(super) fn one_of(values: BTreeSet<Key>) -> Self {
        Self {
            values: Some(values),
            ..Self::default()
        }
    }

    /// This and above.
    pub(super) fn from(low: Key) -> Self {
        Self {
            low: Some(low),
            ..Self::default()
        }
    }

    /// This and below.
    pub(super) fn to(high: Key) -> Self {
        Self {
            high: Some(high),
            ..Self::default()
        }
    }

    /// Keeps what is in the other, too; whether that is less.
    pub(super) fn narrow(&mut self, other: &Self) -> bool {
        let before = self.clone();
        if let Some(more) = &other.values {
            let both = match &self.values {
                Some(own) => own.intersection(more).cloned().collect(),
                None => more.clone(),
            };
            self.values = Some(both);
        }
        // None is below each low limit, and above each high one.
        self.low = self.low.take().max(other.low.clone());
        self.high = match (self.high.take(), &other.high) {
            (Some(own), Some(more)) => Some(own.min(more.clone())),
            (own, more) => own.or_else(|| more.clone()),
        };
        *self != before
    }

    /// The ranges that the values are in. There is one at least: what touches
    /// nothing owns something nonetheless, so that it has a turn.
    pub(super) fn numbers(&self, ranges: &Ranges) -> BTreeSet<u32> {
        let mut numbers: BTreeSet<u32> = if let Some(values) = &self.values {
            let within = values.iter().filter(|value| self.allows(value));
            within.map(|value| ranges.number(value)).collect()
        } else {
            let first = self.low.as_ref().map_or(0, |low| ranges.number(low));
            let last = self.high.as_ref().map(|high| ranges.number(high));
            let mut numbers = ranges.all();
            numbers.retain(|number| *number >= first && last.is_none_or(|last| *number <= last));
            numbers
        };
        if numbers.is_empty() {
            numbers.insert(0);
        }
        numbers
    }

    fn allows(&self, value: &Key) -> bool {
        self.low.as_ref().is_none_or(|low| low <= value)
            && self.high.as_ref().is_none_or(|high| value <= high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: &[i64]) -> BTreeSet<Key> {
        numbers.iter().copied().map(Key::Integer).collect()
    }

    #[test]
    fn facts_together_leave_what_all_of_them_allow() {
        let ranges = Ranges {
            column: 1,
            bounds: vec![Key::Integer(10), Key::Integer(20)],
        };
        let mut domain = Domain::default();
        let numbers = |domain: &Domain| domain.numbers(&ranges).into_iter().collect::<Vec<_>>();
        assert_eq!(numbers(&domain), [0, 1, 2]);
        assert!(domain.narrow(&Domain::from(Key::Integer(10))));
        assert_eq!(numbers(&domain), [1, 2]);
        assert!(!domain.narrow(&Domain::from(Key::Integer(3))));
        assert!(domain.narrow(&Domain::to(Key::Integer(19))));
        assert_eq!(numbers(&domain), [1]);
        assert!(domain.narrow(&Domain::one_of(keys(&[1, 15, 30]))));
        assert_eq!(numbers(&domain), [1]);
        assert!(domain.narrow(&Domain::one_of(keys(&[1]))));
        assert_eq!(numbers(&domain), [0], "nothing, which is one range");
    }
}
