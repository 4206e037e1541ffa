//! Seeded chance.

/// A stream of numbers that depends on its seed alone (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// How often things happen under this seed, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// Clients move to another node.
    pub(super) moves: usize,
    /// Calls fail.
    pub(super) fails: usize,
    /// Waiting clients give up.
    pub(super) gives_up: usize,
    /// Clients want one key.
    pub(super) single: usize,
    /// Clients want to share.
    pub(super) shares: usize,
    /// Late messages arrive.
    pub(super) late: usize,
}

impl Temper {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut one_of = |percents: [usize; 3]| percents[dice.below(3)];
        Self {
            moves: one_of([1, 2, 6]),
            fails: one_of([2, 6, 15]),
            gives_up: one_of([2, 5, 20]),
            single: one_of([30, 60, 100]),
            shares: one_of([5, 30, 60]),
            late: one_of([2, 4, 12]),
        }
    }
}
