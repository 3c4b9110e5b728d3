//! Chance that can be repeated: every draw depends on the seed and on what it is for, never on what was drawn before.

/// A source of chance for one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice {
    seed: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A number for this purpose and these numbers: the same in every run with this seed.
    pub(crate) fn draw(self, purpose: &str, numbers: &[u64]) -> u64 {
        let words = purpose.bytes().map(u64::from).chain([u64::MAX]).chain(numbers.iter().copied());
        words.fold(mix(self.seed), |state, word| mix(state ^ mix(word)))
    }

    /// A number below `end`.
    pub(crate) fn below(self, end: u64, purpose: &str, numbers: &[u64]) -> u64 {
        self.draw(purpose, numbers) % end.max(1)
    }

    /// One of several, each as likely as its weight says.
    pub(crate) fn pick<T: Copy>(self, odds: &[(u64, T)], purpose: &str, numbers: &[u64]) -> Option<T> {
        let all = odds.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(all, purpose, numbers);
        for (weight, what) in odds {
            if left < *weight {
                return Some(*what);
            }
            left -= weight;
        }
        None
    }
}

/// SplitMix64's finisher: every bit of the input changes about half of the output's.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        let draws = |seed| (0..100).map(|n| Dice::new(seed).draw("x", &[n])).collect::<Vec<_>>();
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        assert_ne!(Dice::new(1).draw("x", &[1]), Dice::new(1).draw("y", &[1]));
    }

    #[test]
    fn weights_are_kept() {
        let odds = [(90, 'a'), (10, 'b')];
        let picked = (0..10_000).filter_map(|n| Dice::new(3).pick(&odds, "x", &[n]));
        let rare = picked.filter(|what| *what == 'b').count();
        assert!((800..1_200).contains(&rare), "{rare}");
    }
}
