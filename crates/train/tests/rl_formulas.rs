//! The RL recipe's formulas: against numpy (rl/make_goldens.py), their properties, and what must not change a batch.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::Value;
use train::rl::advantage::{self, Center, Scale, advantages};
use train::rl::aepo::{self, Aepo, Mode, Thresholds, batch_entropy};
use train::rl::loss::{self, Norm, weights};

mod rl;

use rl::{goldens, list, near, numbers, text};

const CENTERS: [(&str, Center); 2] = [("group", Center::Group), ("none", Center::None)];
const SCALES: [(&str, Scale); 4] = [("task", Scale::Task), ("group", Scale::Group), ("batch", Scale::Batch), ("none", Scale::None)];
const BOTH: aepo::Thresholds = Thresholds { low: 0.13, high: 0.2 };

fn row(value: &Value) -> advantage::Row<'_> {
    let reward = value["reward"].as_f64().unwrap();
    advantage::Row { group: text(&value["group"]), task: text(&value["task"]), reward, trajectory: value["trajectory"].as_str() }
}

#[test]
fn advantages_and_weights_are_numpys() {
    let goldens = goldens();
    let mut compared = 0;
    for batch in list(&goldens["batches"]) {
        let rows: Vec<_> = list(&batch["rows"]).iter().map(row).collect();
        for case in list(&batch["cases"]) {
            let find = |name: &Value| (CENTERS.iter().find(|c| c.0 == name), SCALES.iter().find(|s| s.0 == name));
            let settings = advantage::Settings { center: find(&case["center"]).0.unwrap().1, scale: find(&case["scale"]).1.unwrap().1 };
            let got = advantages(&rows, &settings).values;
            near(&got, &numbers(&case["values"])).unwrap_or_else(|fault| panic!("{settings:?}: {fault}"));
            compared += got.iter().filter(|value| **value != 0.0).count();
            // A planted fault of one part in 10⁸ is seen.
            let off: Vec<f64> = got.iter().map(|value| value * (1.0 + 1e-8)).collect();
            assert!(near(&off, &numbers(&case["values"])).is_err());
        }
        let values = advantages(&rows, &advantage::Settings::default()).values;
        let of_loss: Vec<loss::Row> = list(&batch["rows"])
            .iter()
            .zip(&values)
            .map(|(row, &advantage)| loss::Row { group: text(&row["group"]), advantage, tokens: row["tokens"].as_u64().unwrap() as usize })
            .collect();
        near(&weights(&of_loss, Norm::Group), &numbers(&batch["group_weights"])).unwrap();
        near(&weights(&of_loss, Norm::Batch), &numbers(&batch["batch_weights"])).unwrap();
    }
    assert!(compared > 1000, "only {compared} advantages are not 0");
}

#[test]
fn what_has_no_spread_teaches_nothing() {
    let row = |group, task, reward| advantage::Row { group, task, reward, trajectory: None };
    // 0.1 three times: a rounded mean is not 0.1.
    let rows = [
        row("a", "one", 0.1),
        row("a", "one", 0.1),
        row("a", "one", 0.1),
        row("b", "two", 1.0),
        row("c", "three", 1.0),
        row("c", "three", 0.0),
    ];
    for (_, scale) in SCALES {
        let out = advantages(&rows, &advantage::Settings { center: Center::Group, scale });
        assert_eq!(out.values[..4], [0.0; 4], "{scale:?}");
        assert!(out.values[4] > 0.4 && out.values[5] == -out.values[4], "{scale:?}: {:?}", out.values);
        assert_eq!((out.groups, out.single_groups, out.zero_variance_groups, out.rollouts), (3, 1, 1, 6));
    }
    let tasks = advantages(&rows, &advantage::Settings::default()).tasks;
    assert_eq!(tasks.iter().map(|task| task.task.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert_eq!((tasks[0].mean, tasks[0].std, tasks[1].std), (0.1, 0.0, 0.0));
    assert!((tasks[2].std - 0.5f64.sqrt()).abs() < 1e-15);
    assert_eq!(advantages(&[], &advantage::Settings::default()).values, [0.0; 0]);
    // Not centred, one reward of its task: 1 / ε would be a million.
    let none = advantages(&rows, &advantage::Settings { center: Center::None, scale: Scale::Task });
    assert_eq!(none.values[..4], [0.0; 4]);
}

#[test]
fn a_trajectory_counts_once_and_its_last_reward_counts() {
    let turn = |trajectory, reward| advantage::Row { group: "g", task: "t", reward, trajectory: Some(trajectory) };
    let turns = [turn("a", 0.0), turn("b", 0.0), turn("a", 0.0), turn("c", 1.0), turn("a", 1.0)];
    let out = advantages(&turns, &advantage::Settings::default());
    let once = advantages(&[turn("a", 1.0), turn("b", 0.0), turn("c", 1.0)], &advantage::Settings::default());
    assert_eq!(out.values, [0, 1, 0, 2, 0].map(|unit: usize| once.values[unit]));
    assert_eq!((out.rollouts, out.tasks), (3, once.tasks));
    // Another group's trajectory of that name is another.
    let other = advantage::Row { group: "h", ..turn("a", 0.0) };
    assert_eq!(advantages(&[turns[0], turns[1], other], &advantage::Settings::default()).rollouts, 3);
}

#[test]
fn the_latch_and_the_band_are_pythons() {
    let goldens = goldens();
    let mut on = 0;
    for case in list(&goldens["latches"]) {
        let thresholds = Some(Thresholds { low: case["low"].as_f64().unwrap(), high: case["high"].as_f64().unwrap() });
        for (mode, name) in [(Mode::Latch, "latch"), (Mode::Band, "band")] {
            let mut aepo = Aepo::new(&aepo::Settings { mode, thresholds });
            for (step, (entropy, want)) in numbers(&case["entropies"]).into_iter().zip(list(&case[name])).enumerate() {
                assert_eq!(aepo.decide(entropy), want.as_bool().unwrap(), "{name}, step {step}");
                on += usize::from(want.as_bool().unwrap());
                // A resumed run goes on as if it had not stopped.
                let kept = serde_json::to_string(&aepo.state()).unwrap();
                let resumed = Aepo::from_state(&aepo::Settings { mode, thresholds }, serde_json::from_str(&kept).unwrap()).unwrap();
                assert_eq!(resumed, aepo);
                aepo = resumed;
            }
        }
    }
    assert!(on > 20, "{on}");
    for case in list(&goldens["starts"]) {
        let start = Thresholds::of_start(&numbers(&case["entropies"])).unwrap();
        near(&[start.low, start.high], &[case["low"].as_f64().unwrap(), case["high"].as_f64().unwrap()]).unwrap();
    }
}

/// Figure 11, as read by eye: the start, three rises and falls.
#[test]
fn thresholds_of_the_start_mask_where_the_paper_did() {
    let mut aepo = Aepo::new(&aepo::Settings::default());
    for step in 0..10 {
        assert_eq!(aepo.thresholds(), None);
        // However high: the first ten are not masked.
        assert!(!aepo.decide(if step == 4 { 0.9 } else { 0.123 }));
    }
    // One batch of 0.9 among ten moves the deviation; the median stays.
    assert!(aepo.thresholds().unwrap().high > 0.3);
    let mut aepo = Aepo::new(&aepo::Settings::default());
    let said: Vec<bool> = [&[0.123; 10][..], &[0.15, 0.2, 0.25, 0.28, 0.2, 0.14, 0.13, 0.127, 0.18, 0.25, 0.137, 0.12, 0.117]]
        .concat()
        .iter()
        .map(|&h| aepo.decide(h))
        .collect();
    let Thresholds { low, high } = aepo.thresholds().unwrap();
    assert!((low - 0.12915).abs() < 1e-12 && (high - 0.2091).abs() < 1e-12, "{low} {high}");
    assert_eq!(said[..10], [false; 10]);
    let want = [false, false, true, true, true, true, true, false, false, true, true, false, false];
    assert_eq!(said[10..], want);
    assert_eq!(Thresholds::of_start(&[]), None);
    let flat = Thresholds::of_start(&[0.0; 10]).unwrap();
    assert!(0.0 < flat.low && flat.low < flat.high);
}

#[test]
fn masking_zeroes_and_leaves_every_denominator() {
    let aepo = Aepo::new(&aepo::Settings { mode: Mode::Latch, thresholds: Some(BOTH) });
    let (mut advantages, rewards) = ([0.5, -0.5, 0.0, -1.5], [1.0, 0.0, 0.5, -1.0]);
    let kept = aepo.mask(false, &mut advantages, &rewards);
    assert_eq!((kept.masked, kept.skip, advantages), (vec![false; 4], false, [0.5, -0.5, 0.0, -1.5]));
    let before = advantages;
    let out = aepo.mask(true, &mut advantages, &rewards);
    assert_eq!((out.masked, out.skip, advantages), (vec![false, true, false, true], false, [0.5, 0.0, 0.0, 0.0]));
    let rows = |advantages: [f64; 4]| {
        let tokens = [10, 30, 60, 7];
        let groups = ["a", "a", "b", "b"];
        std::array::from_fn::<_, 4, _>(|at| loss::Row { group: groups[at], advantage: advantages[at], tokens: tokens[at] })
    };
    for norm in [Norm::Group, Norm::Batch] {
        let (all, masked) = (weights(&rows(before), norm), weights(&rows(advantages), norm));
        assert_eq!(masked, [all[0], 0.0, 0.0, 0.0], "{norm:?}");
        // Dropping the masked rows instead would weigh the rest more.
        assert_ne!(weights(&rows(advantages)[..1], norm)[0], all[0], "{norm:?}");
    }
    assert_eq!(weights(&rows(before), Norm::Group)[0], -0.5 / 40.0 / 2.0);
    assert_eq!(weights(&rows(before), Norm::Batch)[0], -0.5 / 107.0);
    // Nothing left.
    let mut negatives = [-1.0, 0.0];
    assert!(aepo.mask(true, &mut negatives, &[0.0, 0.0]).skip);
    assert!(aepo.mask(false, &mut [0.0, 0.0], &[0.0, 0.0]).skip, "nothing was there to begin with");
    // The band's rule wants a reward as well.
    let band = Aepo::new(&aepo::Settings { mode: Mode::Band, thresholds: Some(BOTH) });
    let mut advantages = [0.5, 0.5, -0.5];
    assert_eq!(band.mask(true, &mut advantages, &[1.0, 0.0, 1.0]).masked, [false, true, true]);
    assert_eq!(batch_entropy(&[0.1, 0.3]), Some(0.2));
    assert_eq!(batch_entropy(&[]), None);
}

#[test]
fn a_kept_state_is_checked() {
    let auto = aepo::Settings::default();
    let state = |masking, low, high, seen: &[f64]| data::AepoState { masking, low, high, seen: seen.to_vec() };
    for (state, words) in [
        (state(true, Some(0.1), None, &[]), "one threshold of two"),
        (state(true, Some(f64::NAN), Some(0.1), &[]), "not finite"),
        (state(true, Some(0.3), Some(0.1), &[]), "above its high one"),
        (state(false, None, None, &[0.1; 10]), "do not go with"),
        (state(false, None, None, &[f64::INFINITY]), "not finite"),
    ] {
        let message = Aepo::from_state(&auto, state).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    // Given thresholds win over kept ones; off is off, whatever was kept.
    let given = aepo::Settings { mode: Mode::Latch, thresholds: Some(BOTH) };
    assert_eq!(Aepo::from_state(&given, state(true, Some(0.1), Some(0.2), &[])).unwrap().thresholds(), Some(BOTH));
    let off = aepo::Settings { mode: Mode::Off, thresholds: Some(BOTH) };
    assert!(!Aepo::from_state(&off, state(true, Some(0.1), Some(0.2), &[])).unwrap().decide(9.0));
    // What is not finite moves nothing.
    let mut aepo = Aepo::new(&given);
    assert!(!aepo.decide(f64::NAN) && aepo.decide(0.3) && aepo.decide(f64::NAN) && !aepo.decide(0.1));
}

/// Rows of up to six groups in three tasks; rewards are sixteenths, so that sums and shifts by whole numbers are exact.
fn batches() -> impl Strategy<Value = Vec<(u8, i32, u32)>> {
    prop::collection::vec((0u8..6, -64i32..64, 0u32..50), 0..40)
}

fn names(batch: &[(u8, i32, u32)]) -> Vec<(String, String)> {
    batch.iter().map(|&(group, ..)| (format!("g{group}"), format!("t{}", group % 3))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shift_changes_nothing_and_a_factor_leaves_signs(batch in batches(), shift in -9i32..9, factor in 2u32..9) {
        let names = names(&batch);
        let rows = |map: &dyn Fn(f64) -> f64| -> Vec<_> {
            let pairs = batch.iter().zip(&names);
            pairs.map(|(&(_, reward, _), (group, task))| advantage::Row { group, task, reward: map(f64::from(reward) / 16.0), trajectory: None }).collect()
        };
        for (_, scale) in SCALES {
            let settings = advantage::Settings { center: Center::Group, scale };
            let plain = advantages(&rows(&|r| r), &settings).values;
            let shifted = advantages(&rows(&|r| r + f64::from(shift)), &settings).values;
            prop_assert!(near(&shifted, &plain).is_ok(), "{:?}", near(&shifted, &plain));
            let scaled = advantages(&rows(&|r| r * f64::from(factor)), &settings).values;
            for (scaled, plain) in scaled.iter().zip(&plain) {
                // ε is what keeps a scaled advantage from being quite the same.
                let want = if scale == Scale::None { plain * f64::from(factor) } else { *plain };
                prop_assert!((scaled - want).abs() <= 1e-4 * want.abs() + 1e-12, "{scaled} {want}");
            }
            // Each group's advantages add up to 0.
            let mut sums: HashMap<&str, f64> = HashMap::new();
            for ((group, _), value) in names.iter().zip(&plain) {
                *sums.entry(group).or_default() += value;
            }
            prop_assert!(sums.values().all(|sum| sum.abs() < 1e-9), "{sums:?}");
        }
    }

    #[test]
    fn the_order_of_rows_is_only_order(batch in batches(), turn in 0usize..40) {
        let mut batch = batch;
        let at = turn.min(batch.len());
        let run = |batch: &[(u8, i32, u32)]| {
            let names = names(batch);
            let rows: Vec<_> = batch.iter().zip(&names).map(|(&(_, reward, _), (group, task))| advantage::Row { group, task, reward: f64::from(reward), trajectory: None }).collect();
            advantages(&rows, &advantage::Settings::default()).values
        };
        let mut plain = run(&batch);
        batch.rotate_left(at);
        plain.rotate_left(at);
        prop_assert!(near(&run(&batch), &plain).is_ok());
    }

    #[test]
    fn the_latch_masks_between_its_thresholds_only_when_it_came_from_above(entropies in prop::collection::vec(0.0f64..0.4, 1..80)) {
        let mut aepo = Aepo::new(&aepo::Settings { mode: Mode::Latch, thresholds: Some(BOTH) });
        for (step, &entropy) in entropies.iter().enumerate() {
            let masks = aepo.decide(entropy);
            // The last batch outside the band decides.
            let last = entropies[..=step].iter().rev().find(|&&h| !(BOTH.low..=BOTH.high).contains(&h));
            prop_assert_eq!(masks, last.is_some_and(|&h| h > BOTH.high));
        }
    }

    #[test]
    fn weights_add_up_by_group(batch in batches()) {
        let names = names(&batch);
        let rows: Vec<_> = batch.iter().zip(&names).map(|(&(_, _, tokens), (group, _))| loss::Row { group, advantage: -1.0, tokens: tokens as usize }).collect();
        let total = |norm| weights(&rows, norm).iter().zip(&rows).map(|(weight, row)| weight * row.tokens as f64).sum::<f64>();
        let mut tokens: HashMap<&str, usize> = HashMap::new();
        rows.iter().for_each(|row| *tokens.entry(row.group).or_default() += row.tokens);
        // A group whose rollouts are all empty says nothing, and still counts as a group.
        let (groups, said) = (tokens.len() as f64, tokens.values().filter(|tokens| **tokens > 0).count() as f64);
        if groups > 0.0 {
            prop_assert!((total(Norm::Group) - said / groups).abs() < 1e-12);
            prop_assert!((total(Norm::Batch) - f64::from(said > 0.0)).abs() < 1e-12);
        }
    }
}
