//! A SQL database at every site over MUSIC.
//!
//! The log in MUSIC is the truth, and the database of a site is a cache of it.
//! `docs/design/mdbc.md` tells how it works.
//!
//! | module | what it is |
//! |---|---|
//! | [`partition`] | what is owned as one |
//! | [`redo_log`] | strong tables: what committed, in order |
//! | [`ownership`] | turns shared by the transactions of a site |
//! | [`outbox`] | eventual tables: what each site tells the others |
//! | [`sites`] | what the sites tell each other |

mod clock;
pub mod outbox;
pub mod ownership;
pub mod partition;
pub mod redo_log;
pub mod sites;
