//! The real binary trains: it learns, a kill at any moment changes nothing, what it made can be exported and run; bad input is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

mod tiny;

fn longhand(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).args(args).env("LONGHAND_CACHE", "/nonexistent").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with a tiny model, rows, and a configuration of `steps` steps.
fn workplace(steps: usize, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tiny::model(folder.path());
    let row = |i: usize| format!("{{\"prompt\": \"item {i}\", \"answer\": \"number {} of the list\"}}\n", i * 7 % 5);
    fs::write(folder.path().join("rows.jsonl"), (0..24).map(row).collect::<String>()).unwrap();
    fs::write(folder.path().join("held.jsonl"), (24..30).map(row).collect::<String>()).unwrap();
    let config = format!(
        "[model]\npath = \"model\"\n[data]\nfile = \"rows.jsonl\"\nmax_length = 64\n[train]\nsteps = {steps}\nbatch = 4\nlr = 3e-3\nseed = 1\n\
         dtype = \"f32\"\nmicro_batch_tokens = 64\n[checkpoint]\nevery = 3\n[validation]\nfile = \"held.jsonl\"\nevery = 5\n[device]\nkind = \"cpu\"\n{more}"
    );
    fs::write(folder.path().join("t.toml"), config).unwrap();
    folder
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_string()
}

/// SHA-256 of the newest checkpoint's tensors.
fn hash(run: &Path) -> String {
    let mut steps: Vec<PathBuf> = fs::read_dir(run.join("checkpoint")).unwrap().map(|entry| entry.unwrap().path()).collect();
    steps.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("step-"));
    let newest = steps.iter().max().unwrap();
    let mut hash = Sha256::new();
    for file in ["masters", "adam_m", "adam_v"] {
        hash.update(fs::read(newest.join(format!("{file}.safetensors"))).unwrap());
    }
    format!("{:?} {:x}", newest.file_name().unwrap(), hash.finalize())
}

fn events(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// (step, loss) of every step, in order.
fn losses(run: &Path) -> Vec<(u64, String)> {
    let steps = events(run).into_iter().filter(|event| event["event"] == "step");
    steps.map(|event| (event["step"].as_u64().unwrap(), event["loss"].to_string())).collect()
}

#[test]
fn it_learns_and_what_it_made_runs() {
    for more in ["", "[lora]\nrank = 4\nalpha = 8\ntargets = [\"attention\", \"mlp\"]\n"] {
        let folder = workplace(20, more);
        let run = path(&folder, "run");
        let done = longhand(&["train", &path(&folder, "t.toml"), "--run", &run]);
        assert!(done.status.success(), "{}", said(&done));
        let all = events(Path::new(&run));
        let held: Vec<f64> = all.iter().filter(|e| e["event"] == "validation").map(|e| e["loss"].as_f64().unwrap()).collect();
        assert!(held.len() >= 5 && held[held.len() - 1] < 0.9 * held[0], "{more}: {held:?}");
        assert_eq!(losses(Path::new(&run)).len(), 20);
        assert!(all.iter().any(|event| event["event"] == "sample") && Path::new(&run).join("report.html").exists());
        assert_eq!(Path::new(&run).join("adapter/adapter_model.safetensors").exists(), !more.is_empty());
        // The exported model says of the held-out rows what the run measured: it is the trained one.
        let out = path(&folder, "out");
        let written = longhand(&["export", &run, "--to", "safetensors", "--type", "f32", "--out", &out, "--last"]);
        assert!(written.status.success(), "{}", said(&written));
        let (before, after) = (logits(&folder, &path(&folder, "model")), logits(&folder, &out));
        assert_eq!(before.len(), after.len());
        assert_ne!(before, after);
        // And its loss on them is what the last validation found.
        let cost = longhand(&["score", &path(&folder, "held.jsonl"), "--model", &out, "--loss", "--json"]);
        assert!(cost.status.success(), "{}", said(&cost));
        let cost: Value = serde_json::from_slice(&cost.stdout).unwrap();
        assert_eq!(cost["rows"], 6);
        assert!((cost["loss"].as_f64().unwrap() - held[held.len() - 1]).abs() < 1e-4, "{cost} {held:?}");
        // Once more from the export: its first validation is the last of the run.
        let config = fs::read_to_string(path(&folder, "t.toml")).unwrap().replace("path = \"model\"", "path = \"out\"");
        fs::write(folder.path().join("again.toml"), config.replace("steps = 20", "steps = 1")).unwrap();
        let again = longhand(&["train", &path(&folder, "again.toml"), "--run", &path(&folder, "again")]);
        assert!(again.status.success(), "{}", said(&again));
        let first = events(&folder.path().join("again")).into_iter().find(|e| e["event"] == "validation").unwrap();
        assert!((first["loss"].as_f64().unwrap() - held[held.len() - 1]).abs() < 1e-3, "{first} {held:?}");
    }
}

/// At a constant rate a longer training goes on from a shorter one, and ends as if it had been meant so; where the rate falls it cannot.
#[test]
fn a_training_may_be_made_longer() {
    let folder = workplace(12, "");
    let train = |run: &str| longhand(&["train", &path(&folder, "t.toml"), "--run", &path(&folder, run), "--resume"]);
    let begin = |run: &str| longhand(&["train", &path(&folder, "t.toml"), "--run", &path(&folder, run)]);
    let set = |from: &str, to: &str| {
        let text = fs::read_to_string(folder.path().join("t.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(folder.path().join("t.toml"), text.replace(from, to)).unwrap();
    };
    set("steps = 12", "steps = 12\nschedule = \"constant\"\nwarmup = 3");
    assert!(begin("whole").status.success());
    set("steps = 12", "steps = 7");
    assert!(begin("grown").status.success());
    set("steps = 7", "steps = 12");
    let grown = train("grown");
    assert!(grown.status.success(), "{}", said(&grown));
    assert_eq!(losses(&folder.path().join("grown")), losses(&folder.path().join("whole")));
    assert_eq!(hash(&folder.path().join("grown")), hash(&folder.path().join("whole")));

    set("steps = 12\nschedule = \"constant\"", "steps = 7\nschedule = \"linear\"");
    assert!(begin("falling").status.success());
    set("steps = 7", "steps = 12");
    let falling = train("falling");
    assert!(falling.status.code() == Some(2) && said(&falling).contains("train.steps"), "{}", said(&falling));
}

fn logits(folder: &tempfile::TempDir, model: &str) -> Vec<u8> {
    let (case, out) = (path(folder, "case.json"), path(folder, "logits.safetensors"));
    fs::write(&case, r#"{"ids": [5, 9, 30, 12, 7]}"#).unwrap();
    let done = longhand(&["logits", "--model", model, "--ids", &case, "--out", &out]);
    assert!(done.status.success(), "{}", said(&done));
    fs::read(out).unwrap()
}

/// Kills the run `kills` times at moments spread by `seed`, resumes it each time, and lets it end.
fn killed(folder: &tempfile::TempDir, name: &str, kills: usize, seed: u64) -> PathBuf {
    let run = folder.path().join(name);
    let (config, shown) = (path(folder, "t.toml"), run.to_str().unwrap().to_string());
    let mut state = seed;
    let mut done = 0;
    for _ in 0..40 * kills + 200 {
        let begun = run.join("events.jsonl").exists();
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(["train", &config, "--run", &shown]).args(begun.then_some("--resume"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if done < kills {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_millis(30 + (state >> 33) % 1200));
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                done += 1;
            }
            child.wait().unwrap();
            let finished = run.join("events.jsonl").exists() && events_say_finished(&run);
            assert!(!finished || done == kills, "the run is too short for {kills} kills: {done}");
        } else {
            assert!(child.wait().unwrap().success());
            break;
        }
    }
    run
}

/// A torn last line is no event.
fn events_say_finished(run: &Path) -> bool {
    fs::read_to_string(run.join("events.jsonl")).unwrap().contains("\"finished\"")
}

fn a_killed_run_is_the_undisturbed_one(steps: usize, kills: usize) {
    let folder = workplace(steps, "");
    let whole = path(&folder, "whole");
    let done = longhand(&["train", &path(&folder, "t.toml"), "--run", &whole]);
    assert!(done.status.success(), "{}", said(&done));
    let run = killed(&folder, "killed", kills, 7);
    assert_eq!(hash(&run), hash(Path::new(&whole)));
    assert_eq!(losses(&run), losses(Path::new(&whole)), "the log reads as one run");
    // A resumed run says what the kill had taken: some did take steps, since checkpoints are three apart.
    let resumed = events(&run).into_iter().filter(|event| event["event"] == "resumed");
    let lost: Vec<u64> = resumed.map(|event| event["lost_steps"].as_u64().unwrap()).collect();
    assert!(lost.iter().all(|&steps| steps <= 3) && (kills < 20 || lost.iter().any(|&steps| steps > 0)), "{lost:?}");
    println!("{kills} kills in {steps} steps: {}", hash(&run));
    // The comparison sees a run of another seed.
    let config = fs::read_to_string(path(&folder, "t.toml")).unwrap().replace("seed = 1", "seed = 2");
    fs::write(folder.path().join("t.toml"), config).unwrap();
    let other = path(&folder, "other");
    assert!(longhand(&["train", &path(&folder, "t.toml"), "--run", &other]).status.success());
    assert_ne!(hash(Path::new(&other)), hash(Path::new(&whole)));
    // Nor does a run take up another's checkpoints.
    let refused = longhand(&["train", &path(&folder, "t.toml"), "--run", &whole, "--resume"]);
    assert!(refused.status.code() == Some(2) && said(&refused).contains("train.seed"), "{}", said(&refused));
}

#[test]
fn three_kills_change_nothing() {
    a_killed_run_is_the_undisturbed_one(800, 3);
}

#[test]
#[ignore = "half a minute more; cargo test --test train -- --ignored twenty_kills"]
fn twenty_kills_change_nothing() {
    a_killed_run_is_the_undisturbed_one(2000, 20);
}

#[test]
fn bad_input_is_said_and_nothing_is_lost() {
    let folder = workplace(4, "");
    let config = path(&folder, "t.toml");
    let text = fs::read_to_string(&config).unwrap();
    let attempt = |change: (&str, &str), wanted: &[&str]| {
        assert!(text.contains(change.0));
        fs::write(&config, text.replace(change.0, change.1)).unwrap();
        let done = longhand(&["train", &config, "--run", &path(&folder, "bad")]);
        assert_eq!(done.status.code(), Some(2), "{change:?}");
        wanted.iter().for_each(|word| assert!(said(&done).contains(word), "{change:?}: {}", said(&done)));
        assert!(!folder.path().join("bad/checkpoint").exists());
    };
    attempt(("batch = 4", "bacth = 4"), &["bacth", "batch"]);
    attempt(("lr = 3e-3", "lr = -1"), &["train.lr"]);
    attempt(("path = \"model\"", "path = \"./nowhere\""), &["nowhere"]);
    attempt(("file = \"rows.jsonl\"", "file = \"none.jsonl\""), &["none.jsonl"]);
    fs::write(&config, &text).unwrap();
    fs::write(folder.path().join("rows.jsonl"), "{\"prompt\": \"a\", \"answer\": \"b\"}\n{\"prompt\": 3}\n").unwrap();
    let done = longhand(&["train", &config, "--run", &path(&folder, "bad2")]);
    assert!(done.status.code() == Some(2) && said(&done).contains("rows.jsonl:2"), "{}", said(&done));
}

#[test]
fn a_run_is_not_begun_over_another() {
    let folder = workplace(3, "");
    let (config, run) = (path(&folder, "t.toml"), path(&folder, "run"));
    let none = longhand(&["train", &config, "--run", &run, "--resume"]);
    assert!(none.status.code() == Some(2) && said(&none).contains("no run to go on with"), "{}", said(&none));
    assert!(longhand(&["train", &config, "--run", &run]).status.success());
    let before = hash(Path::new(&run));
    let again = longhand(&["train", &config, "--run", &run]);
    assert!(again.status.code() == Some(2) && said(&again).contains("--resume"), "{}", said(&again));
    assert_eq!(hash(Path::new(&run)), before);
}

#[test]
fn plans_of_the_machines_people_own_fit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/train");
    for (name, gib) in [("qwen3-0.6b-8gb", "8"), ("qwen3-1.7b-16gb", "16"), ("qwen3-4b-24gb", "24"), ("qwen3-30b-a3b-80gb", "80")] {
        let config = root.join(format!("{name}.toml"));
        let plan = longhand(&["train", config.to_str().unwrap(), "--plan", "--no-measure", "--json", "--memory", gib]);
        assert!(plan.status.success(), "{name}: {}", said(&plan));
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
        let bytes = plan["peak_memory"].as_f64().unwrap();
        println!("{name}: {:.2} of {gib} GiB, {} tokens a pass", bytes / 2f64.powi(30), plan["micro_batch_tokens"]);
        assert!(bytes < gib.parse::<f64>().unwrap() * 2f64.powi(30));
        let small = longhand(&["train", config.to_str().unwrap(), "--plan", "--no-measure", "--memory", "0.5"]);
        assert!(small.status.code() == Some(2) && said(&small).contains("GiB"), "{name}: {}", said(&small));
    }
}
