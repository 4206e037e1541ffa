//! A SQL database at every site over MUSIC.
//!
//! One process a site speaks the PostgreSQL protocol ([`proxy`]) in front of a
//! local engine ([`engine`]). What PostgreSQL's SQL means is decided once, by
//! `dialect`, against the schema of the database and the types of everything
//! in a statement; what mdbc does not have is refused by its name.
//!
//! The log in MUSIC is the truth, and the database of a site is a cache of it.
//! `docs/design/mdbc.md` tells how it works.
//!
//! A session is idle, or in a transaction, and everything that a client asks
//! for runs through it; what the other sites are to know passes
//! [`Replication`](engine::Replication), and [`replicated`] is that over MUSIC.
//!
//! | module | what it is |
//! |---|---|
//! | [`proxy`] | the PostgreSQL wire protocol |
//! | [`server`] | the process at one site |
//! | `session` | transactions and statements of a connection |
//! | `postgres` | the same where the local engine is the site's own PostgreSQL |
//! | `dialect`, `catalog`, [`types`] | what SQL means here |
//! | [`engine`] | the local database |
//! | [`replicated`] | what transactions have to do with other sites |
//! | [`partition`] | what is owned as one |
//! | `freshness` | whether a transaction reads the latest, or what the site has |
//! | `ranges` | which ranges of tables a statement touches |
//! | [`redo_log`] | strong tables: what committed, in order |
//! | [`ownership`] | turns shared by the transactions of a site |
//! | [`outbox`] | eventual tables: what each site tells the others |
//! | [`sites`] | what the sites tell each other |
//! | [`snapshot`] | a site's database, given to another |
//! | [`status`], `metrics` | what a site tells of itself |

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
mod freshness;
mod metrics;
pub mod outbox;
pub mod ownership;
pub mod partition;
mod postgres;
pub mod proxy;
mod ranges;
pub mod redo_log;
pub mod replicated;
pub mod server;
mod session;
pub mod sites;
pub mod snapshot;
pub mod status;
pub mod types;
