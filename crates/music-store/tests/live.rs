//! The engines that are services of their own, against real servers: run by
//! `cargo xtask test --engines`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "these are tests, and print what they measure"
)]

mod live {
    mod cost;
    mod deployment;
    mod etcd;
    mod survey;
    mod zookeeper;
}
