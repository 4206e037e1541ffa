//! The service: workers at each site place what clients submit, exactly once.
//!
//! This is the program to learn MUSIC from. Each module uses one or two of its
//! operations:
//!
//! | module | does | with |
//! |---|---|---|
//! | [`submit`](mod@submit) | submits a template at the nearest site | eventual put |
//! | `board` | looks what there is to do | eventual get and scan: hints |
//! | `place` | places a template: **read this one** | multi-key lock, critical get and put, fencing token, confirmed release |
//! | `settle` | cleans up after a section that did not end | the same lock, idempotent steps |
//! | [`audit`](mod@audit) | judges | shared locks |
//! | [`progress`](mod@progress) | tells a client how far it is | eventual get and scan |
//! | [`tables`] | what is stored where | tables with a mode |
//! | [`inventory`] | the systems of a site, outside MUSIC | fencing token |
//! | [`station`], [`worker`], [`process`] | a worker's means, its loop, its life | |
//! | [`probe`] | who watches, and where to die | |
//!
//! # Exactly once
//!
//! *Every template that fits somewhere ends in the inventory of exactly one
//! site, the one that the mapping names, whatever crashes.* The mapping, a
//! record of `placements` for each template, is the truth. Three facts carry
//! the argument:
//!
//! 1. **A record that says `placed` never changes its site.** Each write of it
//!    is made in the template's critical section, by a worker that has read the
//!    latest state there: `place` gives up when it reads `placed`, settling
//!    does not write it. What a worker writes after it lost its lock has an
//!    older stamp and is never seen (guarantee 4 of the protocol).
//! 2. **A site that may hold a template has a reservation for it.** A worker
//!    asks the inventory only after its reservation is at a majority. Nobody
//!    takes a reservation off but who settles the site, under the lock of both.
//! 3. **Settling is final.** Before the reservation goes, the template is
//!    removed, which raises the highest token that the inventory has seen: a
//!    worker that lost its lock long ago and wakes up now creates nothing.
//!
//! So when a template is `placed`, and no other site has a reservation for it,
//! the site it names has it (the inventory had it before the record said so),
//! and no other site has it or will.
//!
//! ## A worker dies after …
//!
//! | step | what is left | who deals with it |
//! |---|---|---|
//! | picked | nothing | |
//! | locked, checked | the lock | its node ends the section when the client's lease is over |
//! | claimed | also a claim and a reservation | whoever claims next; if that is at another site, this one settles |
//! | created | also an entry of the inventory | the same: created again at this site it is still one; placed at another, it is removed here |
//! | recorded | the lock: the template is placed | nobody has to |
//! | confirmed | nothing | |
//!
//! A put that was under way when the worker died may count or not: the next
//! holder sees one or the other, for good, and both are rows of this table. A
//! worker that dies while it settles has done some steps which can be done
//! again.
//!
//! **A node dies.** Its workers' sections move to another node of the site,
//! which takes them over, or are lost: other nodes end them after the node's
//! lease. A worker that is told `lost` stops where it is; one that is told so by
//! the confirmed release settles under a new lock, which tells it what counts.
//!
//! **A site is cut off.** It takes submissions, and its workers see them and
//! can do nothing: a lock needs a majority. The others end its sections and go
//! on. When it is back, it learns what was placed elsewhere, and settles.
//!
//! **Clocks run wildly apart.** A put that was acknowledged may then be lost to
//! a forced release, a reservation too; facts 1 and 3 rest on no clock. What
//! such a worker made is found by listing the inventory, and the confirmed
//! release does not let it tell its user that the template is placed.
//!
//! **A site never comes back.** Its reservations stay, and what the mapping says
//! is there stays there: to move it is an operator's decision, for only one who
//! knows that the site is gone for good can say that two copies will not run.

pub mod audit;
mod board;
mod clock;
pub mod error;
pub mod inventory;
mod place;
pub mod probe;
pub mod process;
pub mod progress;
mod settle;
pub mod station;
pub mod submit;
pub mod tables;
pub mod worker;

pub use audit::{Audit, audit};
pub use error::Error;
pub use inventory::{Inventory, MemoryInventory};
pub use probe::{Event, News, Probe, Step, Trap};
pub use process::WorkerProcess;
pub use progress::{Progress, progress};
pub use station::Station;
pub use submit::submit;
pub use tables::{create_tables, drop_tables};
pub use worker::{Pace, Worker};
