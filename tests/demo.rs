//! `longhand demo` by the real binary, on a model of random weights: what the acts measure, and what cannot be shown.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn longhand(args: &[&str], folder: &TempDir) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(args).current_dir(folder.path()).env("HF_HUB_OFFLINE", "1").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MODEL: &str = r#"{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32, "moe_intermediate_size": 32, "num_experts": 4,
    "num_experts_per_tok": 2, "norm_topk_prob": true, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 1024,
    "tie_word_embeddings": true, "hidden_act": "silu", "decoder_sparse_step": 1, "mlp_only_layers": []}"#;

fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), MODEL).unwrap();
    for words in [
        &["data", "world", "--tiny", "--items", "60", "--words", "60-100", "--out", "items.jsonl"][..],
        &["init", "tokenizer", "--text", "items.jsonl", "--size", "700", "--out", "tokenizer.json"],
        &["init", "model", "--config", "config.json", "--tokenizer", "tokenizer.json", "--out", "model"],
    ] {
        let output = longhand(words, &folder);
        assert!(output.status.success(), "{}", said(&output));
    }
    folder
}

/// What stands in the program is the model of the stages: it finds what the window alone does not have.
#[test]
fn the_model_in_the_program_reads_past_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut right = [0; 3];
    for seed in 1..=6 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(["demo", "--acts", "2", "--words", "900", "--json", "--seed", &seed.to_string()]).current_dir(folder.path());
        let output = command.env("XDG_CACHE_HOME", folder.path().join("cache")).env("HF_HUB_OFFLINE", "1").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("million parameters, trained by this repository alone"), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        for (count, is_right) in right.iter_mut().zip(found["document"]["right"].as_array().unwrap()) {
            *count += usize::from(is_right.as_bool().unwrap());
        }
    }
    assert!(right[2] >= 4 && right[0] <= 2, "window alone, before and after reinforcement learning: {right:?} of 6");
    assert_eq!(fs::read_dir(folder.path().join("cache/longhand")).unwrap().count(), 1, "written once");
}

#[test]
fn the_acts_measure_what_they_show() {
    let folder = model();
    let acts = ["demo", "--model", "model", "--start", "model", "--chunk", "64", "--memory", "32"];
    let run = |more: &[&str]| longhand(&[&acts[..], more].concat(), &folder);
    let output =
        run(&["--window", "128", "--acts", "1,2", "--words", "300", "--seed", "3", "--json", "--plant", "Mara Voss sold the mill in 1931"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(found["learning"]["rewards"].as_array().unwrap().len(), 12);
    assert_eq!(found["learning"]["mismatch"], 0.0);
    let document = &found["document"];
    assert_eq!(document["question"], "Who sold the mill in 1931?");
    assert_eq!(document["answer"], "Mara Voss");
    assert!(document["sections"].as_u64() > Some(3), "{document}");
    // Random weights find nothing, and that is said.
    assert_eq!(document["right"], serde_json::json!([false, false, false]));
    assert!(said(&output).contains("--seed 3 repeats them") && said(&output).contains("in the text: Mara Voss"), "{}", said(&output));
    assert!(folder.path().join("longhand-runs/demo-3/run/report.html").exists());
    // The same seed again would overwrite the run.
    let again = run(&["--acts", "1", "--seed", "3"]);
    assert!(again.status.code() == Some(2) && said(&again).contains("another --seed or --out"), "{}", said(&again));
    for (args, why) in [
        (&["--plant", "the mill was sold"][..], "begin with a name"),
        (&["--acts", "4"], "--acts are 1, 2 and 3"),
        (&["--words", "5"], "--words is from 200"),
        (&["--window", "1000"], "too few for --window"),
        (&["--ask", "Who?"], "--plant"),
    ] {
        let output = run(args);
        assert!(output.status.code() == Some(2) && said(&output).contains(why), "{args:?}: {}", said(&output));
    }
}
