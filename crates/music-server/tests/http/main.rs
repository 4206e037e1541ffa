//! A real deployment over loopback, a real client, and every route.

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod document;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod random;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod records;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod transport;
