//! What is known of a template once it is read.

use std::collections::BTreeSet;
use std::fmt;

use super::source::Files;
use crate::demand::Demand;

/// A template whose needs are known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// Its file name.
    pub name: String,
    /// Every server, in the order of resource names.
    pub servers: Vec<Server>,
    /// Every volume, in the order of resource names.
    pub volumes: Vec<Volume>,
    /// What all of them take together.
    pub demand: Demand,
    /// What was assumed where the template leaves a value open.
    pub assumptions: BTreeSet<Assumption>,
    /// The text of the template and of all it nests, by file name.
    pub files: Files,
}

/// A server of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Path of the resource: `web`, or `group.0.server` inside a group.
    pub resource: String,
    /// Name of its flavor, which the catalogue lists.
    pub flavor: String,
}

/// A volume of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Path of the resource; of the server for a block device made with it.
    pub resource: String,
    /// Size in GB, at least one.
    pub gb: u64,
}

/// What was taken for granted because the template leaves it open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Assumption {
    /// A flavor parameter has no value.
    Flavor {
        /// The parameter.
        parameter: String,
        /// The flavor that stands in.
        flavor: String,
    },
    /// A volume size parameter has no value.
    VolumeGb {
        /// The parameter.
        parameter: String,
        /// The size that stands in, in GB.
        gb: u64,
    },
    /// A parameter for the size of a group has no value.
    Count {
        /// The parameter.
        parameter: String,
        /// The number of members that stands in.
        count: u64,
    },
    /// A volume takes its size from a snapshot, volume or backup.
    VolumeFromSource {
        /// The volume.
        resource: String,
        /// The size that stands in, in GB.
        gb: u64,
    },
    /// A condition cannot be decided, and the resource counts as there.
    ConditionHolds {
        /// The resource.
        resource: String,
    },
    /// The catalogue says that a type, unknown to Heat, takes nothing.
    TakesNothing {
        /// The type.
        kind: String,
    },
}

impl fmt::Display for Assumption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flavor { parameter, flavor } => {
                write!(
                    formatter,
                    "parameter {parameter:?} has no value: flavor {flavor}"
                )
            }
            Self::VolumeGb { parameter, gb } => {
                write!(
                    formatter,
                    "parameter {parameter:?} has no value: a volume of {gb} GB"
                )
            }
            Self::Count { parameter, count } => {
                write!(
                    formatter,
                    "parameter {parameter:?} has no value: {count} member(s)"
                )
            }
            Self::VolumeFromSource { resource, gb } => {
                write!(
                    formatter,
                    "volume {resource:?} is as large as its source: {gb} GB"
                )
            }
            Self::ConditionHolds { resource } => {
                write!(
                    formatter,
                    "the condition of {resource:?} is open: it is there"
                )
            }
            Self::TakesNothing { kind } => write!(formatter, "a {kind:?} takes nothing"),
        }
    }
}
