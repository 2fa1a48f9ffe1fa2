//! Checkpoints appear whole or not at all, whatever happens while one is written; what is damaged, cut short or another run's is refused.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data::{BestValidation, DataCursor, TrainState};
use kernels::DType;
use proptest::prelude::*;
use support::{Broken, Fault, snapshot};
use train::run::checkpoint::{Checkpoint, Disk, Keep, RealDisk, Scan, Store, TensorSpec, Writer};
use train::run::{Identity, Result, RunError};

const CONFIG: &str = "seed = 7\n[train]\nlr = 0.0001\nsteps = 100\n";

fn identity() -> Identity {
    Identity::new(CONFIG, "base-hash", &["train.steps"]).unwrap()
}

fn state(step: u64) -> TrainState {
    let random = BTreeMap::from([("data".to_string(), vec![u64::MAX, 3, step])]);
    let best = Some(BestValidation { step, loss: 2.1 });
    TrainState {
        step,
        cursor: DataCursor { epoch: 1, position: step * 8 },
        random,
        validation: Some(2.1),
        best,
        tokens: 9,
        seconds: 1.25,
        ..TrainState::default()
    }
}

/// Only the newest, so that the one before is removed.
const LAST: Keep = Keep { last: 1, best: false, every: None };

const SHAPES: [(&str, [usize; 2]); 3] = [("layers.0.q", [3, 5]), ("layers.0.empty", [0, 4]), ("layers.1.q", [7, 2])];

/// Values that differ for each tensor, file and step; signed zeros and NaN bits among them.
fn values(file: &str, name: &str, step: u64, count: usize) -> Vec<f32> {
    let seed = file.bytes().chain(name.bytes()).fold(step as u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..count as u32).map(|n| f32::from_bits(seed.wrapping_mul(2_654_435_761).wrapping_add(n.wrapping_mul(0x9E37_79B9)))).collect()
}

fn fill(writer: &mut Writer, step: u64) -> Result<()> {
    for file in ["masters", "adam_m", "adam_v"] {
        let specs: Vec<TensorSpec> = SHAPES.iter().map(|(name, shape)| TensorSpec::f32(*name, shape)).collect();
        let mut out = writer.tensors(file, &specs)?;
        for (name, shape) in SHAPES {
            let values = values(file, name, step, shape.iter().product());
            // The first in pieces, the others whole.
            if name == "layers.0.q" {
                values.chunks(4).try_for_each(|piece| out.push_f32(name, piece))?;
            } else {
                out.push_f32(name, &values)?;
            }
        }
        out.finish()?;
    }
    Ok(())
}

fn save(store: &Store, step: u64) -> Result<PathBuf> {
    let mut writer = store.begin(&identity(), state(step))?;
    fill(&mut writer, step)?;
    Ok(writer.finish()?.path)
}

/// Everything in it is what was written for `step`.
fn verify(path: &Path, step: u64) {
    let read = Checkpoint::open(path, &identity()).unwrap();
    let expected = TrainState { version: TrainState::VERSION, config: identity().hash(), base: "base-hash".into(), ..state(step) };
    assert_eq!(read.state(), &expected);
    assert_eq!(read.config(), CONFIG);
    for file in ["masters", "adam_m", "adam_v"] {
        assert_eq!(read.names(file).count(), SHAPES.len());
        for (name, shape) in SHAPES {
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let expected = values(file, name, step, shape.iter().product());
            assert_eq!(bits(read.f32s(file, name, &shape).unwrap()), bits(expected), "{file} {name}");
        }
    }
}

fn steps(scan: &Scan) -> Vec<u64> {
    scan.complete.iter().map(|listed| listed.step).collect()
}

#[test]
fn what_is_written_is_read_bit_for_bit_and_other_programs_read_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path().join("checkpoint"));
    assert_eq!(store.scan().unwrap().newest(), None);
    let path = save(&store, 123).unwrap();
    assert!(path.ends_with("checkpoint/step-000123"), "{path:?}");
    verify(&path, 123);
    // The format's own crate agrees.
    let bytes = fs::read(path.join("masters.safetensors")).unwrap();
    let theirs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in SHAPES {
        let tensor = theirs.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (safetensors::Dtype::F32, &shape[..]));
        assert_eq!(tensor.data(), bytemuck::cast_slice::<f32, u8>(&values("masters", name, 123, shape.iter().product())));
    }
    // The manifest's hashes are SHA-256: of a file whose text is known, as sha256sum gives it.
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(path.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["files"]["config.toml"]["sha256"], "583b51d161131a4412f83c89203731a1e166943a388d99decc83e3c3c6c67f25");
    assert_eq!(manifest["files"].as_object().unwrap().len(), 5);
}

#[test]
fn narrow_tensors_are_kept_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut writer = store.begin(&identity(), state(1)).unwrap();
    let spec = |name: &str, dtype| TensorSpec { name: name.into(), dtype, shape: vec![3] };
    let mut out = writer.tensors("weights", &[spec("a", DType::BF16), spec("b", DType::F32), spec("c", DType::F16)]).unwrap();
    out.push("a", &[1, 2, 3, 4, 5, 6]).unwrap();
    out.push_f32("b", &[1.0, -2.0, f32::MIN_POSITIVE]).unwrap();
    out.push("c", &[6, 5, 4, 3, 2, 1]).unwrap();
    out.finish().unwrap();
    let path = writer.finish().unwrap().path;
    let read = Checkpoint::look(&path).unwrap();
    assert_eq!(read.tensor("weights", "a").unwrap().bytes.load().unwrap().as_slice(), [1, 2, 3, 4, 5, 6]);
    // 6 bytes after the header: values are read from any place.
    assert_eq!(read.f32s("weights", "b", &[3]).unwrap(), [1.0, -2.0, f32::MIN_POSITIVE]);
    assert_eq!(read.tensor("weights", "c").unwrap().dtype, DType::F16);
    let said = |found: Result<Vec<f32>>| found.unwrap_err().to_string();
    assert!(said(read.f32s("weights", "a", &[3])).contains("is bf16 [3], expected f32 [3]"));
    assert!(said(read.f32s("weights", "b", &[1, 3])).contains("expected f32 [1, 3]"));
    assert!(said(read.f32s("weights", "d", &[3])).contains("`d` is missing"));
    assert!(said(read.f32s("masters", "a", &[3])).contains("masters.safetensors: tensor `a` is missing"));
}

#[test]
fn a_writer_takes_only_what_was_announced() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let two = [TensorSpec::f32("a", &[2]), TensorSpec::f32("b", &[1])];
    let fails = |write: &dyn Fn(&mut Writer) -> Result<()>| {
        let mut writer = store.begin(&identity(), state(5)).unwrap();
        let error = write(&mut writer).and_then(|()| writer.finish().map(drop)).unwrap_err().to_string();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        error
    };
    assert!(fails(&|writer| writer.tensors("m", &two)?.push_f32("b", &[1.0])).contains("came where `a` was announced"));
    assert!(fails(&|writer| writer.tensors("m", &two)?.push_f32("a", &[1.0; 3])).contains("4 bytes more than its shape"));
    assert!(fails(&|writer| writer.tensors("m", &two[..0])?.push_f32("a", &[1.0])).contains("after the last one"));
    assert!(fails(&|writer| writer.tensors("m", &two)?.finish()).contains("`a` is 8 bytes short"));
    assert!(fails(&|writer| writer.tensors("m", &two)?.push_f32("a", &[1.0, 2.0])).contains("not all written"));
    assert!(fails(&|writer| writer.tensors("m", &[two[0].clone(), two[0].clone()]).map(drop)).contains("announced twice"));
    assert!(fails(&|writer| writer.tensors("../m", &two).map(drop)).contains("needs a name of letters"));
    let huge = TensorSpec::f32("a", &[usize::MAX, 2]);
    assert!(fails(&|writer| writer.tensors("m", std::slice::from_ref(&huge)).map(drop)).contains("impossible shape"));
    let packed = TensorSpec { dtype: DType::Q4_0, ..two[0].clone() };
    assert!(fails(&|writer| writer.tensors("m", std::slice::from_ref(&packed)).map(drop)).contains("holds f32, f16 and bf16"));
}

/// The process dies at its n-th call to the file system, for every n: before it, or (a write) half way through it. Nothing that it would
/// have done afterwards is done.
#[test]
fn a_kill_at_any_moment_leaves_the_newest_complete_checkpoint() {
    for (before, step) in [(None, 10), (Some(10), 20), (Some(10), 10)] {
        let mut outcomes = BTreeMap::<Option<u64>, usize>::new();
        for call in 0.. {
            let folder = tempfile::tempdir().unwrap();
            before.map(|before| save(&Store::new(folder.path()), before).unwrap());
            let disk = Broken::new(Fault::Kill { call });
            let finished =
                save(&Store::on(disk.clone(), folder.path()), step).and_then(|_| Store::on(disk.clone(), folder.path()).keep(&LAST));
            // Another process comes.
            let store = Store::new(folder.path());
            store.tidy().unwrap();
            let scan = store.scan().unwrap();
            assert!(scan.skipped.is_empty(), "{:?}", scan.skipped);
            let newest = scan.newest().map(|newest| newest.step);
            assert!(newest == before || newest == Some(step), "killed at call {call}: {newest:?}");
            scan.complete.iter().for_each(|listed| verify(&listed.path, listed.step));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), scan.complete.len(), "killed at call {call}: something is left");
            *outcomes.entry(newest).or_default() += 1;
            // And the run goes on.
            verify(&save(&store, step + 1).unwrap(), step + 1);
            if finished.is_ok() {
                assert!(!disk.struck(), "a kill that nobody noticed");
                break;
            }
        }
        // Both outcomes were seen, the old one at most of the calls.
        assert!(outcomes[&Some(step)] >= 2 && outcomes.values().sum::<usize>() > 20, "{outcomes:?}");
        assert!(before == Some(step) || outcomes[&before] > 15, "{outcomes:?}");
    }
}

/// The disk is full after n bytes, for many n: the error says so, nothing is left of the attempt, the checkpoint before is untouched, and
/// with more room the same call succeeds.
#[test]
fn a_full_disk_leaves_the_run_as_it_was() {
    let whole: u64 = {
        let folder = tempfile::tempdir().unwrap();
        save(&Store::new(folder.path()), 20).unwrap();
        snapshot(folder.path()).values().map(|bytes| bytes.len() as u64).sum()
    };
    for room in (0..whole).step_by(97).chain([whole - 1]) {
        let folder = tempfile::tempdir().unwrap();
        save(&Store::new(folder.path()), 10).unwrap();
        let before = snapshot(folder.path());
        let store = Store::on(Broken::new(Fault::Full { room }), folder.path());
        let error = save(&store, 20).unwrap_err();
        assert!(matches!(error, RunError::Full { .. }), "{room} bytes of room: {error}");
        assert!(error.to_string().contains("make room and run the same command again"));
        assert_eq!(snapshot(folder.path()), before, "{room} bytes of room");
        verify(&save(&Store::new(folder.path()), 20).unwrap(), 20);
    }
    let folder = tempfile::tempdir().unwrap();
    save(&Store::on(Broken::new(Fault::Full { room: whole }), folder.path()), 20).unwrap();
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    save(&store, 10).unwrap();
    let path = save(&store, 20).unwrap();
    for (file, bytes) in snapshot(&path) {
        let file = path.join(file);
        for at in (0..bytes.len()).step_by(13).chain([bytes.len() - 1]) {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            fs::write(&file, &changed).unwrap();
            let error = Checkpoint::open(&path, &identity()).err();
            let is_manifest = file.ends_with("manifest.json");
            match error {
                Some(RunError::HashDiffers { path: named, .. }) => assert!(is_manifest || named == file),
                Some(RunError::Format { .. } | RunError::CutShort { .. }) => assert!(is_manifest),
                // The manifest's own step, and white space in it, are covered by no hash.
                None => assert!(is_manifest),
                Some(error) => panic!("{error}"),
            }
        }
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&file, &bytes[..length]).unwrap();
            let scan = store.scan().unwrap();
            // The manifest ends with a line end that may be missing.
            if !(file.ends_with("manifest.json") && length == bytes.len() - 1) {
                assert_eq!((steps(&scan), scan.skipped.len()), (vec![10], 1), "{file:?} cut to {length}");
                let error = Checkpoint::open(&path, &identity()).err().unwrap();
                assert!(matches!(error, RunError::CutShort { .. } | RunError::Format { .. }), "{error}");
                assert!(error.to_string().contains("delete"), "{error}");
            }
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(steps(&store.scan().unwrap()), [10], "{file:?} removed");
        assert!(matches!(Checkpoint::open(&path, &identity()), Err(RunError::CutShort { found: 0, .. })));
        fs::write(&file, &bytes).unwrap();
    }
    verify(&path, 20);
}

#[test]
fn another_configuration_or_base_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(&Store::new(folder.path()), 3).unwrap();
    let open = |config: &str, base: &str| Checkpoint::open(&path, &Identity::new(config, base, &["train.steps"]).unwrap()).map(drop);
    open(&CONFIG.replace("steps = 100", "steps = 200"), "base-hash").unwrap();
    let error = open(&CONFIG.replace("0.0001", "0.001"), "base-hash").unwrap_err();
    assert!(
        matches!(&error, RunError::OtherConfig { key, was, now, .. } if key == "train.lr" && was == "0.0001" && now == "0.001"),
        "{error}"
    );
    let error = open(CONFIG, "another").unwrap_err();
    assert!(matches!(&error, RunError::OtherBase { was, .. } if was == "base-hash"), "{error}");
}

#[test]
fn a_manifest_names_only_files_of_its_folder_and_a_later_version_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(&Store::new(folder.path()), 3).unwrap();
    let good = fs::read_to_string(path.join("manifest.json")).unwrap();
    for (from, to, said) in [
        ("adam_m.safetensors", "../x", "is no name of a file"),
        ("adam_m.safetensors", "/etc/passwd", "is no name of a file"),
        ("\"config.toml\"", "\"other.toml\"", "does not list config.toml"),
        ("\"version\": 1", "\"version\": 2", "use the newer Longhand"),
    ] {
        assert!(good.contains(from));
        fs::write(path.join("manifest.json"), good.replace(from, to)).unwrap();
        let error = Checkpoint::look(&path).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    fs::write(path.join("manifest.json"), good).unwrap();
    let moved = folder.path().join("step-000004");
    fs::rename(&path, &moved).unwrap();
    let scan = Store::new(folder.path()).scan().unwrap();
    assert!(scan.complete.is_empty() && scan.skipped[0].to_string().contains("the folder was renamed"), "{scan:?}");
}

#[test]
fn the_best_and_the_last_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let losses = [
        (10, Some(3.0)),
        (20, Some(2.0)),
        (30, Some(f32::NAN)),
        (40, None),
        (50, Some(2.0)),
        (60, Some(f32::NEG_INFINITY)),
        (70, Some(2.5)),
    ];
    for (step, validation) in losses {
        let mut writer = store.begin(&identity(), TrainState { validation, ..state(step) }).unwrap();
        fill(&mut writer, step).unwrap();
        writer.finish().unwrap();
    }
    let scan = store.scan().unwrap();
    assert_eq!((scan.newest().unwrap().step, scan.best().unwrap().step), (70, 20));
    assert_eq!(store.keep(&Keep { last: 2, best: true, every: Some(50) }).unwrap(), [40, 30, 10]);
    assert_eq!(steps(&store.scan().unwrap()), [70, 60, 50, 20]);
    assert_eq!(store.keep(&Keep::default()).unwrap(), [60, 50]);
    assert_eq!(store.keep(&Keep { last: 0, best: false, every: None }).unwrap(), [20]);
    assert_eq!(steps(&store.scan().unwrap()), [70]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn names_that_are_no_steps_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let names = ["step-12", "step-+00012", "step-000012x", "notes", ".step-000012", ".notes.tmp", "step-99999999999999999999"];
    names.iter().for_each(|name| fs::create_dir(folder.path().join(name)).unwrap());
    fs::create_dir(folder.path().join(".step-000012.tmp")).unwrap();
    store.tidy().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), names.len());
    let scan = store.scan().unwrap();
    assert!(scan.complete.is_empty() && scan.skipped.is_empty());
    // A file in a checkpoint's place.
    fs::write(folder.path().join("step-000012"), "").unwrap();
    assert_eq!(store.scan().unwrap().skipped.len(), 1);
    assert!(RealDisk.create(&folder.path().join("step-000012")).is_err());
}

/// Peak memory of this process in bytes (Linux).
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
#[ignore = "a measurement (Linux): cargo test -p longhand-train --test checkpoint tensors_are_never -- --ignored --nocapture"]
fn tensors_are_never_in_memory_together() {
    const TENSORS: usize = 16;
    const VALUES: usize = 8 << 20;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let before = peak();
    let since = std::time::Instant::now();
    let mut writer = store.begin(&identity(), state(1)).unwrap();
    let specs: Vec<TensorSpec> = (0..TENSORS).map(|n| TensorSpec::f32(format!("{n}"), &[VALUES])).collect();
    let mut file = writer.tensors("masters", &specs).unwrap();
    (0..TENSORS).for_each(|n| file.push_f32(&n.to_string(), &vec![n as f32; VALUES]).unwrap());
    file.finish().unwrap();
    let saved = writer.finish().unwrap();
    let (written, grown) = (since.elapsed(), peak() - before);
    let since = std::time::Instant::now();
    let read = Checkpoint::open(&saved.path, &identity()).unwrap();
    let mib = |bytes: u64| bytes >> 20;
    println!("{} MiB written in {written:.1?} with {} MiB more memory, verified in {:.1?}", mib(saved.bytes), mib(grown), since.elapsed());
    assert_eq!(read.f32s("masters", "15", &[VALUES]).unwrap()[VALUES - 1], 15.0);
    assert!(saved.bytes > 512 << 20 && grown < 48 << 20, "{grown}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a checkpoint's files, reading it ends with an answer.
    #[test]
    fn no_bytes_panic(manifest in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..600, at in 0usize..600, to in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = save(&Store::new(folder.path()), 3).unwrap();
        let file = path.join("manifest.json");
        let mut good = fs::read(&file).unwrap();
        fs::write(&file, &manifest).unwrap();
        prop_assert!(Checkpoint::look(&path).is_err());
        let at = at % good.len();
        good[at] = to;
        good.truncate(cut);
        fs::write(&file, &good).unwrap();
        let _ = Checkpoint::look(&path);
        let _ = Store::new(folder.path()).scan().unwrap();
    }
}
