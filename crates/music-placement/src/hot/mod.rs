//! Reads what a HOT template needs: its servers with their flavors, its volumes
//! with their sizes, and the sum.
//!
//! HOT is the YAML template format of `OpenStack`'s orchestration service, Heat.
//! A template declares *parameters* and *resources*; a resource has a type and
//! properties, and properties may call functions (`get_param`, `if`, …). Only a
//! few types take capacity, so only their properties are evaluated:
//!
//! | Type | Takes |
//! |---|---|
//! | `OS::Nova::Server` | its `flavor`, and a volume for each block device made for it |
//! | `OS::Cinder::Volume` | its `size` |
//! | `OS::Heat::ResourceGroup` | `count` times its `resource_def` |
//! | `OS::Heat::AutoScalingGroup` | `desired_capacity`, else `min_size`, times its `resource` |
//! | a file name | what that template takes with the properties as its parameters |
//! | other `OS::` and `AWS::` types | nothing, save for those in [`UNSUPPORTED_TYPES`] |
//! | any other type | unknown, unless the catalogue lists it under `no_capacity_types` |
//!
//! A resource with an `external_id` exists already and takes nothing; one whose
//! condition is false is not there.
//!
//! # Values that are missing
//!
//! The value of a parameter is the one given with the template (only the
//! outermost takes those; a nested one is given its properties), else its
//! default. If a flavor, size or count comes to a parameter with neither, the
//! catalogue's `default_flavor`, `default_volume_gb` or `default_count` stands
//! in; if the parameter's constraints refuse that, the first allowed value does,
//! or the nearest end of the range. A volume made from something that exists,
//! without a size of its own, takes the default size. A condition that cannot be
//! decided counts as true, so that no server is left out of the sum. Each such
//! [`Assumption`] is stated in the [`Template`]. Anything else that capacity
//! depends on and that cannot be told makes the template [`Unreadable`].
//!
//! # Bounds
//!
//! Heat's own limits where it has them ([`FILE_BYTES_MAX`], [`STACK_DEPTH_MAX`],
//! [`RESOURCES_MAX`]); YAML is bounded in [`YAML_DEPTH_MAX`] and its neighbours,
//! evaluation by [`EVALUATION_COST_MAX`]. The least a bound protects against is
//! a template of a kilobyte that expands to gigabytes.

mod block_device;
mod document;
mod environment;
mod evaluate;
mod parameter;
mod reason;
mod source;
mod stack;
mod take;
mod template;
mod value;

pub use environment::{Environment, EnvironmentError};
pub use reason::{Reason, Unreadable, Unresolved};
pub use source::{Files, Folder, Source};
pub use stack::UNSUPPORTED_TYPES;
pub use template::{Assumption, Server, Template, Volume};
pub use value::{
    YAML_ALIAS_EVENTS_MAX, YAML_DEPTH_MAX, YAML_NODES_MAX, YAML_TEXT_BYTES_MAX, YamlError,
};

use crate::catalogue::Catalogue;

/// Longest template file, in bytes; Heat's `max_template_size`.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// Most files one template may draw on, itself included.
pub const FILES_MAX: usize = 64;
/// Deepest nesting of groups and templates below the outermost; Heat's
/// `max_nested_stack_depth`.
pub const STACK_DEPTH_MAX: usize = 5;
/// Most resources of a template in all, groups and nested templates included;
/// Heat's `max_resources_per_stack`.
pub const RESOURCES_MAX: usize = 1_000;
/// Most members a group may start with.
pub const GROUP_COUNT_MAX: u64 = 1_000;
/// Largest volume, in GB: a petabyte.
pub const VOLUME_GB_MAX: u64 = 1_000_000;
/// Most that evaluating one template may copy, in bytes of text and values.
pub const EVALUATION_COST_MAX: usize = 64 * 1024 * 1024;

/// Reads templates by the rules of one catalogue.
///
/// ```
/// use music_placement::{Catalogue, Files, Reader};
///
/// let catalogue = Catalogue::built_in()?;
/// let mut files = Files::new();
/// files.insert("web.yaml".into(), "
/// heat_template_version: 2021-04-16
/// parameters: {servers: {type: number, default: 3}}
/// resources:
///   web:
///     type: OS::Heat::ResourceGroup
///     properties:
///       count: {get_param: servers}
///       resource_def: {type: OS::Nova::Server, properties: {flavor: m1.small}}
/// ".into());
/// let template = Reader::new(&catalogue).read("web.yaml", &files)?;
/// assert_eq!(template.servers.len(), 3);
/// assert_eq!(template.demand.vcpus, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    catalogue: &'a Catalogue,
    environment: Environment,
}

impl<'a> Reader<'a> {
    /// A reader that gives templates no parameters.
    pub fn new(catalogue: &'a Catalogue) -> Self {
        Self {
            catalogue,
            environment: Environment::default(),
        }
    }

    /// The same reader, giving every outermost template these parameters.
    ///
    /// A parameter that a template does not declare is no fault: one
    /// environment serves a folder of templates.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Reads the template of this name, and those it nests, from a source.
    ///
    /// # Errors
    /// Whatever keeps its needs from being told, with the template's name.
    pub fn read(&self, name: &str, source: &dyn Source) -> Result<Template, Unreadable> {
        stack::read(self.catalogue, self.environment.parameters(), name, source).map_err(|reason| {
            Unreadable {
                name: name.to_owned(),
                reason,
            }
        })
    }
}

#[cfg(test)]
mod tests;
