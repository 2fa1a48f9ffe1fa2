//! Packing, and the order in which steps take examples.

use std::collections::HashMap;

use proptest::prelude::*;
use train::config::StepSize;
use train::sft::{Cursor, Example, Order, Pack, PackError, pack, spread};

fn example(number: usize, length: usize) -> Example {
    let ids = (0..length).map(|at| (number * 1000 + at) as u32).collect();
    Example { ids, loss_mask: (0..length).map(|at| at > 0 && (at + number) % 3 > 0).collect() }
}

/// What is wrong with packs of these examples.
fn faults(examples: &[&Example], packs: &[Pack], budget: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = vec![0; examples.len()];
    for pack in packs {
        if pack.rows() > budget {
            faults.push(format!("{} rows", pack.rows()));
        }
        let mut next = 0;
        for (&number, span) in pack.examples.iter().zip(&pack.spans) {
            seen[number] += 1;
            let whole = span.start == next
                && pack.ids.get(span.clone()) == Some(&examples[number].ids)
                && pack.loss_mask.get(span.clone()) == Some(&examples[number].loss_mask);
            if !whole {
                faults.push(format!("example {number} is not at {span:?}"));
            }
            next = span.end;
        }
        if next != pack.rows() || pack.examples.len() != pack.spans.len() || pack.loss_mask.len() != pack.rows() {
            faults.push("rows of no example".into());
        }
    }
    faults.extend(
        seen.iter().enumerate().filter(|(_, count)| **count != 1).map(|(number, count)| format!("example {number}: {count} times")),
    );
    faults
}

#[test]
fn planted_faults_are_found() {
    let all: Vec<Example> = (0..9).map(|n| example(n, 3 + n * 2)).collect();
    let examples: Vec<&Example> = all.iter().collect();
    let good = pack(&examples, 32).unwrap();
    assert_eq!(faults(&examples, &good, 32), Vec::<String>::new());
    let planted = |fault: &dyn Fn(&mut Vec<Pack>)| {
        let mut packs = good.clone();
        fault(&mut packs);
        assert!(!faults(&examples, &packs, 32).is_empty());
    };
    planted(&|packs| drop(packs.pop()));
    planted(&|packs| packs.push(packs[0].clone()));
    planted(&|packs| packs[0].ids[1] += 1);
    planted(&|packs| packs[0].loss_mask[1] ^= true);
    planted(&|packs| packs[0].ids.truncate(5));
    assert!(!faults(&examples, &good, 20).is_empty());
}

#[test]
fn targets_stay_within_their_example() {
    let (a, b) = (example(1, 3), example(2, 2));
    let packs = pack(&[&a, &b], 8).unwrap();
    let [one] = packs.as_slice() else { panic!() };
    let (targets, counts) = one.targets();
    assert_eq!(targets, [1001, 1002, 0, 2001, 0]);
    assert_eq!(counts, [a.loss_mask[1], a.loss_mask[2], false, b.loss_mask[1], false]);
    assert_eq!(counts.iter().filter(|&&c| c).count(), a.loss_tokens() + b.loss_tokens());
}

#[test]
fn an_example_too_long_is_named() {
    let (a, b) = (example(0, 4), example(1, 9));
    assert_eq!(pack(&[&a, &b], 8), Err(PackError { example: 1, length: 9, budget: 8 }));
    assert_eq!(pack(&[], 8), Ok(vec![]));
    let empty = Example { ids: vec![], loss_mask: vec![] };
    assert_eq!(pack(&[&empty], 0), Ok(vec![]));
    assert_eq!(spread(&[&a, &b], 8, 2), Err(PackError { example: 1, length: 9, budget: 8 }));
    assert_eq!(spread(&[&empty], 0, 2), Ok(vec![]));
}

#[test]
fn every_epoch_is_another_order_of_all() {
    let mut order = Order::new(vec![1; 1000], 7);
    let epochs: Vec<Vec<usize>> = (0..4).map(|epoch| order.epoch(epoch).to_vec()).collect();
    for (at, epoch) in epochs.iter().enumerate() {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert!(epochs[..at].iter().all(|other| other != epoch));
    }
    // The same again, in any order of asking; another seed gives another.
    assert_eq!(Order::new(vec![9; 1000], 7).epoch(2), epochs[2]);
    assert_ne!(Order::new(vec![1; 1000], 8).epoch(2), epochs[2]);
}

#[test]
fn shuffles_are_even() {
    // The 24 orders of four examples over 24,000 epochs: each about 1,000 times (χ² of 23 degrees stays under 60 but once in 10^4.5).
    let mut order = Order::new(vec![1; 4], 3);
    let mut counts: HashMap<Vec<usize>, f64> = HashMap::new();
    for epoch in 0..24_000 {
        *counts.entry(order.epoch(epoch).to_vec()).or_default() += 1.0;
    }
    assert_eq!(counts.len(), 24);
    let chi: f64 = counts.values().map(|count| (count - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 60.0, "{chi}");
}

proptest! {
    #[test]
    fn packs_hold_each_example_once_within_the_budget(lengths in prop::collection::vec(1usize..60, 0..40), more in 0usize..60) {
        let all: Vec<Example> = lengths.iter().enumerate().map(|(n, &length)| example(n, length)).collect();
        let examples: Vec<&Example> = all.iter().collect();
        let budget = lengths.iter().copied().max().unwrap_or(1) + more;
        let packs = pack(&examples, budget).unwrap();
        prop_assert_eq!(faults(&examples, &packs, budget), Vec::<String>::new());
        // First fit, decreasing: at most one pack is half empty or emptier.
        prop_assert!(packs.iter().filter(|pack| pack.rows() * 2 <= budget).count() <= 1);
        prop_assert_eq!(pack(&examples, budget).unwrap(), packs);
    }

    #[test]
    fn packs_of_lanes_are_as_long_as_each_other(lengths in prop::collection::vec(1usize..60, 0..40), more in 0usize..600, lanes in 2usize..5) {
        let all: Vec<Example> = lengths.iter().enumerate().map(|(n, &length)| example(n, length)).collect();
        let examples: Vec<&Example> = all.iter().collect();
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let packs = spread(&examples, longest + more, lanes).unwrap();
        prop_assert_eq!(faults(&examples, &packs, longest + more), Vec::<String>::new());
        prop_assert!(packs.len().is_multiple_of(lanes) || packs.len() == examples.len() || examples.len() < packs.len() + lanes, "{}", packs.len());
        let rows = || packs.iter().map(Pack::rows);
        // The longest goes where there is least: none is ahead of another by more than one example.
        prop_assert!(rows().max().unwrap_or(0) <= rows().min().unwrap_or(0) + longest, "{:?}", rows().collect::<Vec<_>>());
        prop_assert_eq!(spread(&examples, longest + more, lanes).unwrap(), packs);
    }

    #[test]
    fn a_resumed_order_goes_on_as_if_never_stopped(lengths in prop::collection::vec(1usize..50, 1..30), size in 1usize..80, tokens: bool, seed: u64, stop in 0usize..20) {
        let size = if tokens { StepSize::Tokens(size) } else { StepSize::Examples(size.min(40)) };
        let mut straight = Order::new(lengths.clone(), seed);
        let mut cursor = Cursor::default();
        let mut steps = Vec::new();
        for step in 0..20 {
            if step == stop {
                // Through a file, into a new process.
                let kept = cursor.to_json().to_string();
                straight = Order::new(lengths.clone(), seed);
                cursor = serde_json::from_str(&kept).unwrap();
            }
            steps.push(straight.step(&mut cursor, size, None));
        }
        let (mut order, mut at) = (Order::new(lengths.clone(), seed), Cursor::default());
        let all: Vec<Vec<usize>> = (0..20).map(|_| order.step(&mut at, size, None)).collect();
        prop_assert_eq!(&steps, &all);
        for step in &steps {
            match size {
                StepSize::Examples(most) => prop_assert_eq!(step.len(), most),
                StepSize::Tokens(most) => prop_assert!(!step.is_empty() && (step.len() == 1 || step.iter().map(|&e| lengths[e]).sum::<usize>() <= most)),
            }
        }
        // One after the other they are the epochs' orders.
        let flat: Vec<usize> = steps.concat();
        let wanted: Vec<usize> = (0..).flat_map(|epoch| order.epoch(epoch).to_vec()).take(flat.len()).collect();
        prop_assert_eq!(flat, wanted);
    }

    #[test]
    fn epochs_end(lengths in prop::collection::vec(1usize..50, 0..30), size in 1usize..80, tokens: bool, epochs in 0u64..4) {
        let size = if tokens { StepSize::Tokens(size) } else { StepSize::Examples(size) };
        let mut order = Order::new(lengths.clone(), 1);
        let (mut cursor, mut taken, mut steps) = (Cursor::default(), vec![0u64; lengths.len()], 0);
        loop {
            let step = order.step(&mut cursor, size, Some(epochs));
            if step.is_empty() {
                break;
            }
            steps += 1;
            step.into_iter().for_each(|example| taken[example] += 1);
        }
        prop_assert!(taken.iter().all(|&count| count == epochs));
        prop_assert_eq!(order.steps(size, epochs), steps);
    }
}
