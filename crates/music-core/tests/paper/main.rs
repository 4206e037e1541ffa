//! PROTOCOL.md as tests: one for each sentence that a section alone can keep
//! or break, named after it.
//!
//! | file | section of PROTOCOL.md |
//! |---|---|
//! | `stamps` | Stamps |
//! | `acquire` | createLockRef, acquire |
//! | `synchronise` | synchronise, the synchronization flag |
//! | `put`, `get` | criticalPut, criticalGet |
//! | `release` | release, confirmed release |
//! | `leases` | forced release, client and node leases |
//! | `adoption` | another node mid-section |
//! | `key_sets` | key sets |
//! | `affinity` | Site affinity |
//! | `histories` | What breaks without each rule |
//!
//! What a queue alone can keep is tested in `src/lock_queue/tests.rs`; what
//! needs a million puts, in `src/critical_section/tests.rs`.

#[cfg(test)]
mod acquire;
#[cfg(test)]
mod adoption;
#[cfg(test)]
mod affinity;
#[cfg(test)]
#[path = "../common/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "what one test crate does not use, another does"
)]
mod common;
#[cfg(test)]
mod get;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod key_sets;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod put;
#[cfg(test)]
mod release;
#[cfg(test)]
mod stamps;
#[cfg(test)]
mod synchronise;
