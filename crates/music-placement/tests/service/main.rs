//! The service at three real sites in one process: whatever dies, every
//! template is placed exactly once.

#![cfg(test)]

mod cloud;
mod crowd;
mod deaths;
mod outages;
