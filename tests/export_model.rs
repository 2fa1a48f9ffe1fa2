//! `longhand export MODEL --to …`: what it writes runs, an adapter is merged, and what does not go together is said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model::Role;
use train::adapter::{Adapter, Pair, Place};

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).display().to_string()
}

fn longhand(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(args: &[&str]) -> (String, String) {
    let output = longhand(args);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {err}");
    (out, err)
}

fn refused(args: &[&str], words: &str) {
    let output = longhand(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.contains(words), "`{words}` is not in: {message}");
}

/// Greedy ids after the golden prompt, and those Transformers chose.
fn ids(model: &str, case: &Path) -> (Vec<u64>, Vec<u64>) {
    let greedy: serde_json::Value = serde_json::from_slice(&fs::read(golden("llama/greedy.json")).unwrap()).unwrap();
    fs::write(case, serde_json::json!({"ids": greedy["prompt"]}).to_string()).unwrap();
    let args =
        ["generate", "--model", model, "--ids", case.to_str().unwrap(), "--greedy", "--max-new-tokens", "16", "--kv", "f32", "--exact"];
    let found: serde_json::Value = serde_json::from_str(&done(&args).0).unwrap();
    let list = |value: &serde_json::Value| value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect::<Vec<_>>();
    let expected = list(&greedy["ids"]);
    (list(&found["ids"]), expected[..16].to_vec())
}

fn paths(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("m.gguf"), folder.join("case.json"))
}

#[test]
fn an_exported_model_answers_as_the_model_did() {
    let folder = tempfile::tempdir().unwrap();
    let (gguf, case) = paths(folder.path());
    let hf = folder.path().join("hf");
    let (out, err) = done(&["export", &golden("llama"), "--to", "gguf", "--type", "f32", "--out", gguf.to_str().unwrap()]);
    assert_eq!(out, format!("{}\n{}\n", gguf.display(), folder.path().join("README.md").display()));
    assert!(err.contains("f32") && err.contains("note: the base has no tokenizer.json"), "{err}");
    done(&["export", gguf.to_str().unwrap(), "--to", "safetensors", "--type", "f32", "--out", hf.to_str().unwrap()]);
    for model in [&gguf, &hf] {
        let (found, expected) = ids(model.to_str().unwrap(), &case);
        assert_eq!(found, expected, "{}", model.display());
    }
}

#[test]
fn an_adapter_changes_what_is_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (gguf, case) = paths(folder.path());
    let shape = Place { role: Role::Up, layer: 0, expert: None };
    // [88, 64] is the golden Llama's.
    let pair = Pair { a: (0..64).map(|i| (i as f32).sin()).collect(), b: (0..88).map(|i| (i as f32).cos()).collect() };
    let adapter = Adapter { rank: 1, alpha: 1.0, base_name: "golden".into(), base: None, pairs: BTreeMap::from([(shape, pair)]) };
    let path = folder.path().join("adapter");
    adapter.save(&path).unwrap();
    let (model, adapter, out) = (golden("llama"), path.to_str().unwrap(), gguf.to_str().unwrap());
    done(&["export", &model, "--adapter", adapter, "--to", "gguf", "--type", "f32", "--out", out]);
    let (found, unchanged) = ids(out, &case);
    assert_ne!(found, unchanged);
    assert!(fs::read_to_string(folder.path().join("README.md")).unwrap().contains("rank 1, α 1, on up_proj"));
    refused(&["export", &golden("qwen3"), "--adapter", adapter, "--to", "gguf", "--out", "other.gguf"], "trained on another base (golden)");
}

#[test]
fn what_does_not_go_together_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (gguf, _) = paths(folder.path());
    let (model, out, run) = (golden("llama"), gguf.to_str().unwrap(), folder.path().to_str().unwrap());
    refused(&["export", &model, "--to", "gguf"], "--out");
    refused(&["export", &model, "--to", "gguf", "--out", out, "--html", "-"], "cannot be used with");
    refused(&["export", &model, "--type", "f16", "--html", "-"], "--to");
    refused(&["export", &model, "--html", "-"], "is a model, not a kept read: say --to safetensors or --to gguf");
    refused(&["export", &model, "--to", "safetensors", "--type", "q4_k", "--out", out], "or export to GGUF");
    fs::write(folder.path().join("events.jsonl"), "").unwrap();
    refused(&["export", run, "--to", "gguf", "--out", out], "is a kept read, not a model");
    fs::write(&gguf, "mine").unwrap();
    refused(&["export", &model, "--to", "gguf", "--out", out], "is there already");
    assert_eq!(fs::read(&gguf).unwrap(), b"mine");
}
