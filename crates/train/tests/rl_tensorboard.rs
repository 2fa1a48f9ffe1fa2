//! The scalars of reinforcement learning, read back from an event file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use data::{RlStep, RlValidation, TaskStep, TrainEvent};
use train::run::tensorboard::EventFile;

/// A number of variable length, and what comes after it.
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

/// Field number and bytes of each field of a message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut out = vec![];
    while !bytes.is_empty() {
        let (key, rest) = varint(bytes);
        let (length, rest) = match key & 7 {
            0 => (rest.len() - varint(rest).1.len(), rest),
            1 => (8, rest),
            2 => {
                let (length, rest) = varint(rest);
                (length as usize, rest)
            }
            5 => (4, rest),
            wire => panic!("wire type {wire}"),
        };
        out.push((key >> 3, &rest[..length]));
        bytes = &rest[length..];
    }
    out
}

/// Tag and value of every scalar, by step.
fn scalars(path: &Path) -> BTreeMap<u64, BTreeMap<String, f32>> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut out) = (&bytes[..], BTreeMap::<u64, BTreeMap<String, f32>>::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = fields(&rest[12..12 + length]);
        rest = &rest[16 + length..];
        let step = event.iter().find(|(field, _)| *field == 2).map_or(0, |(_, bytes)| varint(bytes).0);
        for (_, summary) in event.iter().filter(|(field, _)| *field == 5) {
            for (_, value) in fields(summary) {
                let value = fields(value);
                let of = |wanted| value.iter().find(|(field, _)| *field == wanted).unwrap().1;
                let tag = String::from_utf8(of(1).to_vec()).unwrap();
                let before = out.entry(step).or_default().insert(tag.clone(), f32::from_le_bytes(of(2).try_into().unwrap()));
                assert_eq!(before, None, "{tag} twice in step {step}");
            }
        }
    }
    out
}

fn task(name: &str, rollouts: u64) -> TaskStep {
    let (reward, deviation, entropy) = (0.25, 0.5, 0.125);
    TaskStep {
        task: name.into(),
        rollouts,
        reward,
        deviation,
        entropy,
        tokens: 57.0,
        zero_variance: 0.75,
        truncated: 0.0625,
        masked: 0.375,
    }
}

fn step(step: u64) -> RlStep {
    RlStep {
        step,
        reward: 0.5,
        entropy: 0.3,
        thresholds: Some((0.13, 0.28)),
        masking: true,
        rollouts: 64,
        negatives: 30,
        masked: 16,
        clip_threshold: Some(1.5),
        groups: 8,
        zero_variance: 2,
        truncated: 4,
        failed: 8,
        tasks: vec![task("count", 40), task("find", 24), task("order", 0)],
        grad_norm: 0.75,
        lr: 1e-6,
        prompt_tokens: 800,
        completion_tokens: 3200,
        mismatch: 1e-5,
        rollout_seconds: 4.0,
        reward_seconds: 0.5,
        update_seconds: 2.0,
        ..RlStep::default()
    }
}

fn written(events: &[TrainEvent]) -> BTreeMap<u64, BTreeMap<String, f32>> {
    let folder = tempfile::tempdir().unwrap();
    let mut file = EventFile::create(folder.path(), 0, 100.0).unwrap();
    events.iter().for_each(|event| file.append(event, 101.0).unwrap());
    scalars(file.path())
}

#[test]
fn a_step_has_its_scalars_and_those_of_its_tasks() {
    let found = written(&[TrainEvent::Rl(step(3))]).remove(&3).unwrap();
    let expected = [
        ("reward", 0.5),
        ("entropy", 0.3),
        ("aepo/low", 0.13),
        ("aepo/high", 0.28),
        ("aepo/masking", 1.0),
        ("clip_threshold", 1.5),
        ("response_length", 50.0),
        ("share/masked", 0.25),
        ("share/zero_variance", 0.25),
        ("share/truncated", 0.0625),
        ("share/failed", 0.125),
        ("skipped", 0.0),
        ("grad_norm", 0.75),
        ("mismatch", 1e-5),
        ("lr", 1e-6),
        ("seconds/rollout", 4.0),
        ("seconds/reward", 0.5),
        ("seconds/update", 2.0),
        ("tokens_per_second", 800.0),
    ];
    let of_task = [
        ("reward", 0.25),
        ("deviation", 0.5),
        ("entropy", 0.125),
        ("response_length", 57.0),
        ("zero_variance", 0.75),
        ("truncated", 0.0625),
        ("masked", 0.375),
    ];
    let mut expected: BTreeMap<String, f32> = expected.into_iter().map(|(tag, value)| (tag.to_string(), value)).collect();
    for task in ["count", "find"] {
        expected.extend(of_task.map(|(name, value)| (format!("task/{task}/{name}"), value)));
    }
    assert_eq!(found, expected);
}

#[test]
fn what_was_not_measured_has_no_point() {
    let nothing = RlStep { failed: 64, skipped: Some("no rollout has a reward".into()), thresholds: None, masking: false, ..step(4) };
    let nothing = RlStep { clip_threshold: None, tasks: vec![], rollout_seconds: 0.0, ..nothing };
    let found = written(&[TrainEvent::Rl(nothing), TrainEvent::Rl(RlStep { step: 5, ..RlStep::default() })]);
    let tags: Vec<&str> = found[&4].keys().map(String::as_str).collect();
    assert_eq!(
        tags,
        [
            "aepo/masking",
            "entropy",
            "lr",
            "response_length",
            "seconds/reward",
            "seconds/rollout",
            "seconds/update",
            "share/failed",
            "share/masked",
            "share/truncated",
            "share/zero_variance",
            "skipped"
        ]
    );
    assert_eq!((found[&4]["share/failed"], found[&4]["skipped"], found[&4]["aepo/masking"]), (1.0, 1.0, 0.0));
    assert!(!found[&5].keys().any(|tag| tag.starts_with("share/") || tag == "reward" || tag == "entropy"), "{:?}", found[&5]);
}

#[test]
fn a_validation_has_its_scalars_by_task() {
    let tasks = vec![task("count", 20), task("none", 0)];
    let held = RlValidation { step: 10, reward: 0.25, prompts: 20, margin: 0.05, tasks, seconds: 9.0 };
    let found = written(&[TrainEvent::RlValidation(held)]).remove(&10).unwrap();
    let expected = [
        ("validation/reward", 0.25),
        ("validation/margin", 0.05),
        ("validation/seconds", 9.0),
        ("validation/task/count/reward", 0.25),
        ("validation/task/count/response_length", 57.0),
        ("validation/task/count/truncated", 0.0625),
    ];
    assert_eq!(found, expected.into_iter().map(|(tag, value)| (tag.to_string(), value)).collect());
}
