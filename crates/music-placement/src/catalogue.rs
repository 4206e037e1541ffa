//! What the placement service knows of the cloud: flavors, sites, and defaults.
//!
//! A catalogue is one TOML file. It is read whole before anything is refused,
//! so that whoever edits it sees all its faults in one go; a setting it does
//! not know is one of them.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::demand::{Capacity, Demand};
use table::TableReader;

/// Largest catalogue file that is read, in bytes.
pub const CATALOGUE_BYTES_MAX: usize = 1024 * 1024;
/// Most flavors a catalogue may list.
pub const FLAVORS_MAX: usize = 1_000;
/// Most sites a catalogue may name.
pub const SITES_MAX: usize = 1_000;
/// Largest amount a single setting may give, in its own unit.
///
/// A million million: sums over any number of resources the reader admits stay
/// far below what a `u64` holds.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000;

const BUILT_IN: &str = include_str!("../catalogue.toml");

/// What one server of a flavor takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavor {
    /// Virtual processors, at least one.
    pub vcpus: u64,
    /// Memory in MB, at least one.
    pub ram_mb: u64,
    /// Local disk in GB; zero for servers without any.
    pub disk_gb: u64,
}

impl From<Flavor> for Demand {
    fn from(flavor: Flavor) -> Self {
        let Flavor {
            vcpus,
            ram_mb,
            disk_gb,
        } = flavor;
        Self {
            vcpus,
            ram_mb,
            disk_gb,
            volume_gb: 0,
        }
    }
}

/// Flavors, what each site has, and what stands in for values that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    default_flavor: String,
    default_volume_gb: u64,
    default_count: u64,
    no_capacity_types: BTreeSet<String>,
    flavors: BTreeMap<String, Flavor>,
    site_default: Option<Capacity>,
    sites: BTreeMap<String, Capacity>,
}

impl Catalogue {
    /// Reads a catalogue from TOML text.
    ///
    /// # Errors
    /// All faults of the text together.
    pub fn read(text: &str) -> Result<Self, CatalogueError> {
        let faults = match parse(text) {
            Ok(table) => match read_table(table) {
                (catalogue, faults) if faults.is_empty() => return Ok(catalogue),
                (_, faults) => faults,
            },
            Err(fault) => vec![fault],
        };
        Err(CatalogueError { faults })
    }

    /// The catalogue that comes with the service.
    ///
    /// # Errors
    /// None in a released build: a test reads the very file.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::read(BUILT_IN)
    }

    /// The text of the catalogue that comes with the service, to start from.
    pub fn built_in_text() -> &'static str {
        BUILT_IN
    }

    /// What a server of this flavor takes; `None` for a flavor not listed.
    pub fn flavor(&self, name: &str) -> Option<Flavor> {
        self.flavors.get(name).copied()
    }

    /// All flavors, by name.
    pub fn flavors(&self) -> impl Iterator<Item = (&str, Flavor)> {
        self.flavors
            .iter()
            .map(|(name, flavor)| (name.as_str(), *flavor))
    }

    /// What a site has in all; `None` if it is not named and there is no default.
    pub fn capacity(&self, site: &str) -> Option<Capacity> {
        self.sites.get(site).copied().or(self.site_default)
    }

    /// Flavor of a server whose flavor parameter has no value.
    pub fn default_flavor(&self) -> &str {
        &self.default_flavor
    }

    /// Size, in GB, of a volume whose size has no value.
    pub fn default_volume_gb(&self) -> u64 {
        self.default_volume_gb
    }

    /// Members of a group whose count parameter has no value.
    pub fn default_count(&self) -> u64 {
        self.default_count
    }

    /// Whether the operator declares that this resource type takes nothing.
    pub fn takes_nothing(&self, resource_type: &str) -> bool {
        self.no_capacity_types.contains(resource_type)
    }
}

/// Why a catalogue was refused: every fault found, in the order of the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the catalogue has {} fault(s): {}", faults.len(), Faults(faults))]
pub struct CatalogueError {
    /// The faults; never empty.
    pub faults: Vec<CatalogueFault>,
}

struct Faults<'a>(&'a [CatalogueFault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// One thing wrong with a catalogue. `setting` is the path of the setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueFault {
    /// The text is longer than [`CATALOGUE_BYTES_MAX`].
    #[error("{bytes} bytes is more than the {CATALOGUE_BYTES_MAX} a catalogue may have")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// The text is not TOML.
    #[error("not TOML: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// A setting that does not exist, most often a misspelt one.
    #[error("{setting}: no such setting")]
    Unknown {
        /// Where it stands.
        setting: String,
    },
    /// A setting that must be there is not.
    #[error("{setting}: missing")]
    Missing {
        /// Where it should stand.
        setting: String,
    },
    /// A setting of the wrong type.
    #[error("{setting}: must be {expected}, is {found}")]
    WrongType {
        /// Where it stands.
        setting: String,
        /// The type it must have.
        expected: &'static str,
        /// The type it has.
        found: &'static str,
    },
    /// A number outside its range; both ends are inclusive.
    #[error("{setting}: {found} is not within {min} to {max}")]
    OutOfRange {
        /// Where it stands.
        setting: String,
        /// What it says.
        found: i64,
        /// Least value it may have.
        min: u64,
        /// Greatest value it may have.
        max: u64,
    },
    /// The default flavor is not among the flavors.
    #[error("default_flavor: {flavor:?} is not among the flavors")]
    DefaultFlavorUnknown {
        /// The flavor named.
        flavor: String,
    },
    /// More entries than a section may have.
    #[error("{setting}: {found} entries are more than {max}")]
    TooMany {
        /// The section.
        setting: &'static str,
        /// Entries it has.
        found: usize,
        /// Entries it may have.
        max: usize,
    },
    /// Neither a default for all sites nor a single site is given.
    #[error("no site has any capacity: give [site_default] or [sites.NAME]")]
    NoSite,
}

fn parse(text: &str) -> Result<toml::Table, CatalogueFault> {
    if text.len() > CATALOGUE_BYTES_MAX {
        return Err(CatalogueFault::TooLong { bytes: text.len() });
    }
    text.parse::<toml::Table>()
        .map_err(|error| CatalogueFault::Syntax(Box::new(error)))
}

fn read_table(table: toml::Table) -> (Catalogue, Vec<CatalogueFault>) {
    let mut faults = Vec::new();
    let mut root = TableReader::new(String::new(), table, &mut faults);
    let default_flavor = root.text("default_flavor");
    let default_volume_gb = root.amount("default_volume_gb", 1);
    let default_count = root.amount("default_count", 0);
    let no_capacity_types = root.texts("no_capacity_types");
    let flavor_tables = root.tables("flavors", FLAVORS_MAX);
    let site_default_table = root.table("site_default");
    let site_tables = root.tables("sites", SITES_MAX);
    root.finish();

    let flavors: BTreeMap<_, _> = flavor_tables
        .into_iter()
        .map(|(name, table)| {
            let path = format!("flavors.{name:?}");
            (
                name,
                read_flavor(TableReader::new(path, table, &mut faults)),
            )
        })
        .collect();
    let site_default = site_default_table
        .map(|table| read_capacity(TableReader::new("site_default".into(), table, &mut faults)));
    let sites: BTreeMap<_, _> = site_tables
        .into_iter()
        .map(|(name, table)| {
            let path = format!("sites.{name:?}");
            (
                name,
                read_capacity(TableReader::new(path, table, &mut faults)),
            )
        })
        .collect();

    if !default_flavor.is_empty() && !flavors.contains_key(&default_flavor) {
        faults.push(CatalogueFault::DefaultFlavorUnknown {
            flavor: default_flavor.clone(),
        });
    }
    if site_default.is_none() && sites.is_empty() {
        faults.push(CatalogueFault::NoSite);
    }
    let catalogue = Catalogue {
        default_flavor,
        default_volume_gb,
        default_count,
        no_capacity_types,
        flavors,
        site_default,
        sites,
    };
    (catalogue, faults)
}

fn read_flavor(mut table: TableReader<'_>) -> Flavor {
    let flavor = Flavor {
        vcpus: table.amount("vcpus", 1),
        ram_mb: table.amount("ram_mb", 1),
        disk_gb: table.amount("disk_gb", 0),
    };
    table.finish();
    flavor
}

fn read_capacity(mut table: TableReader<'_>) -> Capacity {
    let capacity = Capacity {
        vcpus: table.amount("vcpus", 0),
        ram_mb: table.amount("ram_mb", 0),
        disk_gb: table.amount("disk_gb", 0),
        volume_gb: table.amount("volume_gb", 0),
    };
    table.finish();
    capacity
}

#[cfg(test)]
mod tests;
