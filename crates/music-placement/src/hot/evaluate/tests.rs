use super::super::value;
use super::*;

const HEAD: &str = "heat_template_version: 2021-04-16\n";

/// Evaluates `expression` in a template with this text above its resources.
fn evaluated(declarations: &str, expression: &str) -> Value {
    let text = format!("{HEAD}{declarations}\nresources: {{a: {{type: B}}}}");
    let document = Document::read(&text).unwrap();
    let (given, meter) = (BTreeMap::new(), Meter::default());
    Scope::new(&document, &given, &meter)
        .evaluate(&value::parse(expression).unwrap())
        .unwrap()
}

fn decided(declarations: &str, condition: &str) -> Option<bool> {
    let text = format!("{HEAD}{declarations}\nresources: {{a: {{type: B}}}}");
    let document = Document::read(&text).unwrap();
    let (given, meter) = (BTreeMap::new(), Meter::default());
    Scope::new(&document, &given, &meter)
        .decide(&value::parse(condition).unwrap())
        .unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn why(value: Value) -> String {
    match value {
        Value::Unknown(why) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_parameter_is_its_default_in_its_type() {
    let declared = "parameters: {gb: {type: number, default: '5'}}";
    assert_eq!(evaluated(declared, "get_param: gb"), Value::Integer(5));
}

#[test]
fn a_path_leads_into_maps_and_lists() {
    let declared = "parameters: {p: {type: json, default: {disks: [{gb: 7}]}}}";
    assert_eq!(
        evaluated(declared, "get_param: [p, disks, 0, gb]"),
        Value::Integer(7)
    );
    assert_eq!(
        why(evaluated(declared, "get_param: [p, disks, 3, gb]")),
        "parameter \"p\" has nothing at 3"
    );
}

#[test]
fn a_path_may_be_given_by_a_parameter_itself() {
    let declared = "parameters: {which: {type: string, default: b}, \
                    p: {type: json, default: {a: 1, b: 2}}}";
    let value = evaluated(declared, "get_param: [p, {get_param: which}]");
    assert_eq!(value, Value::Integer(2));
}

#[test]
fn a_parameter_without_a_value_is_unset_and_keeps_its_constraints() {
    let declared = "parameters: {f: {type: string, constraints: [{allowed_values: [a, b]}]}}";
    let Value::Unset(unset) = evaluated(declared, "get_param: f") else {
        panic!();
    };
    assert_eq!(unset.parameter, "f");
    assert_eq!(unset.constraints.allowed, ["a", "b"]);
}

#[test]
fn what_is_not_there_says_so_instead_of_failing() {
    assert_eq!(
        why(evaluated("", "get_param: f")),
        "parameter \"f\" is not declared"
    );
    assert_eq!(
        why(evaluated("", "get_param: OS::stack_id")),
        "\"OS::stack_id\" is known once the stack is created"
    );
    assert_eq!(
        why(evaluated("", "get_attr: [server, name]")),
        "the function get_attr is not evaluated before the stack runs"
    );
    assert_eq!(
        why(evaluated("", "get_param: {a: b}")),
        "get_param has malformed arguments"
    );
    let declared = "parameters: {n: {type: number, default: 9, constraints: [{range: {max: 5}}]}}";
    assert_eq!(
        why(evaluated(declared, "get_param: n")),
        "parameter \"n\" does not admit 9"
    );
}

#[test]
fn str_replace_takes_the_longest_name_first_and_looks_at_nothing_twice() {
    let expression = "str_replace: {template: $a-$ab-$b, params: {$a: $b, $ab: 2, $b: x}}";
    assert_eq!(evaluated("", expression), text("$b-2-x"));
}

#[test]
fn str_replace_minds_unknown_values_only_where_they_are_used() {
    let unused = "str_replace: {template: m1.size, params: {other: {get_attr: [a, b]}}}";
    assert_eq!(evaluated("", unused), text("m1.size"));
    let used = "str_replace: {template: m1.size, params: {size: {get_attr: [a, b]}}}";
    assert!(why(evaluated("", used)).contains("get_attr"));
    let piece = "parameters: {s: {type: string}}";
    let used = "str_replace: {template: m1.size, params: {size: {get_param: s}}}";
    assert_eq!(why(evaluated(piece, used)), "parameter \"s\" has no value");
}

#[test]
fn list_join_joins_scalars_of_all_its_lists() {
    assert_eq!(
        evaluated("", "list_join: ['.', [m1, small], [2]]"),
        text("m1.small.2")
    );
    assert_eq!(
        why(evaluated("", "list_join: ['.', [[a]]]")),
        "list_join has malformed arguments"
    );
}

#[test]
fn a_choice_follows_its_condition_and_tolerates_one_that_makes_no_difference() {
    let declared = "parameters: {p: {type: boolean, default: 'yes'}}\n\
                    conditions: {on: {equals: [{get_param: p}, yes]}, \
                    open: {equals: [{get_attr: [a, b]}, 1]}}";
    assert_eq!(evaluated(declared, "if: [on, 3, 1]"), Value::Integer(3));
    assert_eq!(evaluated(declared, "if: [{not: on}, 3]"), Value::Null);
    assert_eq!(evaluated(declared, "if: [open, 2, 2]"), Value::Integer(2));
    let open = evaluated(declared, "if: [open, 3, 1]");
    assert_eq!(why(open), "the condition it depends on cannot be decided");
}

#[test]
fn and_or_are_settled_by_one_part_even_if_others_are_open() {
    let open = "{equals: [{get_attr: [a, b]}, 1]}";
    assert_eq!(
        decided("", &format!("and: [{open}, {{equals: [1, 2]}}]")),
        Some(false)
    );
    assert_eq!(
        decided("", &format!("or: [{open}, {{equals: [1, 1]}}]")),
        Some(true)
    );
    assert_eq!(
        decided("", &format!("and: [{open}, {{equals: [1, 1]}}]")),
        None
    );
    assert_eq!(decided("", &format!("not: {open}")), None);
}

#[test]
fn conditions_that_go_round_in_circles_are_open() {
    assert_eq!(decided("conditions: {a: b, b: {not: a}}", "a"), None);
    assert_eq!(decided("", "no such condition"), None);
}

#[test]
fn conditions_that_double_at_every_level_run_out_of_the_meter() {
    let levels: Vec<_> = (0..20)
        .map(|level| {
            format!(
                "c{level}: {{and: [{}]}}",
                vec![format!("c{}", level + 1); 9].join(", ")
            )
        })
        .collect();
    let text = format!(
        "{HEAD}conditions: {{{}}}\nresources: {{a: {{type: B}}}}",
        levels.join(", ")
    );
    let document = Document::read(&text).unwrap();
    let (given, meter) = (BTreeMap::new(), Meter::default());
    let decided = Scope::new(&document, &given, &meter).decide(&Value::Text("c0".to_owned()));
    assert!(matches!(decided, Err(Reason::TooCostly)));
}

#[test]
fn the_index_of_a_member_stands_in_every_text_and_the_outer_group_comes_first() {
    let document = Document::read(&format!("{HEAD}resources: {{a: {{type: B}}}}")).unwrap();
    let (given, meter) = (BTreeMap::new(), Meter::default());
    let index = |variable: &str, number| {
        Some(Index {
            variable: variable.to_owned(),
            number,
        })
    };
    let scope = Scope::new(&document, &given, &meter).member(index("%index%", 1));
    let inner = scope.member(index("%i%", 2)).member(index("%index%", 3));
    assert_eq!(inner.evaluate(&text("%index%.%i%")).unwrap(), text("1.2"));
}
