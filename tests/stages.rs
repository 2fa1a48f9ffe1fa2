//! A recipe from nothing by the real binary: a tokenizer, a model, lessons, supervised training, memory RL; scores after each stage.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

fn longhand(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(args).current_dir(folder);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MODEL: &str = r#"{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32, "moe_intermediate_size": 32, "num_experts": 4,
    "num_experts_per_tok": 2, "norm_topk_prob": true, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 1024,
    "tie_word_embeddings": true, "hidden_act": "silu", "decoder_sparse_step": 1, "mlp_only_layers": []}"#;

const STAGES: &str = r#"
[[score]]
name = "whole"
items = "{out}/rows/held.jsonl"
with = ["--max-new-tokens", "16"]
[[score]]
name = "notes"
items = "{out}/rows/held.jsonl"
from = "sft"
with = ["--read", "notes", "--chunk", "64", "--memory", "64", "--short", "--max-new-tokens", "16"]

[[stage]]
name = "rows"
run = [
  ["data", "world", "--tiny", "--ordered", "--tasks", "reading", "--items", "40", "--words", "100-140", "--out", "{out}/rows/items.jsonl"],
  ["data", "world", "--tiny", "--ordered", "--tasks", "reading", "--items", "6", "--words", "100-140", "--split", "held", "--out", "{out}/rows/held.jsonl"],
  ["init", "tokenizer", "--text", "{out}/rows/items.jsonl", "--size", "600", "--out", "{out}/rows/tokenizer.json"],
  ["init", "model", "--config", "{here}/model.json", "--tokenizer", "{out}/rows/tokenizer.json", "--out", "{out}/rows/model"],
  ["data", "notes", "{out}/rows/items.jsonl", "--model", "{out}/rows/model", "--chunk", "64", "--memory", "64", "--whole", "--out", "{out}/rows/lessons.jsonl"],
]

[[stage]]
name = "sft"
model = "rows"
paper = "nothing: it began from a trained model"
[stage.train]
data = { file = "{out}/rows/lessons.jsonl", max_length = 512 }
train = { steps = 6, batch = 8, lr = 3e-3, dtype = "f32" }
checkpoint = { every = 3 }
device = { kind = "cpu", threads = 1 }

[[stage]]
name = "memory"
model = "sft"
[stage.train]
data = { file = "{out}/rows/items.jsonl", max_length = 512 }
train = { steps = 4, batch = 2, lr = 1e-3, dtype = "f32" }
rl = { group = 4, max_new_tokens = 16, reward = "rule" }
memory = { chunk = 64, memory = 64, short = true }
checkpoint = { every = 1 }
device = { kind = "cpu", threads = 1 }

[[stage]]
name = "merged"
merge = { method = "sce", base = "rows", models = ["sft", "memory"], select_topk = 0.5 }
"#;

fn prepare() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("model.json"), MODEL).unwrap();
    fs::write(folder.path().join("tiny.toml"), STAGES).unwrap();
    folder
}

fn weights(folder: &Path, out: &str) -> Vec<u8> {
    ["memory", "merged"].iter().flat_map(|stage| fs::read(folder.join(out).join(stage).join("model/model.safetensors")).unwrap()).collect()
}

fn events(folder: &Path, run: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(run).join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn stages_run_from_nothing_and_go_on_after_a_kill() {
    let folder = prepare();
    let whole = longhand(&["stages", "tiny.toml", "--out", "a"], folder.path()).output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    let said_out = String::from_utf8(whole.stdout).unwrap();
    let table = &said_out[said_out.find("| stage").unwrap_or(0)..];
    assert!(
        table.starts_with("| stage | whole | notes |")
            && table.contains("| sft |")
            && table.contains("| memory |")
            && table.contains("| merged |"),
        "{table}"
    );
    let scored = |stage: &str, score: &str| folder.path().join(format!("a/{stage}/score-{score}.json")).exists();
    assert!(scored("rows", "whole") && !scored("rows", "notes") && scored("sft", "notes"), "notes are asked for from sft on");
    let rl: Vec<Value> = events(folder.path(), "a/memory/run").into_iter().filter(|event| event["event"] == "rl").collect();
    assert_eq!(rl.len(), 4);
    assert!(rl.iter().all(|step| step["rollouts"] == 8 && step["turns"].as_u64() > Some(16)), "documents take several turns");
    assert!(rl.iter().all(|step| step["mismatch"] == 0.0), "a turn's update computes what its rollout did");

    // Killed in the middle of memory RL.
    let until = longhand(&["stages", "tiny.toml", "--out", "b", "--until", "sft"], folder.path()).output().unwrap();
    assert!(until.status.success(), "{}", said(&until));
    let mut child =
        longhand(&["stages", "tiny.toml", "--out", "b"], folder.path()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let log = folder.path().join("b/memory/run/events.jsonl");
    let begun = |log: &Path| fs::read_to_string(log).is_ok_and(|text| text.matches("\"event\":\"rl\"").count() >= 2);
    while !begun(&log) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let again = longhand(&["stages", "tiny.toml", "--out", "b"], folder.path()).output().unwrap();
    assert!(again.status.success(), "{}", said(&again));
    assert!(said(&again).contains("sft: done before"), "{}", said(&again));
    assert!(weights(folder.path(), "a") == weights(folder.path(), "b"), "a killed recipe ends with other weights");

    // What is worth keeping of it.
    let pack =
        |start: &str| longhand(&["stages", "tiny.toml", "--out", "a", "--pack", "kept", "--start", start], folder.path()).output().unwrap();
    assert!(pack("nothing").status.code() == Some(2) && !folder.path().join("kept").exists());
    let packed = pack("sft");
    assert!(packed.status.success(), "{}", said(&packed));
    let kept = |name: &str| folder.path().join("kept").join(name);
    let bytes = |path: std::path::PathBuf| fs::metadata(path).unwrap().len();
    assert!(bytes(kept("model.safetensors")) < bytes(folder.path().join("a/merged/model/model.safetensors")) * 6 / 10);
    assert!(fs::read(kept("model.safetensors")).unwrap() != fs::read(kept("start/model.safetensors")).unwrap());
    assert_eq!(events(folder.path(), "kept/logs/memory").iter().filter(|event| event["event"] == "rl").count(), 4);
    assert_eq!(fs::read_to_string(kept("logs/sha256.txt")).unwrap().lines().count(), 4, "rows, sft, memory, merged");
    let drawn = longhand(&["reproduce", "stages", "--from-logs", "kept/logs", "--out", "page"], folder.path()).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let page = fs::read_to_string(folder.path().join("page/stages.html")).unwrap();
    assert!(page.contains("memory: reward") && page.contains("sft: loss") && page.contains("SCE merge"), "{page}");

    let all = ["reproduce", "all", "--from-logs", "--logs", "kept/logs", "--out", "pages"];
    let drawn = longhand(&all, folder.path()).output().unwrap();
    assert!(drawn.status.success() && said(&drawn).contains("ladder: no logs"), "{}", said(&drawn));
    let index = fs::read_to_string(folder.path().join("pages/index.html")).unwrap();
    assert!(
        index.contains(r#"href="stages/stages.html""#) && index.contains("ablation: the paper's ablation on the small world; no logs"),
        "{index}"
    );
    assert!(folder.path().join("pages/stages/stages.html").exists());

    // Another configuration in the same place is refused, and nothing is lost.
    fs::write(folder.path().join("tiny.toml"), STAGES.replace("steps = 6", "steps = 7")).unwrap();
    let other = longhand(&["stages", "tiny.toml", "--out", "a"], folder.path()).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("other settings of stage sft"), "{}", said(&other));
    assert!(folder.path().join("a/memory/model/model.safetensors").exists());
}

#[test]
fn bad_stages_are_named() {
    let folder = prepare();
    let run = |text: &str| {
        fs::write(folder.path().join("bad.toml"), text).unwrap();
        let output = longhand(&["stages", "bad.toml", "--out", "bad"], folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        said(&output)
    };
    assert!(run(&STAGES.replace("model = \"sft\"", "model = \"stf\"")).contains("stf"));
    // The first stages were done and stand; a section that holds every document leaves nothing to learn.
    let short = STAGES.replace("memory = { chunk = 64", "memory = { chunk = 400");
    assert!(run(&short).contains("no document is longer than a section"));
    assert!(run("[[stage]]\nname = \"a\"\nrun = [[\"read\", \"x\"]]").contains("`data` and `init` can be run"));
}
