//! Reading a TOML file so that every fault in it is told at once, each with its
//! line.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest time that can be set, in milliseconds: a day.
const MS_MAX: u64 = 86_400_000;

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line in the file, from 1; `None` for what is not there.
    pub(crate) line: Option<usize>,
    /// The setting, as its path: `timeouts.check_ms`; empty where the file is no
    /// TOML.
    pub(crate) setting: String,
    /// What is wrong, and what is allowed.
    pub(crate) reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.setting.is_empty() {
            write!(f, "{}: ", self.setting)?;
        }
        f.write_str(&self.reason)
    }
}

/// The faults found so far, and the text that they are in.
pub(super) struct Faults<'a> {
    text: &'a str,
    found: RefCell<Vec<Fault>>,
}

impl<'a> Faults<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            found: RefCell::default(),
        }
    }

    pub(super) fn add(&self, at: Option<usize>, setting: &str, reason: impl Into<String>) {
        let line = at.map(|at| {
            let before = self.text.get(..at).unwrap_or(self.text);
            before.matches('\n').count() + 1
        });
        self.found.borrow_mut().push(Fault {
            line,
            setting: setting.to_owned(),
            reason: reason.into(),
        });
    }

    /// All of them, in the order of the file; what is missing comes last.
    pub(super) fn finish(self) -> Vec<Fault> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        found
    }
}

/// A section of the file, or the whole of it.
pub(super) struct Section<'a> {
    faults: &'a Faults<'a>,
    /// The path, with a dot at its end; empty for the whole.
    prefix: String,
    /// `None` where it is missing.
    table: Option<&'a DeTable<'a>>,
    /// What was asked for: everything else is unknown.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn whole(table: &'a DeTable<'a>, faults: &'a Faults<'a>) -> Self {
        Self {
            faults,
            prefix: String::new(),
            table: Some(table),
            asked: RefCell::default(),
        }
    }

    pub(super) fn section(&self, name: &'static str) -> Section<'a> {
        let table = self.get(name).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.wrong(name, format!("is a section: [{name}]"));
            }
            table
        });
        Section {
            faults: self.faults,
            prefix: format!("{}{name}.", self.prefix),
            table,
            asked: RefCell::default(),
        }
    }

    fn get(&self, name: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(name);
        self.table?.get(name)
    }

    /// Tells a fault of a setting.
    pub(super) fn wrong(&self, name: &str, reason: impl Into<String>) {
        let at = self.table.and_then(|table| table.get_key_value(name));
        let at = at.map(|(key, _)| key.span().start);
        let setting = format!("{}{name}", self.prefix);
        self.faults.add(at, &setting, reason);
    }

    /// A text that has to be there, of one to so many bytes.
    pub(super) fn text(&self, name: &'static str, bytes_max: usize) -> String {
        let Some(value) = self.get(name) else {
            self.wrong(name, "is missing");
            return String::new();
        };
        let text = value.get_ref().as_str().unwrap_or_default();
        if text.is_empty() || text.len() > bytes_max {
            self.wrong(name, format!("is a text of 1 to {bytes_max} bytes"));
        }
        text.to_owned()
    }

    /// A whole number.
    pub(super) fn number(
        &self,
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(value) = self.get(name) else {
            return default;
        };
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        number
            .filter(|number| allowed.contains(number))
            .unwrap_or_else(|| {
                let (min, max) = allowed.into_inner();
                self.wrong(name, format!("is a whole number of {min} to {max}"));
                default
            })
    }

    /// A length of time, of at least a millisecond.
    pub(super) fn time(&self, name: &'static str, default: u64) -> Duration {
        Duration::from_millis(self.number(name, default, 1..=MS_MAX))
    }

    /// `true` or `false`; the latter if it is not there.
    pub(super) fn flag(&self, name: &'static str) -> bool {
        let Some(value) = self.get(name) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(name, "is true or false");
            false
        })
    }

    /// A list of texts, none of them empty; `None` if it is not there.
    pub(super) fn texts(&self, name: &'static str, example: &str) -> Option<Vec<String>> {
        let value = self.get(name)?;
        let texts = value.get_ref().as_array().and_then(|array| {
            let texts = array.iter().map(|item| item.get_ref().as_str());
            let texts = texts.map(|text| text.filter(|text| !text.is_empty()));
            texts
                .map(|text| text.map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.wrong(name, format!("is a list of texts, as {example}"));
        }
        texts
    }

    /// Whether the setting is there, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Tells of what nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        let names = self.table.into_iter().flat_map(DeTable::keys);
        let names = names.map(|name| name.get_ref().as_ref());
        for name in names.filter(|name| !asked.contains(name)) {
            let reason = format!("is no setting; there are {}", asked.join(", "));
            self.wrong(name, reason);
        }
    }
}
