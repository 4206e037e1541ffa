//! What a template takes of a site, and what a site has.
//!
//! Both are four numbers. They are two types so that a worker cannot hand one
//! where the other is meant: what is asked for is a [`Demand`], what there is
//! to give is a [`Capacity`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the four things a site can run out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// Virtual processors.
    Vcpus,
    /// Memory, in MB.
    RamMb,
    /// Local disk of the servers, in GB.
    DiskGb,
    /// Block storage of the volumes, in GB.
    VolumeGb,
}

impl fmt::Display for Dimension {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Vcpus => "vcpus",
            Self::RamMb => "ram_mb",
            Self::DiskGb => "disk_gb",
            Self::VolumeGb => "volume_gb",
        })
    }
}

/// What a template needs of the site that takes it; zero by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Demand {
    /// Virtual processors of all servers.
    pub vcpus: u64,
    /// Memory of all servers, in MB.
    pub ram_mb: u64,
    /// Local disk of all servers, in GB.
    pub disk_gb: u64,
    /// Size of all volumes, in GB.
    pub volume_gb: u64,
}

impl Demand {
    /// Both demands together; `None` if a sum exceeds what a `u64` holds.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            vcpus: self.vcpus.checked_add(other.vcpus)?,
            ram_mb: self.ram_mb.checked_add(other.ram_mb)?,
            disk_gb: self.disk_gb.checked_add(other.disk_gb)?,
            volume_gb: self.volume_gb.checked_add(other.volume_gb)?,
        })
    }

    /// Whether this much is there, in every dimension.
    pub fn fits(self, within: Capacity) -> bool {
        within.checked_sub(self).is_some()
    }

    /// The first dimension in which `within` is not enough; `None` if it fits.
    pub fn shortage(self, within: Capacity) -> Option<Shortage> {
        let pairs = [
            (Dimension::Vcpus, self.vcpus, within.vcpus),
            (Dimension::RamMb, self.ram_mb, within.ram_mb),
            (Dimension::DiskGb, self.disk_gb, within.disk_gb),
            (Dimension::VolumeGb, self.volume_gb, within.volume_gb),
        ];
        pairs
            .into_iter()
            .find(|(_, needed, free)| needed > free)
            .map(|(dimension, needed, free)| Shortage {
                dimension,
                needed,
                free,
            })
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            vcpus,
            ram_mb,
            disk_gb,
            volume_gb,
        } = self;
        write!(
            formatter,
            "{vcpus} vcpus, {ram_mb} MB memory, {disk_gb} GB disk, {volume_gb} GB volumes"
        )
    }
}

/// What a site has, or has left; zero by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Virtual processors.
    pub vcpus: u64,
    /// Memory, in MB.
    pub ram_mb: u64,
    /// Local disk for servers, in GB.
    pub disk_gb: u64,
    /// Block storage for volumes, in GB.
    pub volume_gb: u64,
}

impl Capacity {
    /// What is left after `demand` is taken; `None` if it does not fit.
    #[must_use]
    pub fn checked_sub(self, demand: Demand) -> Option<Self> {
        Some(Self {
            vcpus: self.vcpus.checked_sub(demand.vcpus)?,
            ram_mb: self.ram_mb.checked_sub(demand.ram_mb)?,
            disk_gb: self.disk_gb.checked_sub(demand.disk_gb)?,
            volume_gb: self.volume_gb.checked_sub(demand.volume_gb)?,
        })
    }
}

/// Why a demand does not fit: one dimension, what is needed and what is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The dimension that is short.
    pub dimension: Dimension,
    /// How much the template needs of it.
    pub needed: u64,
    /// How much the site has of it.
    pub free: u64,
}

impl fmt::Display for Shortage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            dimension,
            needed,
            free,
        } = self;
        write!(formatter, "needs {needed} {dimension}, has {free}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Demand = Demand {
        vcpus: 1,
        ram_mb: 2048,
        disk_gb: 20,
        volume_gb: 5,
    };
    const ROOM: Capacity = Capacity {
        vcpus: 2,
        ram_mb: 4096,
        disk_gb: 40,
        volume_gb: 10,
    };

    #[test]
    fn demands_add_in_every_dimension() {
        let two = SMALL.checked_add(SMALL).unwrap();
        assert_eq!(
            two,
            Demand {
                vcpus: 2,
                ram_mb: 4096,
                disk_gb: 40,
                volume_gb: 10
            }
        );
    }

    #[test]
    fn a_sum_too_large_to_hold_is_no_demand() {
        let huge = Demand {
            volume_gb: u64::MAX,
            ..Demand::default()
        };
        assert_eq!(huge.checked_add(SMALL), None);
    }

    #[test]
    fn a_demand_fits_up_to_and_including_all_that_is_there() {
        let two = SMALL.checked_add(SMALL).unwrap();
        assert!(two.fits(ROOM));
        assert_eq!(ROOM.checked_sub(two), Some(Capacity::default()));
        assert_eq!(two.shortage(ROOM), None);
    }

    #[test]
    fn one_dimension_too_many_is_enough_not_to_fit() {
        let wide = Demand {
            volume_gb: 11,
            ..SMALL
        };
        assert!(!wide.fits(ROOM));
        assert_eq!(
            wide.shortage(ROOM).unwrap().to_string(),
            "needs 11 volume_gb, has 10"
        );
    }

    #[test]
    fn nothing_fits_anywhere() {
        assert!(Demand::default().fits(Capacity::default()));
    }
}
