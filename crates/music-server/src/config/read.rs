//! Reading settings from their sources, collecting every fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::uri::Authority;
use music_store::{TableMode, TableName};
use toml::Value;

use super::setting::{self, Kind, Setting};
use super::{Fault, Overrides, Source, TableConfig};

/// The longest name of a node or site, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The sources, laid over each other, and the faults found so far.
pub(super) struct Reader {
    values: BTreeMap<&'static str, (Value, Source)>,
    faults: Vec<Fault>,
}

impl Reader {
    /// Lays the sources over each other.
    pub(super) fn new(
        file: &toml::Table,
        environment: &impl Fn(&str) -> Option<String>,
        overrides: &Overrides,
    ) -> Self {
        let mut reader = Self {
            values: BTreeMap::new(),
            faults: Vec::new(),
        };
        reader.take_file("", file);
        for setting in setting::ALL {
            if let Some(text) = environment(&setting::variable(setting.path)) {
                reader.take_text(setting, &text, Source::Environment);
            }
        }
        for (setting, text) in flags(overrides) {
            if let Some(text) = text {
                reader.take_text(setting, text, Source::Flag);
            }
        }
        reader
    }

    fn take_file(&mut self, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            let section = format!("{path}.");
            match setting::ALL.iter().find(|setting| setting.path == path) {
                Some(setting) => {
                    self.values
                        .insert(setting.path, (value.clone(), Source::File));
                }
                None if setting::ALL
                    .iter()
                    .any(|other| other.path.starts_with(&section)) =>
                {
                    match value.as_table() {
                        Some(inner) => self.take_file(&path, inner),
                        None => self.fault(&path, Source::File, format!("is a section: [{path}]")),
                    }
                }
                None => self.unknown(&path, prefix),
            }
        }
    }

    fn unknown(&mut self, path: &str, prefix: &str) {
        let known = |setting: &&&Setting| match setting.path.rsplit_once('.') {
            Some((section, _)) => section == prefix,
            None => prefix.is_empty(),
        };
        let names = setting::ALL
            .iter()
            .filter(known)
            .map(|setting| setting.path);
        let names = names.collect::<Vec<_>>().join(", ");
        self.fault(
            path,
            Source::File,
            format!("is no setting; there are {names}"),
        );
    }

    /// Takes a value that came as text, as the kind has it in TOML.
    fn take_text(&mut self, setting: &Setting, text: &str, source: Source) {
        let words = || {
            text.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
        };
        let value = match setting.kind {
            Kind::Number(..) => text
                .trim()
                .parse()
                .map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
            Kind::Names | Kind::Endpoints => Value::Array(words().map(Value::from).collect()),
            Kind::Replication => Value::Table(words().map(replicas_from_text).collect()),
            Kind::Tables => Value::Array(words().map(table_from_text).collect()),
            Kind::Name
            | Kind::Text
            | Kind::Address
            | Kind::Authority
            | Kind::Path
            | Kind::Choice(_) => Value::String(text.to_owned()),
        };
        if let Some(setting) = setting::ALL.iter().find(|other| other.path == setting.path) {
            self.values.insert(setting.path, (value, source));
        }
    }

    /// Records a fault.
    pub(super) fn fault(&mut self, path: &str, source: Source, reason: String) {
        self.faults.push(Fault {
            setting: path.to_owned(),
            source,
            reason,
        });
    }

    /// Records a fault of a setting that has a value of the right kind.
    pub(super) fn contradiction(&mut self, setting: &Setting, reason: String) {
        let source = self
            .values
            .get(setting.path)
            .map_or(Source::Default, |(_, source)| *source);
        self.fault(setting.path, source, reason);
    }

    /// All faults found.
    pub(super) fn finish(self) -> Result<(), super::Error> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(super::Error::Faults(self.faults))
        }
    }

    /// The value of a setting; the default where it is faulty.
    fn get<T>(
        &mut self,
        setting: &Setting,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if let Some((value, source)) = self.values.get(setting.path) {
            match read(value) {
                Ok(value) => return Some(value),
                Err(reason) => {
                    let source = *source;
                    self.fault(setting.path, source, reason);
                }
            }
        }
        // A default is tested to be readable.
        let default = format!("v = {}", setting.default)
            .parse::<toml::Table>()
            .ok()?;
        default.get("v").and_then(|value| read(value).ok())
    }

    pub(super) fn text(&mut self, setting: &Setting) -> String {
        self.get(setting, |value| text(setting, value))
            .unwrap_or_default()
    }

    pub(super) fn path(&mut self, setting: &Setting) -> Option<PathBuf> {
        let text = self.text(setting);
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    pub(super) fn address(&mut self, setting: &Setting) -> SocketAddr {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.get(setting, address).unwrap_or(any)
    }

    pub(super) fn number(&mut self, setting: &Setting) -> u64 {
        self.get(setting, |value| number(setting, value))
            .unwrap_or_default()
    }

    pub(super) fn size(&mut self, setting: &Setting) -> usize {
        usize::try_from(self.number(setting)).unwrap_or(usize::MAX)
    }

    pub(super) fn duration(&mut self, setting: &Setting) -> Duration {
        Duration::from_millis(self.number(setting))
    }

    pub(super) fn names(&mut self, setting: &Setting) -> Vec<String> {
        self.get(setting, names).unwrap_or_default()
    }

    pub(super) fn endpoints(&mut self, setting: &Setting) -> Vec<String> {
        self.get(setting, endpoints).unwrap_or_default()
    }

    pub(super) fn replication(&mut self, setting: &Setting) -> BTreeMap<String, u8> {
        self.get(setting, replication).unwrap_or_default()
    }

    pub(super) fn tables(&mut self, setting: &Setting) -> Vec<TableConfig> {
        self.get(setting, tables).unwrap_or_default()
    }
}

fn flags(overrides: &Overrides) -> [(&'static Setting, Option<&str>); 9] {
    let Overrides {
        node,
        site,
        listen,
        state,
        locks,
        dir,
        profile,
        log_level,
        log_format,
    } = overrides;
    [
        (&setting::NODE, node.as_deref()),
        (&setting::SITE, site.as_deref()),
        (&setting::LISTEN, listen.as_deref()),
        (&setting::ENGINE_STATE, state.as_deref()),
        (&setting::ENGINE_LOCKS, locks.as_deref()),
        (&setting::EMBEDDED_DIR, dir.as_deref()),
        (&setting::EMBEDDED_PROFILE, profile.as_deref()),
        (&setting::LOG_LEVEL, log_level.as_deref()),
        (&setting::LOG_FORMAT, log_format.as_deref()),
    ]
}

fn replicas_from_text(text: &str) -> (String, Value) {
    let (datacentre, replicas) = text.split_once('=').unwrap_or((text, ""));
    let replicas = replicas
        .parse()
        .map_or_else(|_| Value::from(replicas), Value::Integer);
    (datacentre.to_owned(), replicas)
}

fn table_from_text(text: &str) -> Value {
    let (name, mode) = text.split_once('=').unwrap_or((text, ""));
    let entries = [("name", name), ("mode", mode)];
    let entries = entries.map(|(key, value)| (key.to_owned(), Value::from(value)));
    Value::Table(entries.into_iter().collect())
}

fn text(setting: &Setting, value: &Value) -> Result<String, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("is a string, not {value}"))?;
    match setting.kind {
        Kind::Choice(words) if !words.contains(&text) => {
            Err(format!("is one of {}, not \"{text}\"", words.join(", ")))
        }
        Kind::Authority if !text.is_empty() && !is_authority(text) => Err(format!(
            "is a host and a port, as music-1.example:7410, not \"{text}\""
        )),
        Kind::Name if !is_name(text) => Err(format!("is {NAME_RULE}, not \"{text}\"")),
        _ => Ok(text.to_owned()),
    }
}

const NAME_RULE: &str = "a name: 1 to 64 of a-z, 0-9, _, - and .";

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_authority(text: &str) -> bool {
    let authority = text.parse::<Authority>().ok();
    authority.is_some_and(|it| it.port_u16().is_some() && !it.as_str().contains('@'))
}

fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = value.as_str().unwrap_or_default();
    text.parse()
        .ok()
        .ok_or_else(|| format!("is an address and a port, as 127.0.0.1:7410, not {value}"))
}

fn number(setting: &Setting, value: &Value) -> Result<u64, String> {
    let Kind::Number(low, high) = setting.kind else {
        return Err("is no number".to_owned());
    };
    let number = value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok());
    number
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| format!("is a whole number from {low} to {high}, not {value}"))
}

fn names(value: &Value) -> Result<Vec<String>, String> {
    let list = value
        .as_array()
        .ok_or_else(|| format!("is a list of names, not {value}"))?;
    let mut names = Vec::new();
    for value in list {
        let name = value.as_str().filter(|name| is_name(name));
        let name =
            name.ok_or_else(|| format!("is a list of names, each {NAME_RULE}, not {value}"))?;
        if names.iter().any(|other| other == name) {
            return Err(format!("has \"{name}\" twice: give each once"));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn endpoints(value: &Value) -> Result<Vec<String>, String> {
    let rule = "is a list of addresses, each once";
    let list = value
        .as_array()
        .ok_or_else(|| format!("{rule}, not {value}"))?;
    let mut endpoints: Vec<String> = Vec::new();
    for value in list {
        let endpoint = value.as_str().filter(|text| !text.is_empty());
        let endpoint = endpoint.ok_or_else(|| format!("{rule}, not {value}"))?;
        if endpoints.iter().any(|other| other == endpoint) {
            return Err(format!("has \"{endpoint}\" twice: give each once"));
        }
        endpoints.push(endpoint.to_owned());
    }
    Ok(endpoints)
}

fn replication(value: &Value) -> Result<BTreeMap<String, u8>, String> {
    let rule = "has a number of replicas, 1 to 255, for each data centre, as { ohio = 1 }";
    let table = value
        .as_table()
        .ok_or_else(|| format!("{rule}, not {value}"))?;
    let replicas = |(datacentre, replicas): (&String, &Value)| {
        let number = replicas
            .as_integer()
            .and_then(|number| u8::try_from(number).ok());
        let number = number.filter(|number| *number > 0 && !datacentre.is_empty());
        let number = number.ok_or_else(|| format!("{rule}, not {datacentre} = {replicas}"))?;
        Ok((datacentre.clone(), number))
    };
    table.iter().map(replicas).collect()
}

fn tables(value: &Value) -> Result<Vec<TableConfig>, String> {
    let list = value
        .as_array()
        .ok_or_else(|| "is a list of tables: [[tables]]".to_owned())?;
    let mut tables: Vec<TableConfig> = Vec::new();
    for value in list {
        let table = table(value)?;
        if tables.iter().any(|other| other.name == table.name) {
            return Err(format!("has \"{}\" twice: give each once", table.name));
        }
        tables.push(table);
    }
    Ok(tables)
}

fn table(value: &Value) -> Result<TableConfig, String> {
    let rule = "has entries of a name and a mode, critical or eventual";
    let entries = value
        .as_table()
        .ok_or_else(|| format!("{rule}, not {value}"))?;
    if let Some(name) = entries
        .keys()
        .find(|name| !["name", "mode"].contains(&name.as_str()))
    {
        return Err(format!("{rule}, and no `{name}`"));
    }
    let get = |name| {
        entries
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mode = match get("mode") {
        "critical" => TableMode::Critical,
        "eventual" => TableMode::Eventual,
        _ => return Err(format!("{rule}, not {value}")),
    };
    let name = TableName::new(get("name")).map_err(|error| format!("{rule}: {error}"))?;
    Ok(TableConfig { name, mode })
}
