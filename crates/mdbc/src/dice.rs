//! Random numbers, drawn here alone.

/// A number from 0, inclusive, to 1, exclusive.
pub(crate) fn fraction() -> f64 {
    rand::random()
}

/// Bytes that nobody can guess.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes);
    bytes
}
