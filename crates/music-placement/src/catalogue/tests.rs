use std::fmt::Write as _;

use super::*;

const SOUND: &str = r#"
default_flavor = "m1.small"
default_volume_gb = 10
default_count = 1
[flavors]
"m1.small" = { vcpus = 1, ram_mb = 2048, disk_gb = 20 }
[site_default]
vcpus = 4
ram_mb = 8192
disk_gb = 80
volume_gb = 100
[sites.ohio]
vcpus = 16
ram_mb = 32768
disk_gb = 320
volume_gb = 0
"#;

fn faults_of(text: &str) -> Vec<String> {
    let error = Catalogue::read(text).unwrap_err();
    error.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn the_catalogue_that_comes_with_the_service_is_sound() {
    let catalogue = Catalogue::built_in().unwrap();
    for name in ["m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.xlarge"] {
        assert!(catalogue.flavor(name).is_some(), "{name}");
    }
    assert!(catalogue.capacity("any site").is_some());
}

#[test]
fn a_named_site_has_what_it_says_and_any_other_the_default() {
    let catalogue = Catalogue::read(SOUND).unwrap();
    assert_eq!(catalogue.capacity("ohio").unwrap().vcpus, 16);
    assert_eq!(catalogue.capacity("oregon").unwrap().vcpus, 4);
}

#[test]
fn without_a_default_a_site_not_named_has_no_capacity() {
    let start = SOUND.find("[site_default]").unwrap();
    let end = SOUND.find("[sites.ohio]").unwrap();
    let catalogue = Catalogue::read(&SOUND.replace(&SOUND[start..end], "")).unwrap();
    assert_eq!(catalogue.capacity("oregon"), None);
}

#[test]
fn all_faults_are_reported_together() {
    let text = r#"
        default_flavour = "m1.small"
        default_flavor = "m1.huge"
        default_volume_gb = 0
        default_count = "one"
        no_capacity_types = ["A::B", 7]
        [flavors]
        "m1.small" = { vcpus = 0, ram_mb = 2048, cores = 1 }
        broken = 3
        [sites.ohio]
        vcpus = -1
        ram_mb = 1
        disk_gb = 1
        volume_gb = 1
    "#;
    assert_eq!(
        faults_of(text),
        [
            "default_volume_gb: 0 is not within 1 to 1000000000000",
            "default_count: must be a whole number, is string",
            "no_capacity_types[1]: must be a text, is integer",
            "flavors.\"broken\": must be a table, is integer",
            "default_flavour: no such setting",
            "flavors.\"m1.small\".vcpus: 0 is not within 1 to 1000000000000",
            "flavors.\"m1.small\".disk_gb: missing",
            "flavors.\"m1.small\".cores: no such setting",
            "sites.\"ohio\".vcpus: -1 is not within 0 to 1000000000000",
            "default_flavor: \"m1.huge\" is not among the flavors",
        ]
    );
}

#[test]
fn an_empty_file_lacks_everything_and_says_so() {
    assert_eq!(
        faults_of(""),
        [
            "default_flavor: missing",
            "default_volume_gb: missing",
            "default_count: missing",
            "no site has any capacity: give [site_default] or [sites.NAME]",
        ]
    );
}

#[test]
fn text_that_is_not_toml_is_one_fault_with_its_place() {
    let faults = faults_of("default_flavor = ");
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("line 1"), "{faults:?}");
}

#[test]
fn a_file_over_the_limit_is_not_parsed() {
    let faults = faults_of(&"#".repeat(CATALOGUE_BYTES_MAX + 1));
    assert_eq!(
        faults,
        ["1048577 bytes is more than the 1048576 a catalogue may have"]
    );
}

#[test]
fn more_sites_than_the_limit_are_refused() {
    let mut text = SOUND.to_owned();
    for number in 0..SITES_MAX {
        writeln!(
            text,
            "[sites.s{number}]\nvcpus=1\nram_mb=1\ndisk_gb=1\nvolume_gb=1"
        )
        .unwrap();
    }
    assert_eq!(faults_of(&text), ["sites: 1001 entries are more than 1000"]);
}
