//! The command line of MUSIC.

fn main() {}
