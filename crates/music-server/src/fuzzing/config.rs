//! A configuration, as a file and the environment have it.

use crate::config::{Config, EngineConfig, Error, Overrides, page};
use crate::topology;

/// Divides the file from the variables, one a line: `MUSIC_SITE=a`.
const DIVIDER: &str = "\n%%\n";

/// Reads a configuration: it is refused with its faults, or holds together.
///
/// # Panics
/// Where neither is so.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (file, variables) = text.split_once(DIVIDER).unwrap_or((text, ""));
    let variable = |name: &str| {
        let mut lines = variables.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value.to_owned())
    };
    match Config::parse(file, variable, &Overrides::default()) {
        Ok(config) => holds_together(&config),
        Err(Error::Faults(faults)) => {
            assert!(!faults.is_empty());
            let page = page();
            for fault in faults {
                assert!(!fault.to_string().is_empty());
                let name = fault.setting.rsplit('.').next().unwrap_or_default();
                let named = page.contains(&format!("`{name}`"));
                assert!(named || fault.reason.contains("there are"), "{fault}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What a node that starts from these settings takes for granted.
fn holds_together(config: &Config) {
    let cluster = &config.cluster;
    assert!(cluster.client_lease_default <= cluster.client_lease_max);
    assert!(cluster.value_bytes_max < config.limits.body_bytes_max);
    assert_eq!(cluster.checksum(), cluster.clone().checksum());
    match &config.engine {
        EngineConfig::Embedded(embedded) => {
            let profile = topology::profile(embedded);
            assert!(profile.is_ok(), "{profile:?} of {embedded:?}");
        }
        EngineConfig::Services(services) => {
            let state = &services.state;
            assert!(!state.contact_points.is_empty());
            assert!(state.replication.contains_key(&state.datacentre));
        }
    }
}
