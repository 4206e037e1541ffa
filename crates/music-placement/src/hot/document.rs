//! A parsed template: parameters, conditions and resources, nothing evaluated.

use std::collections::BTreeMap;

use super::parameter::Parameter;
use super::reason::Reason;
use super::value::{self, Value};

/// What a placement reads of a template; outputs and descriptions are not.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) parameters: BTreeMap<String, Parameter>,
    pub(crate) conditions: BTreeMap<String, Value>,
    pub(crate) resources: BTreeMap<String, Resource>,
}

/// A resource as written, in a template or in the definition of a group.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) kind: String,
    pub(crate) properties: BTreeMap<String, Value>,
    /// Name of a condition or an expression; `None` if it is always there.
    pub(crate) condition: Option<Value>,
    /// Whether the stack only points at something that exists already.
    pub(crate) external: bool,
}

impl Document {
    /// Parses the text of a template.
    pub(crate) fn read(text: &str) -> Result<Self, Reason> {
        let root = value::parse(text)?;
        let sections = root.as_map().ok_or(Reason::NotHot)?;
        check_version(
            sections
                .get("heat_template_version")
                .ok_or(Reason::NotHot)?,
        )?;
        let resources = sections
            .get("resources")
            .and_then(Value::as_map)
            .filter(|resources| !resources.is_empty())
            .ok_or(Reason::Section {
                section: "resources",
            })?;
        Ok(Self {
            parameters: read_parameters(sections)?,
            conditions: optional(sections, "conditions")?
                .cloned()
                .unwrap_or_default(),
            resources: read_resources(resources)?,
        })
    }
}

impl Resource {
    /// Reads a resource; `None` if it is malformed.
    pub(crate) fn read(declared: &Value) -> Option<Self> {
        let declared = declared.as_map()?;
        let properties = match declared.get("properties") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(properties) => properties.as_map()?.clone(),
        };
        Some(Self {
            kind: declared.get("type")?.as_text()?.to_owned(),
            properties,
            condition: declared.get("condition").cloned(),
            external: declared
                .get("external_id")
                .is_some_and(|id| *id != Value::Null),
        })
    }
}

/// Dates are not compared with a list: a later version adds functions, which
/// evaluation reports when capacity depends on them, and changes none of what
/// is read here.
fn check_version(version: &Value) -> Result<(), Reason> {
    let is_date = |text: &str| {
        let lengths: Vec<_> = text.split('-').map(str::len).collect();
        lengths == [4, 2, 2]
            && text
                .chars()
                .all(|symbol| symbol == '-' || symbol.is_ascii_digit())
    };
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|symbol| symbol.is_ascii_lowercase());
    match version.as_text() {
        Some(text) if is_date(text) || is_name(text) => Ok(()),
        _ => Err(Reason::Version {
            found: version.to_string(),
        }),
    }
}

fn optional<'a>(
    sections: &'a BTreeMap<String, Value>,
    section: &'static str,
) -> Result<Option<&'a BTreeMap<String, Value>>, Reason> {
    match sections.get(section) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_map().map(Some).ok_or(Reason::Section { section }),
    }
}

fn read_parameters(
    sections: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Parameter>, Reason> {
    let Some(declared) = optional(sections, "parameters")? else {
        return Ok(BTreeMap::new());
    };
    let mut parameters = BTreeMap::new();
    for (name, value) in declared {
        let malformed = || Reason::Malformed {
            section: "parameter",
            name: name.clone(),
        };
        let parameter = Parameter::read(value.as_map().ok_or_else(malformed)?);
        parameters.insert(name.clone(), parameter);
    }
    Ok(parameters)
}

fn read_resources(
    declared: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Resource>, Reason> {
    let mut resources = BTreeMap::new();
    for (name, value) in declared {
        let malformed = || Reason::Malformed {
            section: "resource",
            name: name.clone(),
        };
        resources.insert(name.clone(), Resource::read(value).ok_or_else(malformed)?);
    }
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        Document::read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_version_is_a_date_or_the_name_of_a_release() {
        for version in ["2013-05-23", "'2021-04-16'", "newton", "wallaby"] {
            let text = format!("heat_template_version: {version}\nresources: {{a: {{type: B}}}}");
            assert!(Document::read(&text).is_ok(), "{version}");
        }
        for version in ["2", "2013", "13-5-2", "New ton", "[]", "''"] {
            let text = format!("heat_template_version: {version}\nresources: {{a: {{type: B}}}}");
            assert!(
                reason(&text).starts_with("heat_template_version is neither"),
                "{version}"
            );
        }
    }

    #[test]
    fn other_yaml_is_not_a_template() {
        for text in [
            "",
            "just text",
            "[1, 2]",
            "AWSTemplateFormatVersion: '2010-09-09'",
        ] {
            assert!(
                matches!(Document::read(text), Err(Reason::NotHot)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_template_without_resources_has_nothing_to_place() {
        for resources in ["", "resources:", "resources: {}", "resources: [a]"] {
            let text = format!("heat_template_version: 2013-05-23\n{resources}");
            assert_eq!(
                reason(&text),
                "section \"resources\" must be a map with at least one entry"
            );
        }
    }

    #[test]
    fn a_malformed_part_is_named() {
        let head = "heat_template_version: 2013-05-23\n";
        assert_eq!(
            reason(&format!("{head}resources: {{web: {{properties: {{}}}}}}")),
            "resource \"web\" is malformed"
        );
        assert_eq!(
            reason(&format!(
                "{head}parameters: {{size: 3}}\nresources: {{a: {{type: B}}}}"
            )),
            "parameter \"size\" is malformed"
        );
    }
}
