//! A node over the embedded engine, without HTTP.

#[cfg(test)]
mod sections;
