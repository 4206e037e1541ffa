//! Traces that nobody takes: all that comes of it is a count.

#[cfg(test)]
mod untaken;
