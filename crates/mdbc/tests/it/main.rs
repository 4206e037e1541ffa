//! The front with real clients, against a site in this process.

mod local;
mod noise;
mod other_clients;
mod psql;
mod site;
mod transcripts;
