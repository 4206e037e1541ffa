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
    /// A host with a port; empty for none.
    Authority,
    /// A path; empty for none.
    Path,
    /// A whole number, both ends included.
    Number(u64, u64),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list of names, each once.
    Names,
    /// A list of addresses, each once, in the engine's own form.
    Endpoints,
    /// How many replicas each data centre has: a table of numbers.
    Replication,
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
pub(super) const ADVERTISE: Setting = setting(
    "advertise",
    Kind::Authority,
    "\"\"",
    "Where the other nodes reach the API, as host:port; empty for the address where it listens, \
     unless that is every address. Nodes tell each other of locks, where the lock engine does not.",
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

pub(super) const ENGINE_STATE: Setting = setting(
    "engine.state",
    Kind::Choice(&["embedded", "cassandra"]),
    "\"embedded\"",
    "Where the state is. `embedded` keeps the replicas of all sites in this process.",
);
pub(super) const ENGINE_LOCKS: Setting = setting(
    "engine.locks",
    Kind::Choice(&["embedded", "cassandra", "etcd", "zookeeper"]),
    "\"embedded\"",
    "Where the lock queues are. `embedded` where the state is, and nowhere else.",
);

pub(super) const EMBEDDED_DIR: Setting = setting(
    "embedded.dir",
    Kind::Path,
    "\"\"",
    "Where the engine keeps its files; empty for memory only, lost at the end.",
);
pub(super) const EMBEDDED_PROFILE: Setting = setting(
    "embedded.profile",
    Kind::Choice(super::engine::PROFILES),
    "\"local3\"",
    "The delays between the sites.",
);
pub(super) const EMBEDDED_SITES: Setting = setting(
    "embedded.sites",
    Kind::Names,
    "[]",
    "The names of the sites, as many as the profile has or fewer; empty for the profile's own.",
);

pub(super) const CASSANDRA_CONTACT_POINTS: Setting = setting(
    "cassandra.contact_points",
    Kind::Endpoints,
    "[]",
    "`host:port` of some of Cassandra's nodes, those of the own site first; the others are found \
     through them.",
);
pub(super) const CASSANDRA_KEYSPACE: Setting = setting(
    "cassandra.keyspace",
    Kind::Text,
    "\"music\"",
    "The keyspace that holds all that MUSIC keeps: `a` to `z`, digits and `_`.",
);
pub(super) const CASSANDRA_DATACENTRE: Setting = setting(
    "cassandra.datacentre",
    Kind::Text,
    "\"\"",
    "The data centre of this node's site, by Cassandra's name; empty where it is that of the site.",
);
pub(super) const CASSANDRA_REPLICATION: Setting = setting(
    "cassandra.replication",
    Kind::Replication,
    "{}",
    "How many replicas each data centre has: `{ ohio = 1, oregon = 1 }`. All data centres that \
     hold state, the same at all nodes.",
);
pub(super) const CASSANDRA_USER: Setting = setting(
    "cassandra.user",
    Kind::Text,
    "\"\"",
    "Who logs in; empty where Cassandra asks nobody.",
);
pub(super) const CASSANDRA_PASSWORD: Setting = setting(
    "cassandra.password",
    Kind::Text,
    "\"\"",
    "The user's password; better as the variable than in a file.",
);
pub(super) const CASSANDRA_REQUEST_MS: Setting = setting(
    "cassandra.request_timeout_ms",
    Kind::Number(100, HOUR_MS),
    "3000",
    "How long one request may take: longer than Cassandra's own time-outs, so that it says what \
     has timed out.",
);
pub(super) const CASSANDRA_CALL_MS: Setting = setting(
    "cassandra.call_timeout_ms",
    Kind::Number(100, HOUR_MS),
    "10000",
    "How long one read, write or command may take, with all its requests.",
);

pub(super) const ETCD_ENDPOINTS: Setting = setting(
    "etcd.endpoints",
    Kind::Endpoints,
    "[]",
    "Members, as `http://host:port`, that of the own site first.",
);
pub(super) const ETCD_PREFIX: Setting = setting(
    "etcd.prefix",
    Kind::Text,
    "\"music/queues/\"",
    "What the names of all keys begin with; the same at all nodes.",
);
pub(super) const ETCD_USER: Setting = setting(
    "etcd.user",
    Kind::Text,
    "\"\"",
    "Who logs in; empty where etcd asks nobody.",
);
pub(super) const ETCD_PASSWORD: Setting = setting(
    "etcd.password",
    Kind::Text,
    "\"\"",
    "The user's password; better as the variable than in a file.",
);
pub(super) const ETCD_CALL_MS: Setting = setting(
    "etcd.call_timeout_ms",
    Kind::Number(100, HOUR_MS),
    "5000",
    "How long one command may take.",
);

pub(super) const ZOOKEEPER_ENDPOINTS: Setting = setting(
    "zookeeper.endpoints",
    Kind::Endpoints,
    "[]",
    "Servers, as `host:port`, that of the own site first.",
);
pub(super) const ZOOKEEPER_ROOT: Setting = setting(
    "zookeeper.root",
    Kind::Text,
    "\"/music/queues\"",
    "The znode below which all queues are; the same at all nodes.",
);
pub(super) const ZOOKEEPER_USER: Setting = setting(
    "zookeeper.user",
    Kind::Text,
    "\"\"",
    "With whose rights the znodes are made (scheme `digest`); empty for everybody's.",
);
pub(super) const ZOOKEEPER_PASSWORD: Setting = setting(
    "zookeeper.password",
    Kind::Text,
    "\"\"",
    "The user's password; better as the variable than in a file.",
);
pub(super) const ZOOKEEPER_CALL_MS: Setting = setting(
    "zookeeper.call_timeout_ms",
    Kind::Number(100, HOUR_MS),
    "5000",
    "How long one command may take.",
);

pub(super) const AFFINITY_IDLE_MS: Setting = setting(
    "affinity.idle_ms",
    Kind::Number(0, HOUR_MS),
    "5000",
    "How long a node keeps a lock that its own clients alone have used lately, for the next of \
     them: that one asks no other site. Other sites that want it are let in at once. 0 keeps none.",
);
pub(super) const AFFINITY_HAND_OVERS_MAX: Setting = setting(
    "affinity.hand_overs_max",
    Kind::Number(1, u16::MAX as u64),
    "1000",
    "How many sections follow each other under one kept lock, before it is asked for anew.",
);

pub(super) const AFFINITY_TURN_MS: Setting = setting(
    "affinity.turn_ms",
    Kind::Number(0, 60_000),
    "400",
    "How long a lock goes from one of a node's waiting clients to the next while other sites wait \
     for it too.",
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
     `info,music_server=debug`. The drivers are silent unless named: `info,scylla=warn`.",
);

pub(super) const TRACE_OTLP_ENDPOINT: Setting = setting(
    "trace.otlp_endpoint",
    Kind::Text,
    "\"\"",
    "Where traces go by OTLP over HTTP, as `http://127.0.0.1:4318`; empty for no traces: see \
     [tracing.md](tracing.md).",
);
pub(super) const TRACE_SAMPLES_PER_MILLION: Setting = setting(
    "trace.samples_per_million",
    Kind::Number(0, 1_000_000),
    "1000000",
    "How many of a million traces are kept that begin at this node; where a client began a trace, \
     it has decided.",
);
pub(super) const TRACE_QUEUE_SPANS_MAX: Setting = setting(
    "trace.queue_spans_max",
    Kind::Number(1, 1_000_000),
    "8192",
    "How many spans wait for the collector; further ones are dropped.",
);

/// Every setting, in the order of the page.
pub(super) const ALL: &[&Setting] = &[
    &NODE,
    &SITE,
    &LISTEN,
    &ADVERTISE,
    &SHUTDOWN_MS,
    &TABLES,
    &NODE_LEASE_MS,
    &CLIENT_LEASE_DEFAULT_MS,
    &CLIENT_LEASE_MAX_MS,
    &VALUE_BYTES_MAX,
    &ENGINE_STATE,
    &ENGINE_LOCKS,
    &EMBEDDED_DIR,
    &EMBEDDED_PROFILE,
    &EMBEDDED_SITES,
    &CASSANDRA_CONTACT_POINTS,
    &CASSANDRA_KEYSPACE,
    &CASSANDRA_DATACENTRE,
    &CASSANDRA_REPLICATION,
    &CASSANDRA_USER,
    &CASSANDRA_PASSWORD,
    &CASSANDRA_REQUEST_MS,
    &CASSANDRA_CALL_MS,
    &ETCD_ENDPOINTS,
    &ETCD_PREFIX,
    &ETCD_USER,
    &ETCD_PASSWORD,
    &ETCD_CALL_MS,
    &ZOOKEEPER_ENDPOINTS,
    &ZOOKEEPER_ROOT,
    &ZOOKEEPER_USER,
    &ZOOKEEPER_PASSWORD,
    &ZOOKEEPER_CALL_MS,
    &AFFINITY_IDLE_MS,
    &AFFINITY_HAND_OVERS_MAX,
    &AFFINITY_TURN_MS,
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
    &TRACE_OTLP_ENDPOINT,
    &TRACE_SAMPLES_PER_MILLION,
    &TRACE_QUEUE_SPANS_MAX,
];
