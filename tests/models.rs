//! `--model auto`, `longhand models` and named models with the real binary: tiny checkpoints in a temporary folder, no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A person's own list: `tiny-a` is larger than `tiny-b`, and reads as its entry says.
const LIST: &str = r#"
[[model]]
name = "a"
alias = "tiny-a"
licence = "MIT"
config = "a/config.json"
quant = "f32"
bytes = BYTES
window = 8192
thinks = false
sampling = { temperature = 0.25, top_p = 0.5, top_k = 7 }
read = { chunk = 1000, memory = 300, thinking = 0 }
"#;

/// A home of its own: models, caches, and a hub that nobody answers at.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["a", "b"] {
            checkpoint(&home.models().join(name));
        }
        home
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// Writes the list with `from` replaced.
    fn list(&self, from: &str, to: &str) {
        let bytes = fs::metadata(self.models().join("a/model.safetensors")).unwrap().len().to_string();
        let text = LIST.replace("BYTES", &bytes).replace(from, to);
        fs::write(self.models().join("models.toml"), text).unwrap();
    }

    fn speeds(&self) -> PathBuf {
        self.folder.path().join("cache/longhand/speeds.json")
    }

    fn run(&self, args: &[&str], more: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("LONGHAND_MODELS", self.models()).env("HF_HUB_CACHE", self.folder.path().join("hub"));
        command
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env("HF_ENDPOINT", "http://127.0.0.1:9")
            .env_remove("HF_HUB_OFFLINE");
        command.envs(more.iter().copied()).output().unwrap()
    }

    /// A short document is read with these arguments besides.
    fn read(&self, args: &[&str], more: &[(&str, &str)]) -> Output {
        let path = self.folder.path().join("d.txt");
        let text: String = (0..60).map(|i| format!("Line {i} tells of mill {} on the river Ouse.\n", i % 7)).collect();
        fs::write(&path, text).unwrap();
        self.run(&[&["read", "d.txt", "--ask", "Who?", "--window", "4096", "--run", "run", "--fresh"], args].concat(), more)
    }

    /// What the run's log says it began with.
    fn started(&self) -> Value {
        let log = fs::read_to_string(self.folder.path().join("run/events.jsonl")).unwrap();
        serde_json::from_str(log.lines().next().unwrap()).unwrap()
    }

    /// Makes every measured model slower.
    fn slow_down(&self, factor: f64) {
        let mut speeds: Value = serde_json::from_slice(&fs::read(self.speeds()).unwrap()).unwrap();
        for model in speeds["models"].as_array_mut().unwrap() {
            for rate in ["prefill", "decode"] {
                model[rate] = json!(model[rate].as_f64().unwrap() / factor);
            }
        }
        fs::write(self.speeds(), speeds.to_string()).unwrap();
    }
}

/// The golden Qwen3 with a tokenizer of single bytes, a chat template, and room for 8,192 tokens.
fn checkpoint(to: &Path) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/qwen3");
    fs::create_dir_all(to).unwrap();
    fs::copy(golden.join("model.safetensors"), to.join("model.safetensors")).unwrap();
    let config = fs::read_to_string(golden.join("config.json")).unwrap();
    let wider = config.replace("\"max_position_embeddings\": 1024", "\"max_position_embeddings\": 8192");
    assert_ne!(wider, config);
    fs::write(to.join("config.json"), wider).unwrap();
    // GPT-2's letters for bytes: those that print stand for themselves, the others follow from U+0100 on.
    let prints = |byte: u32| (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
    let mut next = 256;
    let mut vocab = serde_json::Map::new();
    for byte in 0..256u32 {
        let letter = if prints(byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        vocab.insert(char::from_u32(letter).unwrap().to_string(), json!(byte));
    }
    // The model's vocabulary has 320.
    vocab.extend((258..320).map(|id| (format!("word{id}"), json!(id))));
    let special = |id: u32, text: &str| json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let tokenizer = json!({"version": "1.0", "added_tokens": [special(256, "<|im_start|>"), special(257, "<|im_end|>")],
        "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []}});
    fs::write(to.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

/// Exit code 2, every one of `words`, no panic.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let message = said(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn auto_is_the_default_and_reads_with_what_is_here() {
    let home = Home::new();
    home.list("", "");
    // The machine may well hold a published model, but nobody answers at the hub.
    let message = good(&home.read(&[], &[]));
    assert!(message.contains("model   tiny-a: the largest that fits"), "{message}");
    assert!(message.contains("here already") && message.contains("time    about"), "{message}");
    let offline = good(&home.read(&[], &[("HF_HUB_OFFLINE", "1")]));
    assert!(offline.contains("HF_HUB_OFFLINE: choosing among"), "{offline}");
    assert!(!offline.contains("cannot be had"), "{offline}");
    let bare = Home { folder: tempfile::tempdir().unwrap() };
    refused(&bare.read(&[], &[("HF_HUB_OFFLINE", "1")]), &["no model is here", "LONGHAND_MODELS"]);
    refused(&bare.read(&[], &[]), &["cannot be had", "127.0.0.1:9", "no model is here"]);
}

#[test]
fn a_named_models_settings_are_defaults_and_flags_win() {
    let home = Home::new();
    home.list("", "");
    for model in [&["--model", "tiny-a"][..], &["--model", "models/a"], &[]] {
        good(&home.read(model, &[]));
        let started = home.started();
        assert_eq!((&started["chunk"], &started["memory"]), (&json!(1000), &json!(300)), "{model:?}");
        let sampling = &started["sampling"];
        assert_eq!((&sampling["temperature"], &sampling["top_p"], &sampling["top_k"]), (&json!(0.25), &json!(0.5), &json!(7)), "{model:?}");
    }
    good(&home.read(&["--model", "tiny-a", "--chunk", "900", "--temperature", "0.5", "--top-k", "0"], &[]));
    let started = home.started();
    assert_eq!((&started["chunk"], &started["memory"]), (&json!(900), &json!(300)));
    assert_eq!((&started["sampling"]["temperature"], &started["sampling"]["top_p"]), (&json!(0.5), &json!(0.5)));
    // Another folder with the same shape is another model: the paper's sampling, shares of the window.
    good(&home.read(&["--model", "models/b"], &[]));
    let started = home.started();
    assert_eq!((&started["chunk"], &started["sampling"]["top_k"]), (&json!(1024), &json!(0)));
}

#[test]
fn more_than_ten_minutes_are_asked_for_first() {
    let home = Home::new();
    home.list("", "");
    fs::remove_dir_all(home.models().join("b")).unwrap();
    good(&home.run(&["bench", "--model", "tiny-a", "--runs", "1", "--prefill", "64", "--decode", "8"], &[]));
    good(&home.read(&[], &[("HF_HUB_OFFLINE", "1")]));
    // The read has measured it again; were it so slow as this, it would take days.
    home.slow_down(1e7);
    let stopped = home.read(&[], &[("HF_HUB_OFFLINE", "1")]);
    refused(&stopped, &["no model is done in 10 minutes", "as measured of this model before", "--yes"]);
    let yes = good(&home.read(&["--yes"], &[("HF_HUB_OFFLINE", "1")]));
    assert!(yes.contains("days"), "{yes}");
    // That read was measured, and the question is gone.
    good(&home.read(&[], &[("HF_HUB_OFFLINE", "1")]));
    // A named model is not asked about, only told.
    home.slow_down(1e7);
    let named = good(&home.read(&["--model", "tiny-a"], &[]));
    assert!(named.contains("days"), "{named}");
}

#[test]
fn models_lists_entries_and_what_is_here() {
    let home = Home::new();
    home.list("", "");
    let output = home.run(&["models", "--json"], &[]);
    good(&output);
    let rows: Vec<Value> =
        output.stdout.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} is not there"));
    for name in ["qwenlong-l1.5", "qwen3-8b", "qwen3-0.6b"] {
        assert_eq!((&row(name)["here"], &row(name)["licence"]), (&Value::Null, &json!("Apache-2.0")), "{name}");
    }
    assert_eq!(row("qwen3-8b")["bytes"], json!(5_027_783_488u64));
    assert_eq!(
        (&row("tiny-a")["licence"], &row("tiny-a")["fits"], &row("tiny-a")["measured"]),
        (&json!("MIT"), &json!("yes"), &json!(false))
    );
    assert!(row("tiny-a")["here"].is_string() && row("b")["licence"].is_null());
    let sizes: Vec<u64> = rows.iter().filter(|row| row["name"] != "tiny-a").map(|row| row["parameters"].as_u64().unwrap()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    good(&home.run(&["bench", "--model", "tiny-a", "--runs", "1", "--prefill", "64", "--decode", "8"], &[]));
    let table = home.run(&["models"], &[]);
    good(&table);
    let table = String::from_utf8(table.stdout).unwrap();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_string();
    assert!(!line("tiny-a").contains('≈') && line("qwen3-8b").contains('≈'), "{table}");
    // Damage to what was measured is said, and everything goes on.
    fs::write(home.speeds(), "{").unwrap();
    assert!(good(&home.run(&["models"], &[])).contains("speeds.json"));
}

#[test]
fn a_broken_list_is_refused_by_name() {
    let home = Home::new();
    for (from, to, words) in [
        ("licence", "license", &["models.toml", "license"][..]),
        ("window = 8192", "window = 9000", &["tiny-a", "window", "9000"]),
        ("a/config.json", "none/config.json", &["tiny-a", "none"]),
        ("quant = \"f32\"", "quant = \"bf16\"", &["tiny-a", "bytes"]),
        ("tiny-a", "qwen3-8b", &["qwen3-8b", "another alias"]),
        ("[[model]]", "[[model]", &["models.toml", "TOML"]),
    ] {
        home.list(from, to);
        refused(&home.read(&[], &[]), words);
        refused(&home.run(&["models"], &[]), words);
    }
}

#[test]
fn what_cannot_be_used_is_named_and_passed_over() {
    let home = Home::new();
    home.list("", "");
    fs::write(home.models().join("broken.gguf"), b"GGUFnonsense").unwrap();
    fs::remove_file(home.models().join("b/tokenizer.json")).unwrap();
    let message = good(&home.read(&[], &[]));
    assert!(message.contains("broken.gguf cannot be chosen") && message.contains("no chat template"), "{message}");
    let wide = home.run(&["read", "d.txt", "--ask", "Who?", "--window", "9000"], &[("HF_HUB_OFFLINE", "1")]);
    refused(&wide, &["8192 positions", "9000"]);
    // Plumbing wants a name.
    refused(&home.run(&["generate", "--prompt", "x"], &[]), &["--model"]);
}

/// `bytes` of an entry.
fn number(block: &str) -> f64 {
    let line = block.lines().find(|line| line.starts_with("bytes")).unwrap();
    line.split(['=', '#']).nth(1).unwrap().trim().replace('_', "").parse().unwrap()
}

/// Weights computed from shape and formats against what `inspect` plans role by role.
#[test]
fn computed_weights_are_what_inspect_plans() {
    let home = Home::new();
    let plan = |shape: &str, dtype: &str| -> Value {
        let output = home.run(&["inspect", shape, "--dtype", dtype, "--json"], &[]);
        good(&output);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/models.toml")).unwrap();
    let blocks = list.split("[[model]]").skip(1);
    let mut seen = 0;
    for block in blocks {
        let text = |key: &str| block.lines().find(|line| line.starts_with(key)).unwrap().split('"').nth(1).unwrap().to_string();
        let (shape, quant, bytes) = (text("shape"), text("quant"), number(block));
        let planned = if quant == "q4_k_m" {
            let (four, six) = (plan(&shape, "q4_k"), plan(&shape, "q6_k"));
            let tied = !four["tensors"].as_array().unwrap().iter().any(|t| t["role"] == "OutputHead");
            // Of the value and down projections half of the layers and a few have six bits; the head has them always.
            let of = |plan: &Value, role: &str| -> f64 {
                let roles = plan["tensors"].as_array().unwrap().iter().filter(|t| t["role"] == role);
                roles.map(|t| t["bytes"].as_f64().unwrap() * t["count"].as_f64().unwrap()).sum()
            };
            let mut total = four["weight_bytes"].as_f64().unwrap();
            for role in ["V", "Down", "ExpertDown"] {
                total += 0.5 * (of(&six, role) - of(&four, role));
            }
            let head = if tied { "Embedding" } else { "OutputHead" };
            total + of(&six, head) - of(&four, head)
        } else {
            plan(&shape, &quant)["weight_bytes"].as_f64().unwrap()
        };
        assert!((bytes / planned - 1.0).abs() <= 0.03, "{shape} in {quant}: {bytes} listed, {planned} planned");
        seen += 1;
    }
    assert_eq!(seen, 7);
    // A wrong format is seen.
    assert!(plan("qwen3-8b", "q4_k")["weight_bytes"].as_f64().unwrap() / 5_027_783_488.0 < 0.95);
}

#[test]
fn questions_that_share_the_engines_steps_read_as_each_would_alone() {
    let home = Home::new();
    let text: String = (0..60).map(|i| format!("Line {i} tells of mill {} on the river Ouse.\n", i % 7)).collect();
    fs::write(home.folder.path().join("d.txt"), text).unwrap();
    let log = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(home.folder.path().join(name)).unwrap();
        let strip = |line: &str| {
            let mut event: Value = serde_json::from_str(line).unwrap();
            event.as_object_mut().unwrap().remove("seconds");
            event
        };
        text.lines().map(strip).collect()
    };
    let sizes = ["--model", "a", "--exact", "--window", "4096", "--chunk", "600", "--memory", "150", "--mode", "memory", "--fresh"];
    let asks = ["Who?", "Which river runs by the mill?", "What is told?"];
    let together: Vec<&str> = asks.iter().flat_map(|ask| ["--ask", ask]).collect();
    good(&home.run(&[&["read", "d.txt", "--run", "all"], &together[..], &sizes[..]].concat(), &[]));
    for (number, ask) in asks.iter().enumerate() {
        good(&home.run(&[&["read", "d.txt", "--run", "one", "--ask", ask], &sizes[..]].concat(), &[]));
        let name = if number == 0 { "all/events.jsonl".into() } else { format!("all/events-{}.jsonl", number + 1) };
        let (shared, alone) = (log(&name), log("one/events.jsonl"));
        assert!(shared.len() > 4);
        assert_eq!(shared, alone, "{ask}");
    }
}
