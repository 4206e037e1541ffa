//! A real deployment over loopback, a real client, and every route.

mod bad_input;
mod controls;
mod document;
mod events;
mod fixture;
mod locks;
mod random;
mod records;
mod schema;
mod transport;
