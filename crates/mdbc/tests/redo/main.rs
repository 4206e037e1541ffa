//! The redo log over three real sites in this process: transactions of several
//! sites, whatever stops, is cut off or is paused.

#![cfg(test)]

mod crashes;
mod dice;
mod faults;
mod ledger;
mod mail;
mod passes;
mod process;
#[path = "../../../music-client/tests/live/proxy.rs"]
mod proxy;
mod ring;
mod sites;
mod together;
mod turns;
