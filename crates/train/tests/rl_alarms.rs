//! Alarms of reinforcement learning: each rings on a run with its fault, once, and none on a good run.

use data::{AlarmKind, RlStep, RlValidation, TrainEvent};
use train::rl::alarms::{AlarmSettings, Alarms};

/// Steps that alarms look back on.
const WINDOW: usize = 10;

fn settings() -> AlarmSettings {
    AlarmSettings { entropy_high: 3.0, entropy_low: 0.2, truncated: 0.5, zero_variance: 0.9, failed: 0.1, falls: 3 }
}

fn well(step: u64) -> RlStep {
    RlStep { step, reward: 0.5, entropy: 1.0, rollouts: 64, groups: 8, zero_variance: 2, truncated: 3, ..RlStep::default() }
}

/// The alarms of a run that goes wrong after step 20 as `plant` says.
fn planted(plant: impl Fn(&mut RlStep)) -> Vec<(u64, AlarmKind)> {
    let mut alarms = Alarms::new(settings());
    let mut raised = vec![];
    for number in 1..=60 {
        let mut step = well(number);
        if number > 20 {
            plant(&mut step);
        }
        raised.extend(alarms.step(&step).into_iter().map(|(kind, message)| {
            assert!(message.len() > 30, "{message}");
            (number, kind)
        }));
    }
    raised
}

#[test]
fn each_alarm_rings_once_on_a_run_with_its_fault_and_none_on_a_good_one() {
    assert_eq!(planted(|_| ()), []);
    let only = |kind, raised: Vec<(u64, AlarmKind)>| {
        assert_eq!(raised.len(), 1, "{raised:?}");
        assert_eq!(raised[0].1, kind);
        assert!((21..=32).contains(&raised[0].0), "{raised:?}");
    };
    only(AlarmKind::EntropyHigh, planted(|step| step.entropy = 4.0));
    only(AlarmKind::EntropyLow, planted(|step| step.entropy = 0.1));
    only(AlarmKind::Truncation, planted(|step| step.truncated = 40));
    only(AlarmKind::NothingToLearn, planted(|step| step.zero_variance = 8));
    only(AlarmKind::NoReward, planted(|step| (step.failed, step.failure) = (30, Some("the command died".into()))));
    only(AlarmKind::EntropyHigh, planted(|step| step.entropy = f32::NAN));
    only(AlarmKind::EntropyLow, planted(|step| step.entropy = 0.0));
    only(AlarmKind::BrokenNotes, planted(|step| (step.turns, step.broken) = (320, 250)));
    assert_eq!(planted(|step| (step.turns, step.broken) = (320, 60)), []);
    only(AlarmKind::Mismatch, planted(|step| step.mismatch = 0.05));
    only(AlarmKind::Mismatch, planted(|step| step.mismatch = f32::NAN));
}

#[test]
fn an_entropy_that_is_no_number_does_not_hide_the_others() {
    let raised = planted(|step| step.entropy = if step.step % 5 == 0 { f32::NAN } else { 0.1 });
    let kinds: Vec<AlarmKind> = raised.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(kinds, [AlarmKind::EntropyHigh, AlarmKind::EntropyLow], "{raised:?}");
}

#[test]
fn an_alarm_rings_again_after_the_run_was_well() {
    let raised = planted(|step| step.entropy = if (30..40).contains(&step.step) { 1.0 } else { 9.0 });
    assert_eq!(raised.iter().filter(|(_, kind)| *kind == AlarmKind::EntropyHigh).count(), 2, "{raised:?}");
}

#[test]
fn a_reward_that_rises_while_held_out_falls_is_told() {
    let run = |training: [f32; 5], held: [f32; 5], margin: f32| {
        let mut alarms = Alarms::new(settings());
        let mut raised = 0;
        for (number, (training, held)) in training.into_iter().zip(held).enumerate() {
            for step in 0..WINDOW {
                alarms.step(&RlStep { reward: training, ..well((number * WINDOW + step) as u64) });
            }
            let validation = RlValidation { step: number as u64, reward: held, margin, ..RlValidation::default() };
            raised += alarms.validation(&validation).iter().filter(|(kind, _)| *kind == AlarmKind::Overfitting).count();
        }
        raised
    };
    let (rising, falling) = ([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.3, 0.2, 0.1]);
    for margin in [0.0, 0.2, f32::NAN] {
        assert_eq!(run(rising, falling, margin), 1, "{margin}");
    }
    assert_eq!(run(rising, falling, 0.35), 0, "no more than chance");
    assert_eq!(run(rising, [0.3, 0.2, 0.3, 0.2, 0.1], 0.0), 0, "it rose in between");
    assert_eq!(run([0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.4, 0.3, 0.2, 0.1], 0.0), 0, "both fall");
    assert_eq!(run(rising, [0.4, 0.3, f32::NAN, 0.2, 0.1], 0.0), 0, "what is no number did not fall");
    let mut alarms = Alarms::new(settings());
    assert_eq!(alarms.validation(&RlValidation::default()), [], "before the first step");
}

#[test]
fn one_that_wavers_about_its_bound_rings_once() {
    // The command fails in every second step, wholly.
    let raised = planted(|step| step.failed = if step.step % 2 == 0 { 64 } else { 0 });
    assert_eq!(raised, [(22, AlarmKind::NoReward)]);
    let raised = planted(|step| step.mismatch = if step.step % 4 == 0 { 0.05 } else { 0.0 });
    assert_eq!(raised, [(24, AlarmKind::Mismatch)]);
    // A step that compared nothing says nothing of it.
    let raised = planted(|step| {
        step.mismatch = if step.step % 10 == 0 { 0.05 } else { 0.0 };
        step.skipped = (step.step % 10 != 0).then(|| "no group has rewards that differ".into());
    });
    assert_eq!(raised, [(30, AlarmKind::Mismatch)]);
}

/// The alarms of steps that are all as `step` says, from the first on.
fn from_the_first(step: impl Fn(u64) -> RlStep) -> Vec<(u64, AlarmKind)> {
    let mut alarms = Alarms::new(settings());
    (1..=30).flat_map(|number| alarms.step(&step(number)).into_iter().map(move |(kind, _)| (number, kind))).collect()
}

#[test]
fn a_run_that_begins_badly_is_told_early_and_of_the_right_thing() {
    assert_eq!(from_the_first(|n| RlStep { entropy: 0.0, ..well(n) }), [(10, AlarmKind::EntropyLow)]);
    assert_eq!(from_the_first(|n| RlStep { entropy: f32::NAN, ..well(n) }), [(1, AlarmKind::EntropyHigh)]);
    assert_eq!(from_the_first(|n| RlStep { entropy: if n == 3 { f32::INFINITY } else { 1.0 }, ..well(n) }), [(3, AlarmKind::EntropyHigh)]);
    // From next to none to little: neither a flight nor a collapse.
    assert_eq!(from_the_first(|n| RlStep { entropy: if n < 12 { 0.005 } else { 0.1 }, ..well(n) }), []);
    // Two steps have more than a hundred rollouts; four have more than thirty groups.
    assert_eq!(from_the_first(|n| RlStep { truncated: 64, ..well(n) }), [(2, AlarmKind::Truncation)]);
    assert_eq!(from_the_first(|n| RlStep { zero_variance: 8, ..well(n) }), [(4, AlarmKind::NothingToLearn)]);
    assert_eq!(from_the_first(|n| RlStep { failed: 64, ..well(n) }), [(1, AlarmKind::NoReward)]);
    // One of few is chance until there are more.
    let few = |n: u64, failed| RlStep { rollouts: 4, groups: 1, zero_variance: 0, truncated: 0, failed, ..well(n) };
    assert_eq!(from_the_first(|n| few(n, u64::from(n == 1))), []);
    assert_eq!(from_the_first(|n| few(n, 1)), [(10, AlarmKind::NoReward)]);
}

#[test]
fn a_step_without_rollouts_or_groups_says_nothing() {
    assert_eq!(from_the_first(|step| RlStep { step, ..RlStep::default() }), []);
    assert_eq!(from_the_first(|n| if n % 2 == 0 { RlStep::default() } else { well(n) }), []);
    assert_eq!(from_the_first(|n| RlStep { groups: 0, zero_variance: 0, ..well(n) }), []);
}

#[test]
fn why_a_reward_is_missing_is_said_in_one_line() {
    let mut alarms = Alarms::new(settings());
    let failure = format!("\n{}\nsecond line", "ä".repeat(500));
    let raised = alarms.step(&RlStep { failed: 64, failure: Some(failure), ..well(1) });
    let message = &raised[0].1;
    assert!(message.starts_with("64 of 64 rollouts have no reward: ä") && message.ends_with("ä…"), "{message}");
    assert!(message.chars().count() < 250 && !message.contains('\n'));
    let raised = Alarms::new(settings()).step(&RlStep { failed: 64, failure: Some("it died\nat line 2".into()), ..well(1) });
    assert_eq!(raised[0].1, "64 of 64 rollouts have no reward: it died");
}

#[test]
fn a_run_that_goes_on_rings_as_one_that_was_never_stopped() {
    let events: Vec<TrainEvent> = (1..=80u64)
        .flat_map(|n| {
            let noise = (n * 7919 % 101) as f32 / 100.0;
            let bad = n / 16 % 2 == 1;
            let step = RlStep {
                reward: n as f32 / 80.0,
                entropy: if bad { 6.0 * noise } else { 1.0 },
                zero_variance: if bad { 8 } else { n % 8 },
                failed: if n % 11 == 0 { 64 } else { 0 },
                mismatch: if noise > 0.9 { f32::NAN } else { 0.0 },
                ..well(n)
            };
            let held = RlValidation { step: n, reward: 1.0 - n as f32 / 90.0, ..RlValidation::default() };
            std::iter::once(TrainEvent::Rl(step)).chain((n % 5 == 0).then_some(TrainEvent::RlValidation(held)))
        })
        .collect();
    let see = |alarms: &mut Alarms, event: &TrainEvent| match event {
        TrainEvent::Rl(step) => alarms.step(step),
        TrainEvent::RlValidation(validation) => alarms.validation(validation),
        _ => vec![],
    };
    let mut never_stopped = Alarms::new(settings());
    let raised: Vec<_> = events.iter().map(|event| see(&mut never_stopped, event)).collect();
    assert!(raised.iter().flatten().count() > 8);
    for cut in 0..events.len() {
        let mut resumed = Alarms::new(settings());
        for (event, raised) in events.iter().zip(&raised).take(cut) {
            resumed.replay(event);
            let told =
                |(kind, message): &(AlarmKind, String)| TrainEvent::Alarm { step: event.step(), kind: *kind, message: message.clone() };
            raised.iter().map(told).for_each(|event| resumed.replay(&event));
        }
        let rest: Vec<_> = events[cut..].iter().map(|event| see(&mut resumed, event)).collect();
        assert_eq!(rest, raised[cut..], "cut before event {cut}");
    }
}

#[test]
fn a_run_that_goes_on_under_stricter_settings_tells_what_was_not_told() {
    let step = |n| RlStep { truncated: 20, ..well(n) };
    let mut before = Alarms::new(settings());
    assert!((1..=20).all(|n| before.step(&step(n)).is_empty()));
    let mut after = Alarms::new(AlarmSettings { truncated: 0.2, ..settings() });
    (1..=20).for_each(|n| after.replay(&TrainEvent::Rl(step(n))));
    assert_eq!(after.step(&step(21)).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [AlarmKind::Truncation]);
    assert_eq!(after.step(&step(22)), []);
    let held = |n: u64| RlValidation { step: n, reward: 1.0 - n as f32 / 100.0, ..RlValidation::default() };
    let mut after = Alarms::new(settings());
    for n in 1..=20 {
        after.replay(&TrainEvent::Rl(RlStep { reward: n as f32 / 100.0, ..well(n) }));
        after.replay(&TrainEvent::RlValidation(held(n)));
    }
    assert_eq!(after.validation(&held(21)).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [AlarmKind::Overfitting]);
    assert_eq!(after.validation(&held(22)), []);
}
