//! What a fuzzer, and the test that repeats its finds, tries on a node.
//!
//! | module | what it tries |
//! |---|---|
//! | `config` | a configuration: its file and its variables |
//! | `http_request` | requests, one after the other, at a node in memory |
//! | `script` | how requests lie in an input |
//! | `judge` | what every answer must be |

mod config;
mod http_request;
mod judge;
mod script;

pub use config::config;
pub use http_request::http_request;

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_configurations() {
        replay::replay("config", config);
    }

    #[test]
    fn the_corpus_of_requests() {
        replay::replay("http_request", http_request);
    }
}
