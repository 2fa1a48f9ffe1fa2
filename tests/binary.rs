//! The real binary in a temporary folder: plumbing against Transformers, and what bad input gets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::Value;

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

fn longhand(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).args(args).output().unwrap()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Bad input: exit code 2, nothing on standard output, and a message that holds every one of `words`.
fn refused(args: &[&str], words: &[&str]) {
    let output = longhand(args);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?} wrote to standard output");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{args:?}: `{word}` is not in: {message}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let piped = std::process::Stdio::piped;
    let mut child = Command::new(env!("CARGO_BIN_EXE_longhand"))
        .args(["inspect", &text(&golden("qwen3"))])
        .stdout(piped())
        .stderr(piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("panicked"), "{said}");
}

#[test]
fn logits_writes_the_documented_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (golden("qwen3"), folder.path().join("out.safetensors"));
    let output = longhand(&["logits", "--model", &text(&model), "--ids", &text(&model.join("case.json")), "--out", &text(&out)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
    let (got, want) = (std::fs::read(out).unwrap(), std::fs::read(model.join("expected.safetensors")).unwrap());
    let (got, want) = (SafeTensors::deserialize(&got).unwrap(), SafeTensors::deserialize(&want).unwrap());
    for name in ["logits", "logprobs", "entropy"] {
        let (got, want) = (got.tensor(name).unwrap(), want.tensor(name).unwrap());
        assert_eq!(got.shape(), want.shape(), "{name}");
        let floats = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect::<Vec<_>>();
        let (got, want) = (floats(got.data()), floats(want.data()));
        let error: f64 = got.iter().zip(&want).map(|(g, w)| (g - w) * (g - w)).sum();
        let size: f64 = want.iter().map(|w| w * w).sum();
        assert!((error / size).sqrt() <= 1e-4, "{name}");
    }
}

#[test]
fn generate_prints_one_line_of_ids_with_and_without_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("qwen3_moe");
    let greedy: Value = serde_json::from_slice(&std::fs::read(model.join("greedy.json")).unwrap()).unwrap();
    let case = folder.path().join("case.json");
    std::fs::write(&case, serde_json::json!({"ids": greedy["prompt"]}).to_string()).unwrap();
    let (model, case) = (text(&model), text(&case));
    let common = ["generate", "--model", &model, "--ids", &case, "--greedy", "--max-new-tokens", "32", "--ignore-eos", "--json"];
    for extra in [&[][..], &["--no-cache"], &["--step-rows", "3"], &["--threads", "1"]] {
        let output = longhand(&[&common[..], extra].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let line: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line, serde_json::json!({"ids": greedy["ids"], "stop": "length"}), "{extra:?}");
    }
}

#[test]
fn inspect_plans_the_30b_shape() {
    let output = longhand(&["inspect", "qwen3-30b-a3b", "--dtype", "bf16", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expert = plan["tensors"].as_array().unwrap().iter().find(|t| t["role"] == "ExpertGate").unwrap();
    // 128 experts of 768 × 2048 in bf16 are 402,653,184 bytes: 3 MiB an expert, 42 experts a binding.
    assert_eq!(expert["bytes"], 402_653_184u64);
    assert_eq!(expert["bindings"], 4);
    assert!((plan["parameters"].as_f64().unwrap() / 30.5e9 - 1.0).abs() < 0.01);
    // 96 KiB a position in f16 over 48 layers.
    assert_eq!(plan["contexts"][0]["kv_f16"], 4096 * 96 * 1024);
}

#[test]
fn bad_models_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let case = text(&golden("qwen3").join("case.json"));
    let out = text(&folder.path().join("out"));
    let logits = |model: &Path, words: &[&str]| refused(&["logits", "--model", &text(model), "--ids", &case, "--out", &out], words);

    logits(&folder.path().join("nothing-here"), &["nothing-here"]);

    let copy = |name: &str| {
        let to = folder.path().join(name);
        std::fs::create_dir(&to).unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden("qwen3").join(file), to.join(file)).unwrap();
        }
        to
    };
    let cut = copy("cut");
    let bytes = std::fs::read(cut.join("model.safetensors")).unwrap();
    std::fs::write(cut.join("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
    logits(&cut, &["model.safetensors"]);

    let edit = |name: &str, from: &str, to: &str| {
        let folder = copy(name);
        let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
        let edited = config.replace(from, to);
        assert_ne!(edited, config, "{from} is not in config.json");
        std::fs::write(folder.join("config.json"), edited).unwrap();
        folder
    };
    logits(&edit("unknown", "\"model_type\": \"qwen3\"", "\"model_type\": \"mamba\""), &["mamba"]);
    logits(&edit("rope", "\"rope_type\": \"default\"", "\"rope_type\": \"spiral\""), &["spiral"]);
    logits(&edit("shape", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"), &["layers.2"]);

    // The last tensor's last value becomes NaN.
    let nan = copy("nan");
    let mut bytes = std::fs::read(nan.join("model.safetensors")).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(nan.join("model.safetensors"), bytes).unwrap();
    logits(&nan, &["NaN"]);

    let gguf = folder.path().join("cut.gguf");
    let bytes = std::fs::read(golden("gguf_llama").join("model.gguf")).unwrap();
    std::fs::write(&gguf, &bytes[..bytes.len() - 1000]).unwrap();
    logits(&gguf, &["cut.gguf"]);
}

#[test]
fn bad_cases_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = text(&golden("qwen3"));
    let case = folder.path().join("case.json");
    let with = |content: &str, words: &[&str]| {
        std::fs::write(&case, content).unwrap();
        refused(&["generate", "--model", &model, "--ids", &text(&case), "--greedy", "--json"], words);
    };
    with("{\"ids\": [1, 99999]}", &["99999", "vocabulary"]);
    with("{\"ids\": []}", &["empty"]);
    with("{\"ids\": [1], \"loss_mask\": [1, 1]}", &["loss_mask"]);
    with("[1, 2]", &["case"]);
    with("{\"ids\": [-1]}", &["case"]);
    refused(&["generate", "--model", &model, "--ids", &text(&folder.path().join("absent.json")), "--greedy"], &["absent.json"]);
    refused(&["generate", "--model", &model, "--ids", &text(&golden("qwen3").join("case.json")), "--temperature", "-1"], &[]);
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_and_never_the_cpu() {
    let (model, case) = (text(&golden("qwen3")), text(&golden("qwen3").join("case.json")));
    let args = ["generate", "--model", &model, "--ids", &case, "--greedy", "--device", "gpu", "--adapter", "no adapter has this name"];
    refused(&args, &["adapter"]);
}

/// What `--cube` cannot be had with is said; never another way taken in its place.
#[test]
fn cubecl_that_is_not_there_is_an_error() {
    let bench = ["bench", "--ops", "--size", "256", "--rows", "2", "--cube"];
    refused(&bench, &["--device gpu"]);
    refused(&[&bench[..], &["--device", "gpu", "--exact"]].concat(), &["--exact"]);
    if cfg!(not(feature = "cube")) {
        refused(&[&bench[..], &["--device", "gpu"]].concat(), &["--cube", "--features cube"]);
    }
}

#[test]
fn a_servers_model_is_not_told_which_device_to_use() {
    let args = ["read", "tests/documents/demo.txt", "--ask", "Who?", "--model", "openai:http://127.0.0.1:9/v1#m", "--window", "2048"];
    refused(&[&args[..], &["--device", "gpu"]].concat(), &["the server decides"]);
}

#[test]
fn help_has_an_example_for_every_verb() {
    let help = longhand(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let verbs = ["read", "export", "demo", "chat", "models", "inspect", "doctor", "bench", "generate", "logits"];
    for verb in verbs {
        assert!(help.contains(verb), "{verb}");
        let own = longhand(&[verb, "--help"]);
        assert!(String::from_utf8_lossy(&own.stdout).contains(&format!("longhand {verb}")), "{verb} --help has no example");
    }
}
