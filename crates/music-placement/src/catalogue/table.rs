//! Takes settings out of a TOML table and gathers every fault on the way.
//!
//! A derived deserializer stops at its first fault. This one notes the fault,
//! goes on with a stand-in, and what is left in the table at the end is unknown.

use std::collections::BTreeSet;

use super::{AMOUNT_MAX, CatalogueFault};

/// One table being taken apart.
///
/// Stand-ins (zero, the empty text) never leave the module that calls: a
/// catalogue with a single fault is dropped whole.
pub(super) struct TableReader<'a> {
    path: String,
    table: toml::Table,
    faults: &'a mut Vec<CatalogueFault>,
}

impl<'a> TableReader<'a> {
    /// Starts on a table; `path` is empty for the whole file.
    pub(super) fn new(
        path: String,
        table: toml::Table,
        faults: &'a mut Vec<CatalogueFault>,
    ) -> Self {
        Self {
            path,
            table,
            faults,
        }
    }

    /// A required text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> String {
        match self.required(key) {
            Some(toml::Value::String(text)) if !text.is_empty() => text,
            Some(toml::Value::String(_)) => {
                self.faults.push(CatalogueFault::Missing {
                    setting: self.setting(key),
                });
                String::new()
            }
            Some(other) => self.wrong_type(key, "a text", &other),
            None => String::new(),
        }
    }

    /// A required whole number from `min` to [`AMOUNT_MAX`].
    pub(super) fn amount(&mut self, key: &str, min: u64) -> u64 {
        match self.required(key) {
            Some(toml::Value::Integer(found)) => match u64::try_from(found) {
                Ok(amount) if (min..=AMOUNT_MAX).contains(&amount) => amount,
                _ => {
                    let setting = self.setting(key);
                    let max = AMOUNT_MAX;
                    self.faults.push(CatalogueFault::OutOfRange {
                        setting,
                        found,
                        min,
                        max,
                    });
                    0
                }
            },
            Some(other) => self.wrong_type(key, "a whole number", &other),
            None => 0,
        }
    }

    /// An optional list of texts; empty if it is not there.
    pub(super) fn texts(&mut self, key: &str) -> BTreeSet<String> {
        let items = match self.table.remove(key) {
            Some(toml::Value::Array(items)) => items,
            Some(other) => return self.wrong_type(key, "a list of texts", &other),
            None => return BTreeSet::new(),
        };
        let mut texts = BTreeSet::new();
        for (position, item) in items.into_iter().enumerate() {
            match item {
                toml::Value::String(text) => {
                    texts.insert(text);
                }
                other => {
                    let key = format!("{key}[{position}]");
                    self.wrong_type::<()>(&key, "a text", &other);
                }
            }
        }
        texts
    }

    /// An optional table.
    pub(super) fn table(&mut self, key: &str) -> Option<toml::Table> {
        match self.table.remove(key)? {
            toml::Value::Table(table) => Some(table),
            other => self.wrong_type(key, "a table", &other),
        }
    }

    /// An optional table of at most `max` tables, by name.
    pub(super) fn tables(&mut self, key: &'static str, max: usize) -> Vec<(String, toml::Table)> {
        let entries = self.table(key).unwrap_or_default();
        if entries.len() > max {
            let found = entries.len();
            self.faults.push(CatalogueFault::TooMany {
                setting: key,
                found,
                max,
            });
            return Vec::new();
        }
        let mut tables = Vec::new();
        for (name, value) in entries {
            match value {
                toml::Value::Table(table) => tables.push((name, table)),
                other => self.wrong_type(&format!("{key}.{name:?}"), "a table", &other),
            }
        }
        tables
    }

    /// Reports what nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let setting = join(&self.path, key);
            self.faults.push(CatalogueFault::Unknown { setting });
        }
    }

    fn required(&mut self, key: &str) -> Option<toml::Value> {
        let value = self.table.remove(key);
        if value.is_none() {
            self.faults.push(CatalogueFault::Missing {
                setting: self.setting(key),
            });
        }
        value
    }

    fn wrong_type<T: Default>(
        &mut self,
        key: &str,
        expected: &'static str,
        value: &toml::Value,
    ) -> T {
        let setting = self.setting(key);
        let found = value.type_str();
        self.faults.push(CatalogueFault::WrongType {
            setting,
            expected,
            found,
        });
        T::default()
    }

    fn setting(&self, key: &str) -> String {
        join(&self.path, key)
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
