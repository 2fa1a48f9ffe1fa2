//! A run's log reads as one run, however often it was killed; what is torn is dropped, what is not a log is refused.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use data::{DataCursor, Machine, StopCause, TrainEvent, TrainStart, TrainState, TrainStep};
use proptest::prelude::*;
use train::run::checkpoint::{Keep, TensorSpec};
use train::run::events::{self, EventLog};
use train::run::{Identity, Run, RunError};

fn start(steps: u64) -> TrainStart {
    TrainStart {
        version: TrainEvent::VERSION,
        time: 1_764_000_000,
        longhand: "0.1.0".into(),
        config: "seed = 7\n".into(),
        seed: 7,
        machine: Machine::default(),
        model: "tiny".into(),
        parameters: 4,
        trained: 4,
        steps,
    }
}

fn step(step: u64, loss: f32) -> TrainEvent {
    TrainEvent::Step(TrainStep {
        step,
        loss,
        grad_norm: 1.5,
        lr: 1e-4,
        tokens: 64,
        loss_tokens: 32,
        seconds: 0.5,
        tokens_per_second: 128.0,
        peak_memory: 1 << 20,
        mfu: Some(0.25),
    })
}

fn number() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

fn any_event() -> impl Strategy<Value = TrainEvent> {
    let seconds = number;
    let steps = (any::<u64>(), number(), number(), number(), any::<u64>(), any::<u64>(), seconds(), number(), prop::option::of(number()));
    prop_oneof![
        steps.prop_map(|(step, loss, grad_norm, lr, tokens, peak_memory, seconds, tokens_per_second, mfu)| {
            TrainEvent::Step(TrainStep {
                step,
                loss,
                grad_norm,
                lr,
                tokens,
                loss_tokens: tokens / 2,
                seconds,
                tokens_per_second,
                peak_memory,
                mfu,
            })
        }),
        (any::<u64>(), number(), any::<u64>(), number(), seconds())
            .prop_map(|(step, loss, tokens, perplexity, seconds)| TrainEvent::Validation { step, loss, tokens, perplexity, seconds }),
        (any::<u64>(), "(?s).{0,40}", "(?s).{0,40}").prop_map(|(step, prompt, completion)| TrainEvent::Sample { step, prompt, completion }),
        (any::<u64>(), ".{0,9}", seconds()).prop_map(|(step, folder, seconds)| TrainEvent::Checkpoint { step, folder, bytes: 9, seconds }),
        (any::<u64>(), "(?s).{0,40}").prop_map(|(step, error)| TrainEvent::Stopped {
            step,
            reason: StopCause::Failed { error },
            time: step
        }),
        (any::<u64>(), seconds(), ".{0,9}").prop_map(|(step, lost_seconds, longhand)| {
            TrainEvent::Resumed { step, time: 5, longhand, machine: Machine::default(), lost_steps: 2, lost_seconds }
        }),
    ]
}

/// Lines, so that NaN equals NaN.
fn lines(events: &[TrainEvent]) -> Vec<String> {
    events.iter().map(|event| events::line(event).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_read_as_it_was_written_and_a_torn_end_is_dropped(written in prop::collection::vec(any_event(), 0..6), torn in any_event(), cut in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = EventLog::open(&path).unwrap();
        let mut written = written;
        written.insert(0, TrainEvent::Started(start(10)));
        written.iter().for_each(|event| log.append(event).unwrap());
        drop(log);
        let whole = fs::read(&path).unwrap();
        // A kill in the middle of the next line, at any byte.
        let next = events::line(&torn).unwrap();
        let torn = &next.as_bytes()[..cut.index(next.len())];
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(torn).unwrap();
        prop_assert_eq!(lines(&events::read(&path).unwrap()), lines(&written));
        let (mut log, found) = EventLog::open(&path).unwrap();
        prop_assert_eq!(lines(&found.into_iter().map(|logged| logged.event).collect::<Vec<_>>()), lines(&written));
        prop_assert_eq!(fs::read(&path).unwrap(), whole);
        log.append(&written[0]).unwrap();
        let end = format!("{}\n", lines(&written)[0]);
        prop_assert!(fs::read_to_string(&path).unwrap().ends_with(&end));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), at in 0usize..900) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut text = lines(&[TrainEvent::Started(start(1)), step(1, 2.0)]).join("\n").into_bytes();
        text.splice(at.min(text.len())..at.min(text.len()), bytes.iter().copied());
        fs::write(&path, &text).unwrap();
        let _ = events::read(&path);
        fs::write(&path, &bytes).unwrap();
        let _ = EventLog::open(&path);
    }
}

#[test]
fn what_is_no_log_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let good = lines(&[TrainEvent::Started(start(3)), step(1, 3.0), step(2, 2.0)]);
    let refused = |text: &str, said: &str| {
        fs::write(&path, text).unwrap();
        let error = EventLog::open(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    };
    refused(&format!("{}\n{{\"event\":\"st\n{}\n", good[0], good[2]), "line 2");
    refused(&format!("{}\n{}\n", good[1], good[2]), "line 1: a log begins with `started`");
    refused(&format!("{}\n{}\n", good[0], good[0]), "line 2: a log begins with `started`, once");
    refused("{\"name\":\"somebody's file\"}", "line 1");
    refused("a poem\nof two lines\n", "line 1");
    refused(&format!("{}\n{{\"event\":\"novel\",\"step\":2}}\n", good[0]), "line 2: unknown variant `novel`");
    refused("{\"event\":\"started\",\"version\":99,\"unheard\":1}\n", "has version 99, this Longhand knows versions up to 1");
    // Blocks that a machine's crash never filled.
    fs::write(&path, format!("{}\n{}", good[0], "\0".repeat(100))).unwrap();
    assert_eq!(EventLog::open(&path).unwrap().1.len(), 1);
    assert!(EventLog::open(folder.path()).is_err());
}

#[test]
fn two_processes_do_not_write_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Run::open(folder.path(), Identity::new("a = 1", "base", &[]).unwrap(), Keep::default());
    let (run, _) = open().unwrap();
    assert!(matches!(open(), Err(RunError::Busy { .. })));
    drop(run);
    open().unwrap();
}

const CONFIG: &str = "seed = 7\n";
const STEPS: u64 = 17;
const SAVE_EVERY: u64 = 4;

/// A training of four numbers whose every step depends on all before it: weights, generator and cursor.
struct Toy {
    weights: Vec<f32>,
    random: u64,
    position: u64,
}

impl Toy {
    fn step(&mut self) -> f32 {
        for weight in &mut self.weights {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *weight = *weight * 0.9 + (self.random >> 40) as f32 / 1e7 - self.position as f32 * 1e-3;
        }
        self.position += 3;
        self.weights.iter().map(|weight| weight * weight).sum()
    }

    fn state(&self, step: u64) -> TrainState {
        let random = BTreeMap::from([("data".to_string(), vec![self.random])]);
        TrainState { step, cursor: DataCursor { epoch: 0, position: self.position }, random, ..TrainState::default() }
    }
}

/// Trains until the end or until `kill` more steps were taken, as a trainer would; then the process is gone.
fn train(folder: &Path, kill: u64, pause: Duration) -> bool {
    let (mut run, from) = Run::open(folder, Identity::new(CONFIG, "base", &[]).unwrap(), Keep::default()).unwrap();
    let mut toy = Toy { weights: vec![1.0, -2.0, 3.0, 0.5], random: 7, position: 0 };
    let mut at = 0;
    if let Some(checkpoint) = &from.checkpoint {
        let state = checkpoint.state();
        toy = Toy {
            weights: checkpoint.f32s("masters", "w", &[4]).unwrap(),
            random: state.random["data"][0],
            position: state.cursor.position,
        };
        at = state.step;
    }
    if from.events.is_empty() {
        run.record(&TrainEvent::Started(start(STEPS))).unwrap();
        run.record(&TrainEvent::Validation { step: 0, loss: 9.0, tokens: 5, perplexity: 8103.1, seconds: 0.0 }).unwrap();
    } else {
        let (lost_steps, lost_seconds) = (from.cut.steps, from.cut.seconds as f32);
        assert_eq!(from.cut.missing, 0);
        run.record(&TrainEvent::Resumed {
            step: at,
            time: 0,
            longhand: "0.1.0".into(),
            machine: Machine::default(),
            lost_steps,
            lost_seconds,
        })
        .unwrap();
    }
    for taken in 0.. {
        if taken == kill {
            return false;
        }
        if at == STEPS {
            break;
        }
        let loss = toy.step();
        at += 1;
        std::thread::sleep(pause);
        run.record(&step(at, loss)).unwrap();
        if at % SAVE_EVERY == 0 {
            run.record(&TrainEvent::Validation { step: at, loss: loss + 1.0, tokens: 5, perplexity: 1.0, seconds: 0.0 }).unwrap();
            run.record(&TrainEvent::Sample { step: at, prompt: "p".into(), completion: format!("{loss}") }).unwrap();
            let (saved, _) = run
                .save(toy.state(at), |writer| {
                    let mut masters = writer.tensors("masters", &[TensorSpec::f32("w", &[4])])?;
                    masters.push_f32("w", &toy.weights)?;
                    masters.finish()
                })
                .unwrap();
            assert_eq!(saved.step, at);
        }
    }
    run.record(&TrainEvent::Stopped { step: at, reason: StopCause::Finished, time: 0 }).unwrap();
    run.report().unwrap();
    true
}

/// What a log says of the training itself.
fn told(folder: &Path) -> Vec<String> {
    let mut events = events::read(&folder.join("events.jsonl")).unwrap();
    events.retain(|event| !matches!(event, TrainEvent::Resumed { .. }));
    events.iter_mut().for_each(|event| {
        if let TrainEvent::Checkpoint { seconds, .. } = event {
            *seconds = 0.0;
        }
    });
    lines(&events)
}

#[test]
fn a_run_that_is_killed_again_and_again_tells_what_an_undisturbed_one_tells() {
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(train(undisturbed.path(), u64::MAX, Duration::ZERO));
    let expected = told(undisturbed.path());
    assert_eq!(expected.iter().filter(|line| line.contains("\"step\",")).count(), STEPS as usize);
    for kill in 1..=STEPS {
        let folder = tempfile::tempdir().unwrap();
        let mut kills = 0;
        // Killed after `kill` steps, then each time a little later, so that checkpoints are reached.
        while !train(folder.path(), kill + kills, Duration::ZERO) {
            kills += 1;
            // The kill tears the line that was being written.
            let log = fs::OpenOptions::new().append(true).open(folder.path().join("events.jsonl"));
            log.unwrap().write_all(&br#"{"event":"step","step":99,"lo"#[..(kills as usize * 7) % 29]).unwrap();
        }
        assert!(kills > 0);
        assert_eq!(told(folder.path()), expected, "killed after {kill} steps, {kills} times");
        assert_eq!(fs::read_dir(folder.path().join("checkpoint")).unwrap().count(), 1);
        assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().contains("</html>"));
    }
}

/// A kill between a checkpoint and the line that tells of it.
#[test]
fn a_checkpoint_that_the_log_does_not_tell_of_is_told_of() {
    let (undisturbed, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(train(undisturbed.path(), u64::MAX, Duration::ZERO));
    assert!(!train(folder.path(), SAVE_EVERY, Duration::ZERO));
    let log = folder.path().join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let last = text.trim_end().rfind('\n').unwrap() + 1;
    assert!(text[last..].contains("checkpoint"), "{}", &text[last..]);
    fs::write(&log, &text[..last]).unwrap();
    assert!(train(folder.path(), u64::MAX, Duration::ZERO));
    assert_eq!(told(folder.path()), told(undisturbed.path()));
}

const FOLDER: &str = "LONGHAND_TEST_RUN_FOLDER";

/// The process that the next test kills; on its own it has nothing to do.
#[test]
fn process_to_be_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        assert!(train(Path::new(&folder), u64::MAX, Duration::from_millis(3)));
    }
}

#[test]
fn a_process_that_the_system_kills_at_any_time_goes_on_as_if_it_had_not() {
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(train(undisturbed.path(), u64::MAX, Duration::ZERO));
    let folder = tempfile::tempdir().unwrap();
    let mut kills = 0;
    for attempt in 0.. {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_to_be_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Earlier and later, and later each time, so that it ends on slow disks too.
        std::thread::sleep(Duration::from_millis(10 + attempt * 37 % 90 + attempt * attempt));
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        process.kill().unwrap();
        kills += i32::from(!process.wait().unwrap().success());
    }
    assert!(kills > 0);
    assert_eq!(told(folder.path()), told(undisturbed.path()), "after {kills} kills");
}

#[test]
fn a_resumed_run_with_another_configuration_is_refused_before_anything_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!train(folder.path(), 6, Duration::ZERO));
    let before = fs::read(folder.path().join("events.jsonl")).unwrap();
    let open = |config: &str, base: &str| Run::open(folder.path(), Identity::new(config, base, &[]).unwrap(), Keep::default()).map(drop);
    assert!(matches!(open("seed = 8\n", "base"), Err(RunError::OtherConfig { key, .. }) if key == "seed"));
    assert!(matches!(open(CONFIG, "other"), Err(RunError::OtherBase { .. })));
    // A damaged newest checkpoint is told of, not passed over.
    let masters = folder.path().join("checkpoint/step-000004/masters.safetensors");
    let mut bytes = fs::read(&masters).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&masters, &bytes).unwrap();
    assert!(matches!(open(CONFIG, "base"), Err(RunError::HashDiffers { .. })));
    assert_eq!(fs::read(folder.path().join("events.jsonl")).unwrap(), before);
    assert_eq!(events::read(&folder.path().join("events.jsonl")).unwrap().last().unwrap().step(), 6);
    // Nor may a run that saved nothing yet become another one.
    let early = tempfile::tempdir().unwrap();
    assert!(!train(early.path(), 1, Duration::ZERO));
    let other = Run::open(early.path(), Identity::new("seed = 9", "base", &[]).unwrap(), Keep::default());
    assert!(matches!(other, Err(RunError::OtherConfig { .. })));
}

#[test]
#[ignore = "needs a disk of a few MiB (mount -t tmpfs -o size=4m none DIR): LONGHAND_SMALL_DISK=DIR cargo test -p longhand-train --test events -- --ignored"]
fn a_disk_that_is_really_full_stops_a_run_and_does_not_spoil_it() {
    let small = std::env::var_os("LONGHAND_SMALL_DISK").expect("LONGHAND_SMALL_DISK names a folder on a small disk");
    let folder = tempfile::tempdir_in(small).unwrap();
    let path = folder.path().join("run");
    assert!(!train(&path, 9, Duration::ZERO));
    let identity = || Identity::new(CONFIG, "base", &[]).unwrap();
    let (mut run, from) = Run::open(&path, identity(), Keep::default()).unwrap();
    assert_eq!(from.checkpoint.unwrap().state().step, 8);
    let before = support::snapshot(&path);
    let filler = folder.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    // Room for one page, then for none.
    while file.write_all(&[1; 4096]).is_ok() {}
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
    let toy = Toy { weights: vec![0.5; 1 << 16], random: 1, position: 1 };
    let save = |run: &mut Run| {
        run.save(toy.state(9), |writer| {
            let mut masters = writer.tensors("masters", &[TensorSpec::f32("w", &[1 << 16])])?;
            masters.push_f32("w", &toy.weights)?;
            masters.finish()
        })
    };
    let error = save(&mut run).unwrap_err();
    assert!(matches!(error, RunError::Full { .. }), "{error}");
    assert_eq!(support::snapshot(&path), before);
    while file.write_all(&[1; 512]).is_ok() {}
    let long = TrainEvent::Sample { step: 8, prompt: "p".repeat(9000), completion: "c".into() };
    let error = run.record(&long).unwrap_err();
    assert!(matches!(error, RunError::Full { .. }), "{error}");
    assert_eq!(support::snapshot(&path)["events.jsonl"], before["events.jsonl"]);
    // Room again: the same run goes on, in this process and in the next.
    fs::remove_file(&filler).unwrap();
    drop(file);
    run.record(&long).unwrap();
    drop(run);
    assert!(train(&path, u64::MAX, Duration::ZERO));
    let undisturbed = tempfile::tempdir().unwrap();
    assert!(train(undisturbed.path(), u64::MAX, Duration::ZERO));
    let told: Vec<String> = told(&path).into_iter().filter(|line| !line.contains("ppp")).collect();
    assert_eq!(told, self::told(undisturbed.path()));
}

#[test]
fn the_log_says_what_was_cut_and_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let (mut log, _) = EventLog::open(&path).unwrap();
    log.append(&TrainEvent::Started(start(9))).unwrap();
    (1..=5).for_each(|n| log.append(&step(n, 1.0)).unwrap());
    log.append(&TrainEvent::Validation { step: 5, loss: 1.0, tokens: 1, perplexity: 2.0, seconds: 2.0 }).unwrap();
    drop(log);
    let (mut log, mut events) = EventLog::open(&path).unwrap();
    let cut = log.cut(&mut events, Some(3)).unwrap();
    assert_eq!((cut.steps, cut.seconds, cut.missing, events.len()), (2, 3.0, 0, 4));
    let cut = log.cut(&mut events, Some(7)).unwrap();
    assert_eq!((cut.steps, cut.missing, events.len()), (0, 4, 4));
    log.append(&step(8, 1.0)).unwrap();
    assert_eq!(events::read(&path).unwrap().len(), 5);
    let cut = log.cut(&mut events, None).unwrap();
    assert_eq!((cut.steps, fs::metadata(&path).unwrap().len()), (3, 0));
}
