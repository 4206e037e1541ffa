//! The replica and its coordinators under an unkind network.

mod history;
mod interleavings;
mod steps;
mod world;
