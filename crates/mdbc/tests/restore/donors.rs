//! Donors that refuse or end in the middle, and restores that do.

use mdbc::config::{Config, TlsConfig, UserConfig};

use crate::life::{ALL, Life, Sites, files, restored_from};
use crate::way::{Middle, killed_in_the_middle, way_to};

const COUNT: &str = "SELECT count(*) FROM strong";

/// Sites of which the third was away for too long.
async fn with_one_behind() -> (Sites, Config) {
    let sites = Sites::with_tables().await;
    let config = sites.config(2);
    sites.stop(2).await;
    sites.leave_behind(0).await;
    (sites, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_donor_ends_in_the_middle_another_is_asked() {
    let (sites, config) = with_one_behind().await;
    let broken = way_to(sites.address(0).unwrap(), Middle::Ends).await;
    let from = [broken, sites.address(1).unwrap()].map(|address| address.to_string());
    let life = Life::start(&restored_from(config.clone(), from.to_vec())).await;
    life.until(COUNT, ALL).await;
    assert_eq!(files(&config), ["", ".before-1"]);
    life.stop().await;
    // What it was asked for in vain is given up there.
    let again = sites.restored_from(1, &[0]);
    sites.stop(1).await;
    crate::life::lose_disk(&again).await;
    let life = Life::start(&again).await;
    life.until(COUNT, ALL).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_another_checksum_is_refused() {
    let (sites, config) = with_one_behind().await;
    let donor = sites.address(0).unwrap();
    let spoiled = way_to(donor, Middle::Spoils).await;
    let from = restored_from(config.clone(), vec![spoiled.to_string()]);
    let error = Life::try_start(&from).await.err().unwrap().to_string();
    assert!(error.contains("another checksum"), "{error}");
    assert_eq!(files(&config), [""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_the_middle_has_its_old_database() {
    let (sites, config) = with_one_behind().await;
    killed_in_the_middle(&config, sites.address(0).unwrap()).await;
    assert_eq!(files(&config), ["", ".restoring"]);
    let life = Life::start(&sites.restored_from(2, &[1])).await;
    life.until(COUNT, ALL).await;
    assert_eq!(files(&config), ["", ".before-1"]);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_donor_asks_for_a_password_over_tls() {
    let (sites, config) = with_one_behind().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut donor = sites.config(1);
    donor.tls = Some(TlsConfig {
        certificate: data.join("site.crt"),
        key: data.join("site.key"),
    });
    donor.users = vec![UserConfig {
        name: "mdbc".to_owned(),
        scram: None,
        password_file: Some(secret("right", "open sesame\n")),
    }];
    sites.stop(1).await;
    let donor = Life::start(&donor).await;
    let asking = |password: &str, authority: &str| {
        let mut config = restored_from(config.clone(), vec![donor.address.to_string()]);
        let music = config.music.as_mut().unwrap();
        let restore = music.restore.as_mut().unwrap();
        restore.password_file = Some(folder.path().join(password));
        restore.authority = Some(data.join(authority));
        config
    };
    secret("wrong", "open barley\n");
    let refused = |config: Config| async move {
        let error = Life::try_start(&config).await.err().unwrap();
        error.to_string()
    };
    let error = refused(asking("wrong", "authority.crt")).await;
    assert!(error.contains("password authentication failed"), "{error}");
    let error = refused(asking("right", "server.crt")).await;
    assert!(error.contains("certificate"), "{error}");
    let life = Life::start(&asking("right", "authority.crt")).await;
    // The donor is asked by its own clients for a password, too.
    assert_eq!(files(&config), ["", ".before-1"]);
    life.until(COUNT, ALL).await;
    life.stop().await;
    donor.stop().await;
}
