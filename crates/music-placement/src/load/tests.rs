use super::*;
use crate::catalogue::Catalogue;
use crate::demand::{Capacity, Demand};
use crate::hot::{Assumption, Reason};

/// The real templates, if they are on this machine.
fn real_templates() -> Option<PathBuf> {
    let given = std::env::var_os("MUSIC_HEAT_TEMPLATES").map(PathBuf::from);
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heat-templates");
    let folder = given.unwrap_or(shared);
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: no real templates at {}; set MUSIC_HEAT_TEMPLATES",
        folder.display()
    );
    None
}

fn read_built_in(name: &str) -> Template {
    let catalogue = Catalogue::built_in().unwrap();
    Reader::new(&catalogue)
        .read(name, &built_in_files())
        .unwrap()
}

#[test]
fn all_templates_that_come_with_the_service_are_readable_but_the_one_made_not_to_be() {
    let catalogue = Catalogue::built_in().unwrap();
    let results = built_in(&Reader::new(&catalogue));
    assert_eq!(results.len(), BUILT_IN.len());
    for result in results {
        match result {
            Ok(template) => assert_ne!(template.demand, Demand::default(), "{}", template.name),
            Err(error) => assert_eq!(
                error.to_string(),
                "template \"unreadable.yaml\" is unreadable: resource \"volume\": size cannot be \
                 told: the function get_attr is not evaluated before the stack runs"
            ),
        }
    }
}

#[test]
fn the_folder_of_built_in_templates_holds_what_is_built_in() {
    let catalogue = Catalogue::built_in().unwrap();
    let reader = Reader::new(&catalogue);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let show = |results: Vec<Result<Template, Unreadable>>| -> Vec<String> {
        results.iter().map(|result| format!("{result:?}")).collect()
    };
    assert_eq!(
        show(load_dir(&folder, &reader).unwrap()),
        show(built_in(&reader))
    );
}

#[test]
fn the_three_tiers_are_counted_through_the_nested_template() {
    let template = read_built_in("three_tier.yaml");
    let servers: Vec<_> = template
        .servers
        .iter()
        .map(|server| (server.resource.as_str(), server.flavor.as_str()))
        .collect();
    assert_eq!(
        servers,
        [
            ("application.server", "m1.medium"),
            ("database.server", "m1.large"),
            ("web.0.server", "m1.tiny"),
            ("web.1.server", "m1.tiny"),
        ]
    );
    assert_eq!(
        template.demand,
        Demand {
            vcpus: 8,
            ram_mb: 13_312,
            disk_gb: 122,
            volume_gb: 50
        }
    );
    assert_eq!(
        template.files.keys().collect::<Vec<_>>(),
        ["three_tier.yaml", "tier.yaml"]
    );
}

#[test]
fn a_template_can_be_read_again_from_the_files_it_carries() {
    let template = read_built_in("three_tier.yaml");
    let catalogue = Catalogue::built_in().unwrap();
    let again = Reader::new(&catalogue)
        .read("three_tier.yaml", &template.files)
        .unwrap();
    assert_eq!(again, template);
}

#[test]
fn sizes_put_together_from_parameters_are_told() {
    let template = read_built_in("parameters.yaml");
    assert_eq!(
        template
            .volumes
            .iter()
            .map(|volume| volume.gb)
            .collect::<Vec<_>>(),
        [10, 20, 30]
    );
    let assumed = Assumption::Flavor {
        parameter: "standby_flavor".into(),
        flavor: "m1.small".into(),
    };
    assert_eq!(
        template.assumptions.into_iter().collect::<Vec<_>>(),
        [assumed]
    );
}

#[test]
fn volumes_made_with_a_server_count_like_any_other() {
    let template = read_built_in("database_volumes.yaml");
    assert_eq!(template.demand.volume_gb, 130);
    assert_eq!(template.volumes.len(), 3);
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_only_its_templates() {
    let folder = tempfile::tempdir().unwrap();
    let sound = built_in_files().remove("single_server.yaml").unwrap();
    for name in ["b.yaml", "a.yml", "c.template"] {
        std::fs::write(folder.path().join(name), &sound).unwrap();
    }
    std::fs::write(folder.path().join("README.md"), "no template").unwrap();
    std::fs::write(folder.path().join("aa.yaml"), "no template").unwrap();
    let catalogue = Catalogue::built_in().unwrap();
    let results = load_dir(folder.path(), &Reader::new(&catalogue)).unwrap();
    let names: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(template) => (template.name.as_str(), true),
            Err(unreadable) => (unreadable.name.as_str(), false),
        })
        .collect();
    assert_eq!(
        names,
        [
            ("a.yml", true),
            ("aa.yaml", false),
            ("b.yaml", true),
            ("c.template", true)
        ]
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_its_own() {
    let catalogue = Catalogue::built_in().unwrap();
    let error = load_dir(Path::new("/no/such/folder"), &Reader::new(&catalogue)).unwrap_err();
    assert!(matches!(error, FolderError::Io { .. }));
}

#[test]
fn of_the_real_templates_only_the_one_that_lacks_its_nested_file_is_unreadable() {
    let Some(folder) = real_templates() else {
        return;
    };
    let catalogue = Catalogue::built_in().unwrap();
    let results = load_dir(&folder, &Reader::new(&catalogue)).unwrap();
    let mut total = Demand::default();
    let mut unreadable = Vec::new();
    for result in &results {
        match result {
            Ok(template) => {
                println!("{}: {}", template.name, template.demand);
                template
                    .assumptions
                    .iter()
                    .for_each(|assumption| println!("    {assumption}"));
                total = total.checked_add(template.demand).unwrap();
            }
            Err(error) => unreadable.push(error),
        }
    }
    println!("{} templates: {total}", results.len());
    for error in &unreadable {
        println!("{error}");
    }
    let [only] = unreadable.as_slice() else {
        panic!("{unreadable:?}");
    };
    assert_eq!(
        only.name,
        "resource_group__resource_group_index_lookup.yaml"
    );
    let Reason::Nested { file, reason, .. } = &only.reason else {
        panic!("{only}");
    };
    assert_eq!(file, "random.yaml");
    assert!(matches!(**reason, Reason::NotFound));
}

#[test]
fn any_two_of_three_sites_have_room_for_all_real_templates() {
    let Some(folder) = real_templates() else {
        return;
    };
    let catalogue = Catalogue::built_in().unwrap();
    let room = catalogue.capacity("any").unwrap();
    let results = load_dir(&folder, &Reader::new(&catalogue)).unwrap();
    let total = results
        .into_iter()
        .flatten()
        .try_fold(Demand::default(), |total, template| {
            total.checked_add(template.demand)
        })
        .unwrap();
    let two = Capacity {
        vcpus: 2 * room.vcpus,
        ram_mb: 2 * room.ram_mb,
        disk_gb: 2 * room.disk_gb,
        volume_gb: 2 * room.volume_gb,
    };
    assert!(total.fits(two), "{total}");
    // Otherwise one site would take everything and no template had to look far.
    assert!(!total.fits(room), "{total}");
}

#[test]
fn real_templates_say_what_a_reader_of_them_would_count() {
    let Some(folder) = real_templates() else {
        return;
    };
    let catalogue = Catalogue::built_in().unwrap();
    let reader = Reader::new(&catalogue);
    let source = Folder::new(folder);
    let counts = |name: &str| {
        let template = reader.read(name, &source).unwrap();
        (
            template.servers.len(),
            template.volumes.len(),
            template.demand.vcpus,
        )
    };
    assert_eq!(
        counts("F18__NovaInstanceWithCinderVolume_Native.yaml"),
        (1, 1, 1)
    );
    assert_eq!(counts("asg_of_servers.yaml"), (3, 0, 3));
    assert_eq!(counts("autohealing__autohealing_group.yaml"), (2, 0, 2));
    assert_eq!(counts("external_resource.yaml"), (0, 0, 0));
    assert_eq!(counts("resource_group__resource_group.yaml"), (0, 0, 0));
    assert_eq!(
        counts("resource_group__volume_with_attachment.yaml"),
        (0, 1, 0)
    );
    assert_eq!(counts("servers_in_new_neutron_net.yaml"), (2, 0, 2));
}
