//! A real deployment over loopback, a real client, and every route.

mod fixture;
mod records;
