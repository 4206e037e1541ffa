//! Parameter values given along with templates: Heat's environment files.

use std::collections::BTreeMap;

use super::FILE_BYTES_MAX;
use super::value::{self, Value, YamlError};

/// Values for the parameters of outermost templates; none by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    parameters: BTreeMap<String, Value>,
}

/// Why an environment file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// The file is longer than [`FILE_BYTES_MAX`].
    #[error("the environment is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// The text is not one YAML document within the bounds.
    #[error("the environment is not YAML within bounds: {0}")]
    Yaml(#[from] YamlError),
    /// The document, or its `parameters`, is not a map.
    #[error("the environment must be a map with a map named \"parameters\"")]
    NotAMap,
    /// A section other than `parameters`, which would have no effect here.
    #[error("the environment's section {section:?} is not supported")]
    Section {
        /// The section.
        section: String,
    },
}

impl Environment {
    /// Reads an environment file: a YAML map with `parameters`.
    ///
    /// # Errors
    /// The text is no such map, or has sections this service does not follow.
    pub fn read(text: &str) -> Result<Self, EnvironmentError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(EnvironmentError::TooLong);
        }
        let root = value::parse(text)?;
        let sections = root.as_map().ok_or(EnvironmentError::NotAMap)?;
        if let Some(section) = sections.keys().find(|section| *section != "parameters") {
            return Err(EnvironmentError::Section {
                section: section.clone(),
            });
        }
        let parameters = sections.get("parameters").and_then(Value::as_map);
        Ok(Self {
            parameters: parameters.ok_or(EnvironmentError::NotAMap)?.clone(),
        })
    }

    /// The same environment with one more value, which takes the type of its
    /// parameter: `"3"` is a number where a number is declared.
    #[must_use]
    pub fn with(mut self, parameter: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters
            .insert(parameter.into(), Value::Text(value.into()));
        self
    }

    pub(crate) fn parameters(&self) -> &BTreeMap<String, Value> {
        &self.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_a_map_of_parameters() {
        let environment = Environment::read("parameters: {flavor: m1.large}").unwrap();
        assert_eq!(
            environment,
            Environment::default().with("flavor", "m1.large")
        );
    }

    #[test]
    fn a_section_without_effect_is_refused_by_name() {
        let error = Environment::read("parameters: {}\nresource_registry: {}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment's section \"resource_registry\" is not supported"
        );
        assert!(matches!(
            Environment::read("[1]"),
            Err(EnvironmentError::NotAMap)
        ));
        assert!(matches!(
            Environment::read("a: [1"),
            Err(EnvironmentError::Yaml(_))
        ));
    }
}
