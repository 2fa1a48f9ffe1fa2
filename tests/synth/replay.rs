//! The run of tests/synth/real, which a model of 1.5 billion parameters answered once: from its kept calls the same files come out again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{run, said};

const REAL: &str = "tests/synth/real";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The kept calls in a dataset's folder, as the run had left them; their files.
fn unpack(set: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(root().join(REAL).join("calls.jsonl")).unwrap();
    let (about, calls) = text.split_once('\n').unwrap();
    fs::create_dir_all(set.join("calls")).unwrap();
    fs::write(set.join("calls/model.json"), about).unwrap();
    let unpacked = calls.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let key = record["key"].as_str().unwrap();
        let path = set.join("calls").join(&key[..2]).join(format!("{key}.json"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, line).unwrap();
        path
    });
    unpacked.collect()
}

fn replay(set: &Path) -> std::process::Output {
    let (config, set) = (format!("{REAL}/synth.toml"), set.to_str().unwrap());
    run(&["synth", "run", &config, "--out", set, "--replay"], root())
}

#[test]
fn a_real_models_dataset_comes_again_byte_for_byte() {
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("set");
    let calls = unpack(&set);
    let output = replay(&set);
    assert!(output.status.success(), "{}", said(&output));
    let expected = fs::read_to_string(root().join(REAL).join("sha256.txt")).unwrap();
    let mut files = 0;
    for line in expected.lines() {
        let (hash, name) = line.split_once("  ").unwrap();
        assert_eq!(format!("{:x}", Sha256::digest(fs::read(set.join(name)).unwrap())), hash, "{name}");
        files += 1;
    }
    assert_eq!(files, 5, "rows, rejects, documents, card, configuration");
    let output = run(&["synth", "check", set.to_str().unwrap(), "--json"], root());
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let not_run = serde_json::json!({"whether the answer is true of the documents: it came from a model": 1});
    assert_eq!((&checked["bad"], &checked["not_run"]), (&serde_json::json!(0), &not_run), "{checked}");

    // Without one of its calls it stops and says so; with one that was changed too.
    let (lost, changed) = (&calls[calls.len() / 3], &calls[calls.len() / 2]);
    for (path, edit) in [(lost, None), (changed, Some("\"text\":\"Surely "))] {
        fs::remove_dir_all(&set).unwrap();
        unpack(&set);
        match edit {
            None => fs::remove_file(path).unwrap(),
            Some(text) => fs::write(path, fs::read_to_string(path).unwrap().replacen("\"text\":\"", text, 1)).unwrap(),
        }
        let output = replay(&set);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("not kept"), "{}", said(&output));
    }
}
