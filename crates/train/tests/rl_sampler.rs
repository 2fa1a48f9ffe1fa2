//! Drawing prompts: equal shares, every prompt once before any twice, exact resumption.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use train::rl::sampler::{Balance, Sampler, SamplerError, by_task};

/// Tasks of these sizes; prompts are numbered through.
fn tasks(sizes: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut next = 0;
    let named = |(at, &size): (usize, &usize)| {
        next += size;
        (format!("task {at}"), (next - size..next).collect())
    };
    sizes.iter().enumerate().map(named).collect()
}

fn sampler(sizes: &[usize], batch: usize, balance: Balance, seed: u64) -> Sampler {
    Sampler::new(tasks(sizes), batch, balance, seed).unwrap()
}

#[test]
fn a_batch_has_the_papers_shares() {
    let mut five = sampler(&[300, 40, 90, 26, 1000], 128, Balance::Task, 0);
    assert_eq!(five.counts().map(|(_, count)| count).collect::<Vec<_>>(), [26, 26, 26, 25, 25]);
    for _ in 0..40 {
        let batch = five.batch();
        let share = |from, to| batch.iter().filter(|&&prompt| (from..to).contains(&prompt)).count();
        assert_eq!([share(0, 300), share(300, 340), share(340, 430), share(430, 456), share(456, 1456)], [26, 26, 26, 25, 25]);
        assert_eq!(batch.iter().collect::<HashSet<_>>().len(), 128, "a prompt is twice in one batch");
        assert!(!batch.is_sorted());
    }
    let by = by_task(["b", "a", "b", "c"]);
    assert_eq!(by, [("b".into(), vec![0, 2]), ("a".into(), vec![1]), ("c".into(), vec![3])]);
}

#[test]
fn what_cannot_be_drawn_from_is_refused() {
    let new = |tasks, batch, balance| Sampler::new(tasks, batch, balance, 0).unwrap_err();
    let named = |name: &str, prompts: &[usize]| (name.to_string(), prompts.to_vec());
    assert_eq!(new(vec![], 8, Balance::Task), SamplerError::NoPrompts);
    let message = new(vec![named("mc", &[1]), named("numeric", &[])], 8, Balance::None).to_string();
    assert!(message.contains("task \"numeric\" has no prompts"), "{message}");
    assert_eq!(new(vec![named("mc", &[1]), named("mc", &[2])], 8, Balance::Task), SamplerError::SameTask("mc".into()));
    let message = new(tasks(&[5, 5, 5]), 2, Balance::Task).to_string();
    assert!(message.contains("a batch of 2 prompts has none for some of the 3 tasks"), "{message}");
    assert_eq!(sampler(&[5, 5, 5], 2, Balance::None, 0).batch().len(), 2);
}

#[test]
fn order_follows_from_seed_and_task() {
    let first = |sizes: &[usize], seed| sampler(sizes, 12, Balance::Task, seed).batch();
    assert_eq!(first(&[50, 60], 3), first(&[50, 60], 3));
    assert_ne!(first(&[50, 60], 3), first(&[50, 60], 4));
    // A further task leaves the others' orders as they are.
    let of_first = |batch: Vec<usize>| batch.into_iter().filter(|&prompt| prompt < 50).collect::<HashSet<_>>();
    let (alone, beside) = (first(&[50], 3), sampler(&[50, 60], 24, Balance::Task, 3).batch());
    assert_eq!(of_first(alone), of_first(beside));
    // Without balance, tasks come as often as they have prompts; how they were grouped is all the same.
    let mut uniform = sampler(&[10, 990], 100, Balance::None, 0);
    let small: Vec<usize> = (0..10).map(|_| uniform.batch().iter().filter(|&&prompt| prompt < 10).count()).collect();
    assert_eq!(small.iter().sum::<usize>(), 10);
    assert_eq!(sampler(&[1000], 100, Balance::None, 0).batch(), sampler(&[10, 990], 100, Balance::None, 0).batch());
}

#[test]
fn a_place_among_other_prompts_is_refused() {
    let mut ours = sampler(&[9, 5], 4, Balance::Task, 0);
    ours.batch();
    let kept = ours.state();
    let refused = |sampler: &mut Sampler, state: &data::SamplerState, words: &str| {
        let message = sampler.restore(state).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    refused(&mut sampler(&[9], 4, Balance::Task, 0), &kept, "it is of 2 tasks, here are 1");
    refused(&mut sampler(&[9, 6], 4, Balance::Task, 0), &kept, "of 5 prompts of \"task 1\", here are 6");
    for (used, deferred) in [(10, vec![]), (2, vec![2]), (2, vec![0, 0])] {
        let mut state = kept.clone();
        (state.tasks[0].used, state.tasks[0].deferred) = (used, deferred);
        let before = ours.state();
        refused(&mut ours, &state, "its place among the prompts of \"task 0\" is none");
        assert_eq!(ours.state(), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_prompt_comes_once_before_any_comes_twice(sizes in prop::collection::vec(1usize..30, 1..5), more in 0usize..40, seed in 0u64..9) {
        let batch = sizes.len() + more;
        let mut sampler = sampler(&sizes, batch, Balance::Task, seed);
        let mut times: HashMap<usize, usize> = HashMap::new();
        let all: usize = sizes.iter().sum();
        for _ in 0..60 {
            let drawn = sampler.batch();
            prop_assert_eq!(drawn.len(), batch);
            let mut here: HashMap<usize, usize> = HashMap::new();
            for &prompt in &drawn {
                prop_assert!(prompt < all);
                *here.entry(prompt).or_default() += 1;
                *times.entry(prompt).or_default() += 1;
            }
            let mut from = 0;
            for (&size, (_, count)) in sizes.iter().zip(sampler.counts()) {
                let of_task = from..from + size;
                from += size;
                let had = here.iter().filter(|(prompt, _)| of_task.contains(prompt));
                prop_assert_eq!(had.clone().map(|(_, n)| n).sum::<usize>(), count);
                // Twice in one batch only where there are too few.
                prop_assert!(count > size || had.clone().all(|(_, &n)| n == 1));
                // Between batches no prompt of a task is more than two turns ahead of another: it may be taken in a new turn while
                // another is passed over.
                let seen: Vec<usize> = of_task.map(|prompt| times.get(&prompt).copied().unwrap_or(0)).collect();
                let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
                prop_assert!(most - least <= 1, "{seen:?}");
            }
        }
    }

    #[test]
    fn a_resumed_sampler_goes_on_alike(sizes in prop::collection::vec(1usize..20, 1..4), more in 0usize..30, stop in 0usize..30, uniform: bool) {
        let balance = if uniform { Balance::None } else { Balance::Task };
        let new = || sampler(&sizes, sizes.len() + more, balance, 11);
        let mut whole = new();
        (0..stop).for_each(|_| drop(whole.batch()));
        let kept = serde_json::to_string(&whole.state()).unwrap();
        let mut resumed = new();
        resumed.batch();
        resumed.restore(&serde_json::from_str(&kept).unwrap()).unwrap();
        for _ in 0..12 {
            prop_assert_eq!(resumed.batch(), whole.batch());
        }
        prop_assert_eq!(resumed.state(), whole.state());
    }
}
