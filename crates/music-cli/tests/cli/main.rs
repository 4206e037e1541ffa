//! The binary `music`, as a user runs it, against its own `music dev`.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod doctor;
#[cfg(test)]
#[cfg(feature = "live-engines")]
mod live;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod records;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod sql;
#[cfg(test)]
mod support;
