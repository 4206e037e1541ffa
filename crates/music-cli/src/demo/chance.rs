//! What the seed of a demonstration decides.

use music_placement::Template;
use music_placement::service::Step;

/// The steps after which a worker may die: those that leave something behind.
const STEPS: [Step; 3] = [Step::Claimed, Step::Created, Step::Recorded];

/// What is left to chance.
#[derive(Debug)]
pub(super) struct Chance {
    /// The step after which a worker dies.
    pub(super) step: Step,
    /// The site that is cut off.
    pub(super) cut_off: String,
    /// The site whose node is killed: another one, if there is one.
    pub(super) killed: String,
    /// The templates in the order in which they are submitted.
    pub(super) templates: Vec<Template>,
}

impl Chance {
    /// The same for the same seed.
    pub(super) fn draw(seed: u64, sites: &[String], templates: &[Template]) -> Self {
        let mut dice = Dice(seed);
        let (mut steps, mut sites, mut templates) = (STEPS, sites.to_vec(), templates.to_vec());
        dice.shuffle(&mut steps);
        dice.shuffle(&mut sites);
        dice.shuffle(&mut templates);
        Self {
            step: steps.first().copied().unwrap_or(Step::Created),
            cut_off: sites.first().cloned().unwrap_or_default(),
            killed: sites.last().cloned().unwrap_or_default(),
            templates,
        }
    }
}

/// Numbers that look drawn: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for (last, sides) in (1..items.len()).zip(2_u64..) {
            let other = usize::try_from(self.roll() % sides).unwrap_or(last);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sites(seed: u64) -> [String; 2] {
        let sites = ["a", "b", "c"].map(str::to_owned);
        let chance = Chance::draw(seed, &sites, &[]);
        [chance.cut_off, chance.killed]
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        assert_eq!(sites(7), sites(7));
    }

    #[test]
    fn every_site_and_step_has_its_turn_and_no_site_fails_twice() {
        let all: BTreeSet<_> = (0..100).map(sites).collect();
        assert_eq!(all.len(), 6);
        assert!(all.iter().all(|[cut_off, killed]| cut_off != killed));
        let steps = (0..100).map(|seed| Chance::draw(seed, &[], &[]).step);
        assert_eq!(steps.collect::<BTreeSet<_>>().len(), 3);
    }
}
