//! Gives a target every input of its committed corpus, in an ordinary test.
//!
//! Each crate with a target includes this file, so that `cargo test` covers
//! what a fuzzer found once, without a fuzzer.

use std::path::Path;

/// Calls `target` with each input in `fuzz/corpus/<name>`.
pub(super) fn replay(name: &str, target: impl Fn(&[u8])) {
    // A crate is at `crates/<name>`.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown where the target fails.
        println!("{}", path.display());
        target(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}
