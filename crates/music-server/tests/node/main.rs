//! A node over the embedded engine, without HTTP.

#[cfg(test)]
mod affinity;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod sections;
