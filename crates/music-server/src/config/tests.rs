use std::path::Path;

use music_core::time::Lease;

use super::setting::Kind;
use super::*;

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, |_| None, &Overrides::default())
}

fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Err(Error::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("not a list of faults: {other:?}"),
    }
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.limits.wait_max, Duration::from_mins(1));
    assert_eq!(config.cluster.value_bytes_max, 1 << 20);
    assert_eq!(config.log.format, LogFormat::Human);
}

#[test]
fn every_default_is_within_its_own_bounds() {
    for setting in setting::ALL {
        let table: toml::Table = format!("v = {}", setting.default).parse().unwrap();
        let text = setting.path.rsplit('.').rev().collect::<Vec<_>>();
        let value = table.get("v").unwrap();
        let text = match text.as_slice() {
            [name] => format!("{name} = {value}"),
            [section, name] => format!("[{section}]\n{name} = {value}"),
            other => panic!("{other:?}"),
        };
        parse(&text).unwrap();
    }
}

#[test]
fn traces_go_to_an_address_or_nowhere() {
    assert_eq!(parse("").unwrap().trace, TraceConfig::default());
    let text = "[trace]\notlp_endpoint = \"collector:4318\"\nsamples_per_million = 1000001";
    let faults = faults(text);
    let [endpoint, samples] = faults.as_slice() else {
        panic!("{faults:?}")
    };
    assert!(
        samples.starts_with("trace.samples_per_million: "),
        "{samples}"
    );
    assert!(
        endpoint.starts_with("trace.otlp_endpoint: is http://"),
        "{endpoint}"
    );
}

#[test]
fn sites_that_the_engine_would_refuse_are_a_fault() {
    for (sites, why) in [
        (r#"["a", "b", "c", "d"]"#, "has 3 sites, not 4"),
        (r#"["a", "b_1"]"#, "'b_1' cannot name a site"),
        (r#"["a", "host"]"#, "'host' cannot name a site"),
    ] {
        let text = format!("site = 'a'\n[embedded]\nprofile = 'local3'\nsites = {sites}");
        let faults = faults(&text);
        let [fault] = faults.as_slice() else {
            panic!("{faults:?}")
        };
        let start = "embedded.sites: does not fit embedded.profile: ";
        assert!(fault.starts_with(start) && fault.contains(why), "{fault}");
    }
}

const THREE_SITES: &str = r#"
    site = "ohio"
    [engine]
    state = "cassandra"
    locks = "zookeeper"
    [cassandra]
    contact_points = ["127.0.0.1:9042"]
    replication = { ohio = 1, oregon = 2 }
    [zookeeper]
    endpoints = ["127.0.0.1:2181"]
"#;

#[test]
fn engines_are_chosen_independently() {
    let environment = |name: &str| match name {
        "MUSIC_CASSANDRA_REPLICATION" => Some("ohio=3, oregon=1".to_owned()),
        "MUSIC_CASSANDRA_USER" => Some("music".to_owned()),
        "MUSIC_ETCD_ENDPOINTS" => Some("http://a:1,http://b:1".to_owned()),
        "MUSIC_ENGINE_LOCKS" => Some("etcd".to_owned()),
        _ => None,
    };
    let of_file = parse(THREE_SITES).unwrap().engine;
    let EngineConfig::Services(of_file) = of_file else {
        panic!("{of_file:?}")
    };
    let ServicesConfig { state, locks } = *of_file;
    assert_eq!(state.datacentre, "ohio");
    assert_eq!(state.replication["oregon"], 2);
    assert!(state.credentials.is_none());
    let LocksConfig::ZooKeeper(zookeeper) = locks else {
        panic!("{locks:?}")
    };
    assert_eq!(zookeeper.endpoints, ["127.0.0.1:2181"]);

    let config = Config::parse(THREE_SITES, environment, &Overrides::default());
    let EngineConfig::Services(services) = config.unwrap().engine else {
        panic!("no services")
    };
    let ServicesConfig { state, locks } = *services;
    assert_eq!(
        (state.replication["ohio"], state.replication["oregon"]),
        (3, 1)
    );
    assert_eq!(state.credentials.unwrap().user, "music");
    let LocksConfig::Etcd(etcd) = locks else {
        panic!("{locks:?}")
    };
    assert_eq!(etcd.endpoints, ["http://a:1", "http://b:1"]);
}

#[test]
fn the_examples_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    for (name, wanted) in [
        ("cassandra.toml", "Cassandra"),
        ("cassandra-etcd.toml", "Etcd"),
        ("cassandra-zookeeper.toml", "ZooKeeper"),
    ] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let config = parse(&text).unwrap();
        let EngineConfig::Services(services) = config.engine else {
            panic!("{name}")
        };
        let locks = format!("{:?}", services.locks);
        assert!(locks.starts_with(wanted), "{locks}");
        assert_eq!(config.tables.len(), 2);
    }
}

#[test]
fn engines_that_do_not_fit_are_a_fault_each() {
    for (text, fault) in [
        (
            "[engine]\nlocks = 'etcd'",
            "engine.locks: is embedded where",
        ),
        (
            "[engine]\nstate = 'mongo'",
            "engine.state: is one of embedded, cassandra",
        ),
        (
            &THREE_SITES.replace("\"zookeeper\"", "\"embedded\""),
            "engine.locks: is cassandra, etcd",
        ),
        (&THREE_SITES.replace("\"ohio\"", "\"Ohio\""), "site:"),
        (
            &THREE_SITES.replace("\"ohio\"", "\"utah\""),
            "cassandra.replication: gives the data centre utah",
        ),
        (
            &THREE_SITES.replace("oregon = 2", "oregon = 0"),
            "cassandra.replication: has a number",
        ),
        (
            &THREE_SITES.replace("oregon = 2", "oregon = 'x'"),
            "cassandra.replication: has a number",
        ),
        (
            &THREE_SITES.replace("[\"127.0.0.1:9042\"]", "[]"),
            "cassandra.contact_points: is empty",
        ),
        (
            &THREE_SITES.replace("[\"127.0.0.1:2181\"]", "[]"),
            "zookeeper.endpoints: is empty",
        ),
        (
            &THREE_SITES.replace("[\"127.0.0.1:2181\"]", "['a', 'a']"),
            "zookeeper.endpoints: has \"a\" twice",
        ),
        (
            "[cassandra]\nkeyspace = 'Music'",
            "cassandra.keyspace: is no name",
        ),
        ("[etcd]\npassword = 'secret'", "etcd.user: is missing"),
    ] {
        let faults = faults(text);
        assert!(faults[0].starts_with(fault), "{faults:?}");
        assert!(!faults[0].contains("secret"), "{faults:?}");
    }
}

#[test]
fn the_bounds_of_leases_are_those_of_the_protocol() {
    for setting in [setting::NODE_LEASE_MS, setting::CLIENT_LEASE_MAX_MS] {
        let Kind::Number(low, high) = setting.kind else {
            panic!("{setting:?}")
        };
        assert_eq!(Lease::new(Duration::from_millis(low)), Some(Lease::MIN));
        assert_eq!(Lease::new(Duration::from_millis(high)), Some(Lease::MAX));
    }
}

#[test]
fn all_faults_are_reported_together() {
    let faults = faults(
        r#"
        node = "Node One"
        colour = "red"
        listen = 7410
        tables = [{ name = "kv", mode = "eventual" }, { name = "kv", mode = "critical" }]
        limits = 3
        [cluster]
        node_lease_ms = -1
        client_lease_default_ms = 20000
        client_lease_max_ms = 10000
        [embedded]
        profile = "moon"
        sites = ["a", "b"]
        dirr = "x"
        [log]
        level = "info,=,"
        "#,
    );
    let about = |setting: &str| {
        faults
            .iter()
            .find(|fault| fault.starts_with(setting))
            .unwrap()
    };
    assert!(about("node:").contains("1 to 64 of a-z"));
    assert!(about("colour:").contains("no setting; there are node, site, listen"));
    assert!(about("listen:").contains("127.0.0.1:7410"));
    assert!(about("tables:").contains("twice"));
    assert!(about("limits:").contains("[limits]"));
    assert!(about("cluster.node_lease_ms:").contains("100 to 86400000, not -1"));
    assert!(about("cluster.client_lease_default_ms:").contains("which is 10000"));
    assert!(about("embedded.profile:").contains("lUsEu"));
    assert!(about("embedded.dirr:").contains("embedded.dir,"));
    assert!(about("site:").contains("a, b"));
    assert!(about("log.level:").contains("directives"));
    assert_eq!(faults.len(), 11, "{faults:#?}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let environment = |name: &str| match name {
        "MUSIC_NODE" | "MUSIC_SITE" => Some("from-environment".to_owned()),
        "MUSIC_TABLES" => Some("kv=eventual, locks=critical".to_owned()),
        "MUSIC_LIMITS_WAIT_MAX_MS" => Some("5".to_owned()),
        _ => None,
    };
    let overrides = Overrides {
        node: Some("from-flag".to_owned()),
        ..Overrides::default()
    };
    let text = "node = 'from-file'\nsite = 'from-file'\nlisten = '127.0.0.1:1'";
    let config = Config::parse(text, environment, &overrides).unwrap();
    assert_eq!(
        (config.node.as_str(), config.site.as_str()),
        ("from-flag", "from-environment")
    );
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.tables.len(), 2);
    assert_eq!(config.limits.wait_max, Duration::from_millis(5));
}

#[test]
fn a_fault_names_the_variable_that_it_came_from() {
    let environment = |name: &str| (name == "MUSIC_LOG_FORMAT").then(|| "xml".to_owned());
    let error = Config::parse("", environment, &Overrides::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("log.format (from MUSIC_LOG_FORMAT): is one of human, json"),
        "{error}"
    );
}

#[test]
fn sites_that_disagree_have_other_checksums() {
    let one = parse("").unwrap().cluster;
    let other = ClusterConfig {
        value_bytes_max: 1,
        ..one.clone()
    };
    assert_ne!(one.checksum(), other.checksum());
}

#[test]
fn the_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/config.md is stale: run with UPDATE=1"
    );
}
