//! The table of settings.

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A name: 1 to 64 of a-z, 0-9, `_`, `-` and `.`.
    Name,
    /// Any text.
    Text,
    /// An address with a port.
    Address,
    /// A path; empty for none.
    Path,
    /// A whole number, both ends included.
    Number(u64, u64),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of names, each once.
    Names,
    /// A list of tables: name and mode.
    Tables,
}

/// A setting.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its place in the file, dotted.
    pub(super) path: &'static str,
    /// What it may be.
    pub(super) kind: Kind,
    /// The default, as TOML.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) meaning: &'static str,
}

/// The variable that sets the setting at `path`.
pub(super) fn variable(path: &str) -> String {
    format!("MUSIC_{}", path.replace('.', "_").to_uppercase())
}

const fn setting(
    path: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        path,
        kind,
        default,
        meaning,
    }
}

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
const GIBIBYTE: u64 = 1 << 30;

pub(super) const NODE: Setting = setting(
    "node",
    Kind::Name,
    "\"node-1\"",
    "The node's name, unique in the deployment.",
);
pub(super) const SITE: Setting = setting(
    "site",
    Kind::Name,
    "\"site-1\"",
    "The site that the node serves.",
);
pub(super) const LISTEN: Setting = setting(
    "listen",
    Kind::Address,
    "\"127.0.0.1:7410\"",
    "Where the API listens. It has no authentication: keep it within a network that you trust.",
);
pub(super) const SHUTDOWN_MS: Setting = setting(
    "shutdown_timeout_ms",
    Kind::Number(0, HOUR_MS),
    "10000",
    "How long a shutdown may take: requests end, what is held is released; then all is cut.",
);

pub(super) const NODE_LEASE_MS: Setting = setting(
    "cluster.node_lease_ms",
    Kind::Number(100, DAY_MS),
    "5000",
    "How long a node may go unheard before others force its tickets.",
);
pub(super) const CLIENT_LEASE_DEFAULT_MS: Setting = setting(
    "cluster.client_lease_default_ms",
    Kind::Number(100, DAY_MS),
    "10000",
    "The lease of a client that does not ask for another.",
);
pub(super) const CLIENT_LEASE_MAX_MS: Setting = setting(
    "cluster.client_lease_max_ms",
    Kind::Number(100, DAY_MS),
    "600000",
    "The longest lease that a client may ask for.",
);
pub(super) const VALUE_BYTES_MAX: Setting = setting(
    "cluster.value_bytes_max",
    Kind::Number(1, GIBIBYTE),
    "1048576",
    "The largest value of a field.",
);

pub(super) const ENGINE_KIND: Setting = setting(
    "engine.kind",
    Kind::Choice(&["embedded"]),
    "\"embedded\"",
    "The engine. `embedded` keeps the replicas of all sites in this process.",
);
pub(super) const ENGINE_DIR: Setting = setting(
    "engine.dir",
    Kind::Path,
    "\"\"",
    "Where the engine keeps its files; empty for memory only, lost at the end.",
);
pub(super) const ENGINE_PROFILE: Setting = setting(
    "engine.profile",
    Kind::Choice(super::validate::PROFILES),
    "\"local3\"",
    "The delays between the sites.",
);
pub(super) const ENGINE_SITES: Setting = setting(
    "engine.sites",
    Kind::Names,
    "[]",
    "The names of the sites, as many as the profile has or fewer; empty for the profile's own.",
);

pub(super) const CONNECTIONS_MAX: Setting = setting(
    "limits.connections_max",
    Kind::Number(1, 1_000_000),
    "10000",
    "Connections at a time; a further one is told 503 and closed.",
);
pub(super) const IN_FLIGHT_MAX: Setting = setting(
    "limits.in_flight_max",
    Kind::Number(1, 1_000_000),
    "10000",
    "Requests under way at a time, waiting ones included.",
);
pub(super) const WATCHERS_MAX: Setting = setting(
    "limits.watchers_max",
    Kind::Number(0, 1_000_000),
    "1000",
    "Event streams at a time.",
);
pub(super) const SECTIONS_MAX: Setting = setting(
    "limits.sections_max",
    Kind::Number(1, 10_000_000),
    "100000",
    "Critical sections that the node keeps at a time.",
);
pub(super) const BODY_BYTES_MAX: Setting = setting(
    "limits.body_bytes_max",
    Kind::Number(1024, GIBIBYTE),
    "4194304",
    "The largest JSON body. Must fit one value in base64: 4/3 of cluster.value_bytes_max.",
);
pub(super) const BODY_TIMEOUT_MS: Setting = setting(
    "limits.body_timeout_ms",
    Kind::Number(10, HOUR_MS),
    "30000",
    "How long a body may take to arrive.",
);
pub(super) const HEAD_TIMEOUT_MS: Setting = setting(
    "limits.head_timeout_ms",
    Kind::Number(10, HOUR_MS),
    "100000",
    "How long a connection may take to send a request's head, idle time included.",
);
pub(super) const WAIT_MAX_MS: Setting = setting(
    "limits.wait_max_ms",
    Kind::Number(0, HOUR_MS),
    "60000",
    "The longest wait for a grant that a client may ask for.",
);

pub(super) const TABLES: Setting = setting(
    "tables",
    Kind::Tables,
    "[]",
    "Tables to create at start, where they are not there: \
     `[{ name = \"kv\", mode = \"eventual\" }]`.",
);

pub(super) const LOG_FORMAT: Setting = setting(
    "log.format",
    Kind::Choice(&["human", "json"]),
    "\"human\"",
    "The form of a log line.",
);
pub(super) const LOG_LEVEL: Setting = setting(
    "log.level",
    Kind::Text,
    "\"info\"",
    "What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives such as \
     `info,music_server=debug`.",
);

/// Every setting, in the order of the page.
pub(super) const ALL: &[&Setting] = &[
    &NODE,
    &SITE,
    &LISTEN,
    &SHUTDOWN_MS,
    &TABLES,
    &NODE_LEASE_MS,
    &CLIENT_LEASE_DEFAULT_MS,
    &CLIENT_LEASE_MAX_MS,
    &VALUE_BYTES_MAX,
    &ENGINE_KIND,
    &ENGINE_DIR,
    &ENGINE_PROFILE,
    &ENGINE_SITES,
    &CONNECTIONS_MAX,
    &IN_FLIGHT_MAX,
    &WATCHERS_MAX,
    &SECTIONS_MAX,
    &BODY_BYTES_MAX,
    &BODY_TIMEOUT_MS,
    &HEAD_TIMEOUT_MS,
    &WAIT_MAX_MS,
    &LOG_FORMAT,
    &LOG_LEVEL,
];
