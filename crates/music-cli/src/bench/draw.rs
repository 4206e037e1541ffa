//! Numbers that look random and are the same in every run.

/// A sequence of them: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Draw(u64);

impl Draw {
    /// The sequence of that number.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// The next one.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next one, below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).unwrap_or_default()
    }

    /// That many bytes, which do not compress.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.next_multiple_of(8));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_below_their_bound_and_reach_it() {
        let mut draw = Draw::new(1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[draw.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(draw.below(0), 0);
    }

    #[test]
    fn bytes_are_as_many_as_asked_for() {
        assert_eq!(Draw::new(2).bytes(13).len(), 13);
    }
}
