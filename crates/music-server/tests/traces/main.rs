//! What traces tell: real nodes and the real client, and a collector that
//! takes what they export.
//!
//! Nothing here is measured: what overlaps was held until all of it had begun.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod sections;
