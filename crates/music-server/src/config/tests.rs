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
fn sites_that_the_engine_would_refuse_are_a_fault() {
    for (sites, why) in [
        (r#"["a", "b", "c", "d"]"#, "has 3 sites, not 4"),
        (r#"["a", "b_1"]"#, "'b_1' cannot name a site"),
        (r#"["a", "host"]"#, "'host' cannot name a site"),
    ] {
        let text = format!("site = 'a'\n[engine]\nprofile = 'local3'\nsites = {sites}");
        let faults = faults(&text);
        let [fault] = faults.as_slice() else {
            panic!("{faults:?}")
        };
        let start = "engine.sites: does not fit engine.profile: ";
        assert!(fault.starts_with(start) && fault.contains(why), "{fault}");
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
        [engine]
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
    assert!(about("engine.profile:").contains("lUsEu"));
    assert!(about("engine.dirr:").contains("engine.dir,"));
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
