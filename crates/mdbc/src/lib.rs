//! A SQL database at every site over MUSIC.
//!
//! One process a site speaks the PostgreSQL protocol ([`proxy`]) in front of a
//! local engine ([`engine`]). What PostgreSQL's SQL means is decided once, by
//! `dialect`, against the schema of the database and the types of everything
//! in a statement; what mdbc does not have is refused by its name.
//!
//! A session is idle, or in a transaction, and everything that a client asks
//! for runs through it; what the other sites are to know passes
//! [`Replication`](engine::Replication).

#![allow(
    clippy::map_err_ignore,
    reason = "what a number or a text failed to parse with says no more than the SQLSTATE"
)]
#![allow(
    clippy::format_push_string,
    reason = "statements are put together piece by piece; running them costs far more"
)]

mod catalog;
mod clock;
pub mod config;
mod dialect;
mod dice;
pub mod engine;
pub mod error;
pub mod proxy;
mod session;
pub mod types;
