//! Drawing prompts by how often they are solved.

use proptest::prelude::*;
use train::rl::bins::{Weight, again, uniform};

#[test]
fn each_bin_gives_as_many() {
    // Of 4 attempts: 3 prompts never solved, 5 once, 2 twice, none three times, 4 always.
    let rates: Vec<f64> = [(0.0, 3), (0.25, 5), (0.5, 2), (1.0, 4)].iter().flat_map(|&(rate, n)| vec![rate; n]).collect();
    let drawn = uniform(&rates, 5, None, 0);
    assert_eq!(drawn.bins.iter().map(|bin| (bin.there, bin.drawn)).collect::<Vec<_>>(), [(3, 2), (5, 2), (2, 2), (0, 0), (4, 2)]);
    assert_eq!(drawn.prompts.len(), 8);
    assert!(drawn.prompts.is_sorted() && drawn.prompts.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(drawn, uniform(&rates, 5, None, 0));
    assert!((1..9).any(|seed| uniform(&rates, 5, None, seed).prompts != drawn.prompts));
    // Asked for more than a bin has: it gives all, and says so.
    let more = uniform(&rates, 5, Some(4), 0);
    assert_eq!(more.bins.iter().map(|bin| bin.drawn).collect::<Vec<_>>(), [3, 4, 2, 0, 4]);
    assert_eq!((more.bins[4].from, more.bins[4].to), (0.8, 1.0));
    assert_eq!(uniform(&[], 5, None, 0).prompts, [0usize; 0]);
    // k + 1 bins hold a rate of k attempts each.
    for k in 1..=16 {
        let rates: Vec<f64> = (0..=k).map(|right| f64::from(right) / f64::from(k)).collect();
        assert!(uniform(&rates, k as usize + 1, None, 0).bins.iter().all(|bin| bin.there == 1), "{k}");
    }
}

#[test]
fn weights_are_what_they_say() {
    let rates = [0.0, 0.25, 0.5, 0.75, 1.0];
    let mut counts = [[0u32; 5]; 2];
    for (weight, counts) in [Weight::Difficulty, Weight::Signal].into_iter().zip(&mut counts) {
        for stage in 0..4000 {
            again(&rates, weight, 1, 5, stage).into_iter().for_each(|prompt| counts[prompt] += 1);
        }
    }
    // 1 − p: 4 : 3 : 2 : 1 : 0 of 10; p (1 − p): 0 : 3 : 4 : 3 : 0. The deviation of 4000 draws is at most 32.
    for (counts, want) in counts.iter().zip([[1600, 1200, 800, 400, 0], [0, 1200, 1600, 1200, 0]]) {
        assert!(counts.iter().zip(want).all(|(&count, want)| count.abs_diff(want) <= if want == 0 { 0 } else { 130 }), "{counts:?}");
    }
    assert_eq!(again(&rates, Weight::Difficulty, 9, 5, 0), [0, 1, 2, 3]);
    assert_eq!(again(&rates, Weight::Signal, 9, 5, 0), [1, 2, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_draw_is_a_part_of_what_there_is(rates in prop::collection::vec(-0.1f64..1.1, 0..50), bins in 0usize..9, count in 0usize..60, seed: u64) {
        let drawn = uniform(&rates, bins, Some(count), seed);
        prop_assert_eq!(drawn.bins.iter().map(|bin| bin.there).sum::<usize>(), rates.len());
        prop_assert_eq!(drawn.bins.iter().map(|bin| bin.drawn).sum::<usize>(), drawn.prompts.len());
        for prompts in [drawn.prompts, again(&rates, Weight::Difficulty, count, seed, 1)] {
            prop_assert!(prompts.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(prompts.iter().all(|&prompt| prompt < rates.len()));
        }
    }
}
