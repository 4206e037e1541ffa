//! The commands of recipes.

mod active_passive;
mod barrier;
mod counter;
mod elect;
mod group;
mod latch;
mod once;
mod queue;
mod register;
mod semaphore;

use crate::support::{Dev, Running};

/// A command that ends with its standard input.
const UNTIL_TOLD: [&str; 3] = ["sh", "-c", "echo holding; cat > /dev/null"];

/// Starts `music` at a node.
fn start(dev: &Dev, node: usize, arguments: &[&str]) -> Running {
    Running::start(dev.music(&[node]).args(arguments))
}

/// Command lines that are refused, each with its code and something that is
/// said about it.
fn refused(dev: &Dev, cases: &[(&[&str], i32, &str)]) {
    for (arguments, code, text) in cases {
        let (failed, error) = dev.fail(arguments);
        assert_eq!(failed, *code, "{arguments:?}: {error}");
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
}
