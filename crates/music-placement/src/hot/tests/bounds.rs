//! Every bound holds at its limit and is named beyond it.

use super::*;

fn nested_groups(levels: usize, count: u64) -> String {
    let leaf = "{type: OS::Neutron::Port}".to_owned();
    let group = (0..levels).fold(leaf, |inner, _| {
        let properties = format!("{{count: {count}, resource_def: {inner}}}");
        format!("{{type: OS::Heat::ResourceGroup, properties: {properties}}}")
    });
    format!("resources: {{g: {group}}}")
}

#[test]
fn groups_may_nest_to_the_limit_and_not_beyond() {
    assert!(read(&nested_groups(STACK_DEPTH_MAX, 1)).is_ok());
    let error = read(&nested_groups(STACK_DEPTH_MAX + 1, 1)).unwrap_err();
    assert!(matches!(error.reason, Reason::TooDeep { .. }), "{error}");
}

#[test]
fn a_group_may_not_be_larger_than_the_limit() {
    assert_eq!(
        reason(&nested_groups(1, 1_001)),
        "resource \"g\": a group of 1001 is larger than 1000"
    );
}

#[test]
fn groups_of_groups_run_into_the_limit_on_all_resources() {
    let error = read(&nested_groups(3, 1_000)).unwrap_err();
    assert!(matches!(error.reason, Reason::TooManyResources), "{error}");
}

#[test]
fn volumes_made_with_servers_count_as_resources() {
    let mappings = vec!["{volume_size: 1}"; RESOURCES_MAX].join(", ");
    let error = read(&format!(
        "resources:
  a:
    type: OS::Nova::Server
    properties: {{flavor: m1.tiny, block_device_mapping_v2: [{mappings}]}}"
    ))
    .unwrap_err();
    assert!(matches!(error.reason, Reason::TooManyResources), "{error}");
}

#[test]
fn a_large_definition_read_for_every_member_runs_out_of_the_meter() {
    let long = "x".repeat(400_000);
    let error = read(&format!(
        "resources:
  g:
    type: OS::Heat::ResourceGroup
    properties:
      count: 400
      resource_def:
        type: OS::Heat::ResourceGroup
        properties:
          resource_def: {{type: OS::Neutron::Port, properties: {{name: {long}}}}}"
    ))
    .unwrap_err();
    assert!(matches!(error.reason, Reason::TooCostly), "{error}");
}

#[test]
fn results_can_be_handed_between_threads() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Template>();
    is_send_and_sync::<Unreadable>();
    is_send_and_sync::<Reader<'_>>();
}

#[test]
fn a_template_may_not_draw_on_more_files_than_the_limit() {
    let mut all = Files::new();
    let nested: Vec<_> = (0..FILES_MAX)
        .map(|n| format!("r{n}: {{type: n{n}.yaml}}"))
        .collect();
    all.insert(
        "a.yaml".into(),
        format!("{HEAD}resources: {{{}}}", nested.join(", ")),
    );
    for n in 0..FILES_MAX {
        all.insert(format!("n{n}.yaml"), format!("{HEAD}{LEAF}"));
    }
    let catalogue = Catalogue::built_in().unwrap();
    let error = Reader::new(&catalogue).read("a.yaml", &all).unwrap_err();
    assert!(
        error.to_string().ends_with("draws on more than 64 files"),
        "{error}"
    );
}

#[test]
fn a_parameter_that_multiplies_at_every_level_runs_out_of_the_meter() {
    let copies = vec!["{get_param: p}"; 400].join(", ");
    let level = |file: &str| {
        format!(
            "parameters: {{p: {{type: json, default: [x]}}}}
resources: {{n: {{type: {file}, properties: {{p: [{copies}]}}}}}}"
        )
    };
    let levels: Vec<_> = ["b", "c", "d", "e"]
        .map(|name| level(&format!("{name}.yaml")))
        .into();
    let mut named = vec![("e.yaml", LEAF)];
    named.extend(
        ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]
            .into_iter()
            .zip(levels.iter().map(String::as_str)),
    );
    named.rotate_left(1);
    let error = read_all(&named, Environment::default()).unwrap_err();
    assert!(matches!(error.reason, Reason::TooCostly), "{error}");
}

#[test]
fn a_text_that_multiplies_by_replacement_runs_out_of_the_meter() {
    let long = "a".repeat(200_000);
    let flavor = "{str_replace: {template: {get_param: p}, params: {a: {get_param: p}}}}";
    let error = read(&format!(
        "parameters: {{p: {{type: string, default: {long}}}}}
resources:
  s:
    type: OS::Nova::Server
    properties: {{flavor: {flavor}}}"
    ))
    .unwrap_err();
    assert!(matches!(error.reason, Reason::TooCostly), "{error}");
}

#[test]
fn a_file_over_the_limit_is_not_parsed() {
    let mut all = Files::new();
    all.insert("a.yaml".into(), "#".repeat(FILE_BYTES_MAX + 1));
    let catalogue = Catalogue::built_in().unwrap();
    let error = Reader::new(&catalogue).read("a.yaml", &all).unwrap_err();
    assert!(matches!(error.reason, Reason::TooLong));
}
