use super::*;
use crate::demand::Demand;

mod arbitrary;
mod bounds;

const HEAD: &str = "heat_template_version: 2021-04-16\n";

fn files(named: &[(&str, &str)]) -> Files {
    named
        .iter()
        .map(|(name, text)| ((*name).to_owned(), format!("{HEAD}{text}")))
        .collect()
}

fn read_all(named: &[(&str, &str)], environment: Environment) -> Result<Template, Unreadable> {
    let catalogue = Catalogue::built_in().unwrap();
    let reader = Reader::new(&catalogue).with_environment(environment);
    reader.read(named[0].0, &files(named))
}

fn read(text: &str) -> Result<Template, Unreadable> {
    read_all(&[("a.yaml", text)], Environment::default())
}

fn reason(text: &str) -> String {
    read(text).unwrap_err().reason.to_string()
}

fn assumptions(template: &Template) -> Vec<String> {
    template
        .assumptions
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn volumes(template: &Template) -> Vec<u64> {
    template.volumes.iter().map(|volume| volume.gb).collect()
}

// Servers and volumes.

#[test]
fn a_server_takes_its_flavor_and_a_volume_its_size() {
    let template = read(
        "resources:
  web: {type: OS::Nova::Server, properties: {flavor: m1.small}}
  disk: {type: OS::Cinder::Volume, properties: {size: 7}}
  attach: {type: OS::Cinder::VolumeAttachment, properties: {volume_id: {get_resource: disk}}}",
    )
    .unwrap();
    assert_eq!(
        template.demand,
        Demand {
            vcpus: 1,
            ram_mb: 2048,
            disk_gb: 20,
            volume_gb: 7
        }
    );
    assert!(template.assumptions.is_empty());
}

#[test]
fn what_exists_already_or_is_conditioned_away_takes_nothing() {
    let template = read(
        "conditions: {never: {equals: [1, 2]}}
resources:
  there: {type: OS::Nova::Server, external_id: da5b}
  away: {type: OS::Nova::Server, condition: never, properties: {flavor: m1.small}}
  net: {type: OS::Neutron::Net}",
    )
    .unwrap();
    assert_eq!(template.demand, Demand::default());
}

#[test]
fn a_condition_that_is_open_counts_as_true_and_is_stated() {
    let template = read(
        "conditions: {open: {equals: [{get_param: OS::stack_name}, blue]}}
resources: {web: {type: OS::Nova::Server, condition: open, properties: {flavor: m1.tiny}}}",
    )
    .unwrap();
    assert_eq!(template.servers.len(), 1);
    assert_eq!(
        assumptions(&template),
        ["the condition of \"web\" is open: it is there"]
    );
}

#[test]
fn a_server_without_a_flavor_and_a_volume_without_a_size_cannot_be_told() {
    assert_eq!(
        reason("resources: {a: {type: OS::Nova::Server}}"),
        "resource \"a\" has no flavor"
    );
    assert_eq!(
        reason("resources: {a: {type: OS::Cinder::Volume}}"),
        "resource \"a\" has no size"
    );
}

#[test]
fn a_volume_made_from_another_takes_the_default_size_and_is_stated() {
    let template =
        read("resources: {a: {type: OS::Cinder::Volume, properties: {snapshot_id: s}}}").unwrap();
    assert_eq!(volumes(&template), [10]);
    assert_eq!(
        assumptions(&template),
        ["volume \"a\" is as large as its source: 10 GB"]
    );
}

#[test]
fn a_size_is_a_whole_number_of_gb_from_one_to_the_limit() {
    for size in [
        "0",
        "-1",
        "1.5",
        "many",
        "[1]",
        "1000001",
        "99999999999999999999",
    ] {
        let text =
            format!("resources: {{a: {{type: OS::Cinder::Volume, properties: {{size: {size}}}}}}}");
        assert!(
            reason(&text).starts_with("resource \"a\": size cannot be "),
            "{size}"
        );
    }
}

#[test]
fn a_flavor_that_is_not_in_the_catalogue_is_named() {
    assert_eq!(
        reason("resources: {a: {type: OS::Nova::Server, properties: {flavor: m9.vast}}}"),
        "resource \"a\": flavor \"m9.vast\" is not in the catalogue"
    );
}

#[test]
fn block_devices_made_with_a_server_are_volumes_and_attached_ones_are_not() {
    let template = read(
        "parameters: {root: {type: number, default: 12}}
resources:
  a:
    type: OS::Nova::Server
    properties:
      flavor: m1.tiny
      block_device_mapping_v2:
        - {image: debian, volume_size: {get_param: root}}
        - {volume_id: {get_resource: b}, volume_size: 99}
        - {device_type: disk, swap_size: 4}
      block_device_mapping: [{device_name: vdz, volume_size: '3'}]",
    )
    .unwrap();
    assert_eq!(volumes(&template), [3, 12]);
}

#[test]
fn a_type_that_may_take_anything_is_named() {
    for kind in [
        "OS::Trove::Instance",
        "AWS::EC2::Instance",
        "Our::Own::Thing",
    ] {
        let text = format!("resources: {{a: {{type: '{kind}'}}}}");
        assert_eq!(
            reason(&text),
            format!("resource \"a\": what a \"{kind}\" takes cannot be told")
        );
    }
}

#[test]
fn a_type_the_catalogue_declares_to_take_nothing_is_stated() {
    let template = read("resources: {a: {type: Heat::InstallConfigAgent}}").unwrap();
    assert_eq!(
        assumptions(&template),
        ["a \"Heat::InstallConfigAgent\" takes nothing"]
    );
}

// Values that are missing.

#[test]
fn a_flavor_without_a_value_is_the_default_flavor_or_the_first_allowed() {
    let text = "parameters:
  free: {type: string}
  bound: {type: string, constraints: [{allowed_values: [m1.large, m1.tiny]}]}
resources:
  a: {type: OS::Nova::Server, properties: {flavor: {get_param: free}}}
  b: {type: OS::Nova::Server, properties: {flavor: {get_param: bound}}}";
    let template = read(text).unwrap();
    let flavors: Vec<_> = template
        .servers
        .iter()
        .map(|server| server.flavor.as_str())
        .collect();
    assert_eq!(flavors, ["m1.small", "m1.large"]);
    assert_eq!(
        assumptions(&template),
        [
            "parameter \"bound\" has no value: flavor m1.large",
            "parameter \"free\" has no value: flavor m1.small",
        ]
    );
}

#[test]
fn a_size_without_a_value_is_the_default_size_or_the_nearest_end_of_its_range() {
    let volume = |range: &str| {
        let text = format!(
            "parameters: {{gb: {{type: number, constraints: [{{range: {range}}}]}}}}
resources: {{a: {{type: OS::Cinder::Volume, properties: {{size: {{get_param: gb}}}}}}}}"
        );
        volumes(&read(&text).unwrap())
    };
    assert_eq!(volume("{min: 1, max: 100}"), [10]);
    assert_eq!(volume("{min: 20, max: 100}"), [20]);
    assert_eq!(volume("{max: 5}"), [5]);
}

#[test]
fn a_count_without_a_value_is_the_default_count() {
    let template = read(
        "parameters: {n: {type: number}}
resources:
  g:
    type: OS::Heat::ResourceGroup
    properties: {count: {get_param: n}, resource_def: {type: OS::Neutron::Port}}",
    )
    .unwrap();
    assert_eq!(
        assumptions(&template),
        ["parameter \"n\" has no value: 1 member(s)"]
    );
}

#[test]
fn a_value_given_with_the_template_wins_over_its_default() {
    let text = "parameters: {flavor: {type: string, default: m1.tiny}, n: {type: number}}
resources:
  g:
    type: OS::Heat::ResourceGroup
    properties:
      count: {get_param: n}
      resource_def: {type: OS::Nova::Server, properties: {flavor: {get_param: flavor}}}";
    let environment = Environment::default()
        .with("flavor", "m1.large")
        .with("n", "2");
    let template = read_all(&[("a.yaml", text)], environment).unwrap();
    assert_eq!(template.demand.vcpus, 8);
    assert!(template.assumptions.is_empty());
}

#[test]
fn a_value_given_must_be_one_the_parameter_admits() {
    let text = "parameters: {f: {type: string, constraints: [{allowed_values: [m1.tiny]}]}}
resources: {a: {type: OS::Nova::Server, properties: {flavor: {get_param: f}}}}";
    let error = read_all(
        &[("a.yaml", text)],
        Environment::default().with("f", "m1.large"),
    );
    assert_eq!(
        error.unwrap_err().reason.to_string(),
        "resource \"a\": flavor cannot be told: parameter \"f\" does not admit \"m1.large\""
    );
}

// Groups.

#[test]
fn a_group_has_one_member_if_it_does_not_say() {
    let template = read(
        "resources:
  g:
    type: OS::Heat::ResourceGroup
    properties: {resource_def: {type: OS::Nova::Server, properties: {flavor: m1.tiny}}}",
    )
    .unwrap();
    assert_eq!(template.servers[0].resource, "g.0");
}

#[test]
fn an_autoscaling_group_starts_with_what_is_desired_else_with_its_least() {
    let members = |sizes: &str| {
        let text = format!(
            "resources:
  g:
    type: OS::Heat::AutoScalingGroup
    properties:
      {sizes}
      resource: {{type: OS::Nova::Server, properties: {{flavor: m1.tiny}}}}"
        );
        read(&text)
            .map(|template| template.servers.len())
            .map_err(|error| error.reason.to_string())
    };
    let both = "{min_size: 2, desired_capacity: 3, max_size: 5}";
    let lines = |map: &str| map.trim_matches(['{', '}']).replace(", ", "\n      ");
    assert_eq!(members(&lines(both)), Ok(3));
    assert_eq!(members(&lines("{min_size: 2, max_size: 5}")), Ok(2));
    assert_eq!(members(&lines("{max_size: 5}")), Ok(0));
    assert_eq!(
        members(&lines("{min_size: 2, desired_capacity: 9, max_size: 5}")),
        Err("resource \"g\": 9 members are not between 2 and 5".to_owned())
    );
}

#[test]
fn a_desired_size_without_a_value_stays_between_least_and_greatest() {
    let template = read(
        "parameters: {size: {type: number}}
resources:
  g:
    type: OS::Heat::AutoScalingGroup
    properties:
      min_size: 3
      max_size: 5
      desired_capacity: {get_param: size}
      resource: {type: OS::Nova::Server, properties: {flavor: m1.tiny}}",
    )
    .unwrap();
    assert_eq!(template.servers.len(), 3);
    assert_eq!(
        assumptions(&template),
        ["parameter \"size\" has no value: 3 member(s)"]
    );
}

#[test]
fn each_member_knows_its_number() {
    let template = read(
        "parameters: {gb: {type: comma_delimited_list, default: '4, 8'}}
resources:
  g:
    type: OS::Heat::ResourceGroup
    properties:
      count: 2
      index_var: $i
      resource_def: {type: OS::Cinder::Volume, properties: {size: {get_param: [gb, $i]}}}",
    )
    .unwrap();
    assert_eq!(volumes(&template), [4, 8]);
}

#[test]
fn a_group_without_a_definition_is_named() {
    let group = |properties: &str| {
        format!("resources: {{g: {{type: OS::Heat::ResourceGroup, properties: {properties}}}}}")
    };
    assert_eq!(
        reason(&group("{count: 2}")),
        "resource \"g\" has no resource_def"
    );
    assert_eq!(
        reason(&group("{count: 2, resource_def: {}}")),
        "resource \"g\": resource_def cannot be a map of 0"
    );
}

// Nested templates.

const LEAF: &str = "parameters: {flavor: {type: string, default: m1.tiny}}
resources: {server: {type: OS::Nova::Server, properties: {flavor: {get_param: flavor}}}}";

#[test]
fn properties_are_the_parameters_of_a_nested_template() {
    let outer = "resources:
  one: {type: leaf.yaml, properties: {flavor: m1.large}}
  two: {type: leaf.yaml}";
    let template = read_all(
        &[("a.yaml", outer), ("leaf.yaml", LEAF)],
        Environment::default(),
    );
    let template = template.unwrap();
    let servers: Vec<_> = template
        .servers
        .iter()
        .map(|server| (&*server.resource, &*server.flavor))
        .collect();
    assert_eq!(
        servers,
        [("one.server", "m1.large"), ("two.server", "m1.tiny")]
    );
}

#[test]
fn the_environment_is_for_the_outermost_template_only() {
    let outer = "resources: {one: {type: leaf.yaml}}";
    let environment = Environment::default().with("flavor", "m1.large");
    let template = read_all(&[("a.yaml", outer), ("leaf.yaml", LEAF)], environment).unwrap();
    assert_eq!(template.servers[0].flavor, "m1.tiny");
}

#[test]
fn a_missing_value_is_traced_through_nested_templates_to_its_parameter() {
    let outer = "parameters: {kind: {type: string, constraints: [{allowed_values: [m1.large]}]}}
resources: {one: {type: leaf.yaml, properties: {flavor: {get_param: kind}}}}";
    let template = read_all(
        &[("a.yaml", outer), ("leaf.yaml", LEAF)],
        Environment::default(),
    );
    assert_eq!(
        assumptions(&template.unwrap()),
        ["parameter \"kind\" has no value: flavor m1.large"]
    );
}

#[test]
fn a_nested_template_that_cannot_be_read_is_named_with_its_reason() {
    let outer = "resources: {one: {type: leaf.yaml}}";
    let of = |leaf: &[(&str, &str)]| {
        let named: Vec<_> = [("a.yaml", outer)].iter().chain(leaf).copied().collect();
        read_all(&named, Environment::default())
            .unwrap_err()
            .reason
            .to_string()
    };
    let head = "resource \"one\": nested template \"leaf.yaml\": ";
    assert_eq!(of(&[]), format!("{head}there is no such file"));
    assert_eq!(
        of(&[("leaf.yaml", "")]),
        format!("{head}section \"resources\" must be a map with at least one entry")
    );
}

#[test]
fn a_template_that_contains_itself_is_reported_with_the_way_round() {
    let named = [
        ("a.yaml", "resources: {b: {type: b.yaml}}"),
        ("b.yaml", "resources: {c: {type: a.yaml}}"),
    ];
    let error = read_all(&named, Environment::default()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("contains itself: a.yaml > b.yaml > a.yaml"),
        "{error}"
    );
}

#[test]
fn a_template_by_url_is_not_fetched() {
    assert_eq!(
        reason("resources: {one: {type: 'http://example.org/leaf.yaml'}}"),
        "resource \"one\": nested template \"http://example.org/leaf.yaml\": \
         \"http://example.org/leaf.yaml\" names no file in the folder of the template"
    );
}
