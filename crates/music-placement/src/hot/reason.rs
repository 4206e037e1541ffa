//! Why a template, or a single value in it, cannot be read.

use super::value::YamlError;
use super::{
    EVALUATION_COST_MAX, FILE_BYTES_MAX, FILES_MAX, GROUP_COUNT_MAX, RESOURCES_MAX, STACK_DEPTH_MAX,
};

/// A template that cannot be placed, by name, with the reason.
#[derive(Debug, thiserror::Error)]
#[error("template {name:?} is unreadable: {reason}")]
pub struct Unreadable {
    /// File name of the template.
    pub name: String,
    /// Why it cannot be read.
    #[source]
    pub reason: Reason,
}

/// Why what a template needs cannot be told.
///
/// `resource` is the path of a resource in the stack: its name, below the name
/// and number of the group and the name of the nested stack it belongs to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// The name cannot be that of a template beside this one.
    #[error("{file:?} names no file in the folder of the template")]
    OutsideFolder {
        /// The name as the template gives it.
        file: String,
    },
    /// The file could not be read.
    #[error("cannot be read from disk: {0}")]
    Io(#[from] std::io::Error),
    /// The file is not a plain file.
    #[error("is not a plain file")]
    NotAFile,
    /// The file is longer than [`FILE_BYTES_MAX`].
    #[error("is longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    /// The file is not text.
    #[error("is not UTF-8 text: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The text is not one YAML document within the bounds.
    #[error("is not YAML within bounds: {0}")]
    Yaml(#[from] YamlError),
    /// The document has no `heat_template_version`.
    #[error("is not a HOT template: it has no heat_template_version")]
    NotHot,
    /// The version is neither a date nor the name of a release.
    #[error("heat_template_version is neither a date nor a release name, but {found}")]
    Version {
        /// What stands there.
        found: String,
    },
    /// A section is missing or not what it must be.
    #[error("section {section:?} must be a map with at least one entry")]
    Section {
        /// The section.
        section: &'static str,
    },
    /// A resource or parameter is not a map, or a resource has no type.
    #[error("{section} {name:?} is malformed")]
    Malformed {
        /// The section it is in.
        section: &'static str,
        /// Its name.
        name: String,
    },
    /// A property that decides capacity is missing.
    #[error("resource {resource:?} has no {property}")]
    MissingProperty {
        /// The resource.
        resource: String,
        /// The property.
        property: &'static str,
    },
    /// A property that decides capacity has a value that makes no sense.
    #[error("resource {resource:?}: {property} cannot be {found}")]
    BadProperty {
        /// The resource.
        resource: String,
        /// The property.
        property: &'static str,
        /// What its value is.
        found: String,
    },
    /// A property that decides capacity cannot be evaluated.
    #[error("resource {resource:?}: {property} cannot be told: {why}")]
    Unresolved {
        /// The resource.
        resource: String,
        /// The property.
        property: &'static str,
        /// Why not.
        #[source]
        why: Unresolved,
    },
    /// The catalogue does not list the flavor.
    #[error("resource {resource:?}: flavor {flavor:?} is not in the catalogue")]
    UnknownFlavor {
        /// The resource.
        resource: String,
        /// The flavor it asks for.
        flavor: String,
    },
    /// A type that takes capacity which cannot be told, or that nobody knows.
    #[error("resource {resource:?}: what a {kind:?} takes cannot be told")]
    UnsupportedType {
        /// The resource.
        resource: String,
        /// Its type.
        kind: String,
    },
    /// The desired size of a group is not between its least and greatest.
    #[error("resource {resource:?}: {desired} members are not between {min} and {max}")]
    GroupBounds {
        /// The group.
        resource: String,
        /// Members it shall start with.
        desired: u64,
        /// Fewest it may have.
        min: u64,
        /// Most it may have.
        max: u64,
    },
    /// A nested template cannot be read.
    #[error("resource {resource:?}: nested template {file:?}: {reason}")]
    Nested {
        /// The resource whose type names the template.
        resource: String,
        /// The name as the template gives it.
        file: String,
        /// Why it cannot be read.
        #[source]
        reason: Box<Self>,
    },
    /// A template contains itself.
    #[error("contains itself: {}", chain.join(" > "))]
    Cycle {
        /// The files from the outermost to the one that comes round again.
        chain: Vec<String>,
    },
    /// Groups and nested templates go deeper than [`STACK_DEPTH_MAX`].
    #[error("resource {resource:?}: groups and templates nest deeper than {STACK_DEPTH_MAX}")]
    TooDeep {
        /// The resource that is one level too deep.
        resource: String,
    },
    /// A group has more members than [`GROUP_COUNT_MAX`].
    #[error("resource {resource:?}: a group of {count} is larger than {GROUP_COUNT_MAX}")]
    GroupTooLarge {
        /// The group.
        resource: String,
        /// Members it asks for.
        count: u64,
    },
    /// The stack has more resources than [`RESOURCES_MAX`].
    #[error("has more than {RESOURCES_MAX} resources, groups and nested templates included")]
    TooManyResources,
    /// The template draws on more files than [`FILES_MAX`].
    #[error("draws on more than {FILES_MAX} files")]
    TooManyFiles,
    /// Evaluation would copy more than [`EVALUATION_COST_MAX`].
    #[error("takes more than {EVALUATION_COST_MAX} steps to evaluate")]
    TooCostly,
    /// The sum of all resources does not fit a `u64`.
    #[error("needs more than can be counted")]
    TooMuch,
}

/// Why a value cannot be told before the stack runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// The parameter has no value and the policy has nothing to stand in.
    #[error("parameter {parameter:?} has no value")]
    NoValue {
        /// The parameter.
        parameter: String,
    },
    /// The parameter is not declared.
    #[error("parameter {parameter:?} is not declared")]
    Undeclared {
        /// The parameter.
        parameter: String,
    },
    /// The parameter's value is one its constraints refuse.
    #[error("parameter {parameter:?} does not admit {found}")]
    NotAdmitted {
        /// The parameter.
        parameter: String,
        /// Its value.
        found: String,
    },
    /// A path into a parameter leads nowhere.
    #[error("parameter {parameter:?} has nothing at {step}")]
    NoSuchPath {
        /// The parameter.
        parameter: String,
        /// The first step of the path that fails.
        step: String,
    },
    /// Heat fills this parameter in when it creates the stack.
    #[error("{parameter:?} is known once the stack is created")]
    Pseudo {
        /// The parameter.
        parameter: String,
    },
    /// A function that needs the running stack, other files, or is not read.
    #[error("the function {function} is not evaluated before the stack runs")]
    NotEvaluated {
        /// The function.
        function: String,
    },
    /// A function whose arguments make no sense.
    #[error("{function} has malformed arguments")]
    BadArguments {
        /// The function.
        function: &'static str,
    },
    /// A condition that cannot be decided.
    #[error("the condition it depends on cannot be decided")]
    Undecided,
}
