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
//!    keeps status and site. What a worker writes after it lost its lock has an
//!    older stamp and is never seen (guarantee 4 of the protocol).
//! 2. **A site that may hold a template is named by its record.** A worker asks
//!    the inventory only after its claim is at a majority. Whoever is granted
//!    next reads it and, if it claims for another site, moves the earlier claim
//!    to `leftovers`, where it stays until that site has cleaned up.
//! 3. **Cleaning up is final.** To remove a template raises the highest token
//!    that the inventory has seen, so that a worker which lost its lock long
//!    ago and wakes up now creates nothing there.
//!
//! So when a template is `placed` and its `leftovers` are empty, the site it
//! names has it (the inventory had it before the record said so), and no other
//! site has it or will.
//!
//! ## A worker dies after …
//!
//! | step | what is left | who deals with it |
//! |---|---|---|
//! | picked | nothing | |
//! | locked, checked | the lock | its node ends the section when the client's lease is over |
//! | claimed | also a claim, a reservation | the next to claim: at the same site it uses the reservation, at another it notes a leftover, and this site settles |
//! | created | also an entry of the inventory | the same: created again at the same site it is still one; elsewhere, this site removes it |
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
//! on; its claims become leftovers. When it is back, it learns what was placed
//! elsewhere, and cleans up.
//!
//! **A site never comes back.** Its leftovers stay noted; what it was given by
//! name stays there: moving it is an operator's decision, as only one who knows
//! that the site is gone for good can say that two copies do not run.

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
pub use tables::create_tables;
pub use worker::{Pace, Worker};
