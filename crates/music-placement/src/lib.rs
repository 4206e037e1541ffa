//! The placement service: application templates placed exactly once over several sites.
