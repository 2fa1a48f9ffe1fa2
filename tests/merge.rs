//! `longhand merge`: what it writes runs and says how it was made, adapters and runs are models too, and bad input is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use sha2::{Digest, Sha256};

mod tiny;

fn longhand(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).args(args).env("LONGHAND_CACHE", "/nonexistent").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(args: &[&str]) -> String {
    let output = longhand(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(args: &[&str], words: &[&str]) {
    let output = longhand(args);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    words.iter().for_each(|word| assert!(message.contains(word), "`{word}` is not in: {message}"));
}

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).display().to_string()
}

/// A tiny model with a tokenizer, and two fine-tunes of it: every value moved by up to 0.05.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = tiny::model(folder.path());
        for (name, seed) in [("one", 1), ("two", 2)] {
            let to = folder.path().join(name);
            copy(&base, &to);
            moved(&to.join("model.safetensors"), seed);
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// `merge --method … --base model --models one two --out out` and more.
    fn args<'a>(&self, method: &'a str, paths: &'a [String; 4], more: &[&'a str]) -> Vec<&'a str> {
        let [base, one, two, out] = paths.each_ref().map(String::as_str);
        [&["merge", "--method", method, "--base", base, "--models", one, two, "--out", out], more].concat()
    }

    fn paths(&self) -> [String; 4] {
        ["model", "one", "two", "out"].map(|name| self.path(name))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// Changes every f32 of a file.
fn moved(file: &Path, seed: u64) {
    let mut state = seed;
    edit(file, |_, values| {
        for value in values {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value += ((state >> 40) as f32 / f32::from(1u16 << 15) / 256.0 - 1.0) * 0.05;
        }
    });
}

/// Writes a file of f32 tensors anew.
fn edit(file: &Path, mut change: impl FnMut(&str, &mut [f32])) {
    let bytes = fs::read(file).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = values(&bytes);
    tensors.iter_mut().for_each(|(name, _, values)| change(name, values));
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), data)| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn values(file: &[u8]) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut tensors: Vec<_> = (SafeTensors::deserialize(file).unwrap().tensors().into_iter())
        .map(|(name, view)| {
            let floats = view.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
            (name, view.shape().to_vec(), floats)
        })
        .collect();
    tensors.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    tensors
}

fn weights(folder: &str) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    values(&fs::read(Path::new(folder).join("model.safetensors")).unwrap())
}

fn logits(place: &Place, model: &str) -> Vec<u8> {
    let (case, out) = (place.path("case.json"), place.path("logits.safetensors"));
    fs::write(&case, r#"{"ids": [5, 9, 13, 12, 7]}"#).unwrap();
    done(&["logits", "--model", model, "--ids", &case, "--out", &out]);
    fs::read(out).unwrap()
}

#[test]
fn a_merged_model_runs_and_says_how_it_was_made() {
    let place = Place::new();
    let paths = place.paths();
    let said = done(&place.args("sce", &paths, &["--select-topk", "0.5", "--json"]));
    let events: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = events.last().unwrap();
    assert_eq!(end["event"], "done");
    assert!(events.iter().any(|event| event["event"] == "progress" && event["what"] == "merging" && event["bytes"] == event["of"]));
    // It is neither of them, nor the base, and the tokenizer is the base's.
    let all = paths.each_ref().map(|path| logits(&place, path));
    (0..4).for_each(|at| assert!(all[..at].iter().all(|other| *other != all[at])));
    let file = |folder: &str, name: &str| fs::read(Path::new(folder).join(name)).unwrap();
    assert_eq!(file(&paths[3], "tokenizer.json"), file(&paths[0], "tokenizer.json"));
    // Every file that went in or came out is listed with its hash, and the card tells of those that went in.
    let card = text(&file(&paths[3], "README.md"));
    for (source, folder) in [&end["base"], &end["models"][0], &end["models"][1]].into_iter().zip(&paths) {
        let hash = format!("{:x}", Sha256::digest(file(folder, "model.safetensors")));
        assert_eq!(source["files"][0]["sha256"], hash.as_str());
        assert!(card.contains(&hash) && card.contains(folder.as_str()), "{card}");
    }
    for file in end["files"].as_array().unwrap() {
        assert_eq!(file["sha256"], format!("{:x}", Sha256::digest(fs::read(file["path"].as_str().unwrap()).unwrap())).as_str());
    }
    ["SCE (arXiv 2408.07990), select-topk 0.5", "base_model_relation: merge", "tags:\n- longhand\n- merge"]
        .iter()
        .for_each(|words| assert!(card.contains(words), "{words}: {card}"));
    // A second time is another place.
    refused(&place.args("sce", &paths, &[]), &["is there already: name another place"]);
}

#[test]
fn experts_are_merged_as_mergekit_merges_them() {
    let place = Place::new();
    let out = place.path("out");
    let [base, one, two, three] = ["base", "one", "two", "three"].map(|name| golden(&format!("merge/moe/{name}")));
    let models = ["--base", &base, "--models", &one, &two, &three, "--out", &out];
    let ties = ["--weights", "0.5", "1", "0.8", "--density", "0.4,0.7,1"];
    for (more, name) in
        [(&["--method", "sce", "--select-topk", "0.5"][..], "sce_half"), (&[&["--method", "ties"][..], &ties].concat(), "ties")]
    {
        done(&[&["merge"], &models[..], more].concat());
        let expected = values(&fs::read(golden(&format!("merge/moe/expected/{name}.safetensors"))).unwrap());
        let found = weights(&out);
        assert_eq!(found.len(), expected.len());
        for ((name, shape, found), (other, other_shape, expected)) in found.iter().zip(&expected) {
            assert_eq!((name, shape), (other, other_shape));
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1e-5), "{name}");
        }
        logits(&place, &out);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn two_shards_of_bf16_stay_bf16() {
    let place = Place::new();
    let (base, out) = (golden("qwen3_moe_bf16"), place.path("out"));
    // The mean of a model with itself is the model, to the bit.
    done(&["merge", "--method", "linear", "--base", &base, "--models", &base, &base, "--out", &out]);
    assert_eq!(logits(&place, &out), logits(&place, &base));
    let config: Value = serde_json::from_slice(&fs::read(Path::new(&out).join("config.json")).unwrap()).unwrap();
    assert!([&config["dtype"], &config["torch_dtype"]].iter().any(|dtype| **dtype == "bfloat16"), "{config}");
    let wide = place.path("wide");
    done(&["merge", "--method", "linear", "--base", &base, "--models", &base, &base, "--dtype", "f32", "--out", &wide]);
    assert!(fs::metadata(Path::new(&wide).join("model.safetensors")).unwrap().len() > 2 * 60_000);
    assert!(weights(&wide).iter().all(|(_, shape, values)| shape.iter().product::<usize>() == values.len()));
}

/// A training with adapters: its run, its adapter's folder.
fn trained(place: &Place) -> (String, String) {
    let row = |i: usize| format!("{{\"prompt\": \"item {i}\", \"answer\": \"number {} of the list\"}}\n", i * 7 % 5);
    fs::write(place.path("rows.jsonl"), (0..8).map(row).collect::<String>()).unwrap();
    let config = "[model]\npath = \"model\"\n[data]\nfile = \"rows.jsonl\"\nmax_length = 64\n[train]\nsteps = 2\nbatch = 4\nlr = 3e-2\n\
                  dtype = \"f32\"\nmicro_batch_tokens = 64\n[device]\nkind = \"cpu\"\n[lora]\nrank = 4\nalpha = 8\ntargets = [\"attention\", \"mlp\"]\n";
    fs::write(place.path("t.toml"), config).unwrap();
    let run = place.path("run");
    done(&["train", &place.path("t.toml"), "--run", &run]);
    let adapter = format!("{run}/adapter");
    (run, adapter)
}

#[test]
fn adapters_and_runs_are_merged_into_their_base_first() {
    let place = Place::new();
    let [base, one, _, out] = place.paths();
    let (run, adapter) = trained(&place);
    let exported = place.path("exported");
    done(&["export", &base, "--adapter", &adapter, "--to", "safetensors", "--type", "f32", "--out", &exported]);
    let expected = weights(&exported);
    assert_ne!(expected, weights(&base));
    // A single model's mean is that model.
    for model in [&run, &adapter, &format!("{base}+{adapter}")] {
        done(&["merge", "--method", "linear", "--base", &base, "--models", model, "--out", &out]);
        assert_eq!(weights(&out), expected, "{model}");
        let card = fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
        assert!(card.contains(&format!("Model 1: {model}, with a LoRA adapter of rank 4")), "{card}");
        fs::remove_dir_all(&out).unwrap();
    }
    // With another model beside it, it is that merge of the exported one.
    let sce = |adapted: &str, out: &str| {
        done(&["merge", "--method", "sce", "--base", &base, "--models", adapted, &one, "--select-topk", "0.5", "--out", out]);
        weights(out)
    };
    assert_eq!(sce(&adapter, &out), sce(&exported, &place.path("again")));
    // An adapter whose base is not there, an adapter that is not there, one of another model.
    let config = Path::new(&adapter).join("adapter_config.json");
    let moved = place.path("moved");
    copy(Path::new(&adapter), Path::new(&moved));
    let mut json: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["base_model_name_or_path"] = "./nowhere".into();
    fs::write(Path::new(&moved).join("adapter_config.json"), json.to_string()).unwrap();
    let with = |model: &str, words: &[&str]| {
        refused(&["merge", "--method", "linear", "--base", &base, "--models", model, "--out", &place.path("no")], words);
    };
    with(&moved, &["names its base ./nowhere", &format!("say BASE+{moved}")]);
    with(&format!("{base}+{}", place.path("absent")), &["cannot use the adapter at", "absent"]);
    with(&format!("{}+{adapter}", golden("qwen3_odd")), &["it was trained on another base"]);
}

#[test]
fn what_cannot_be_merged_is_said() {
    let place = Place::new();
    let paths = place.paths();
    let [base, one, two, out] = &paths;
    let merge = |method: &str, more: &[&str], words: &[&str]| refused(&place.args(method, &paths, more), words);
    // Options that do not go together.
    merge("sce", &["--weights", "1", "2"], &["--weights is for ties and linear"]);
    merge("sce", &["--select-topk", "0"], &["select-topk is 0"]);
    merge("ties", &["--select-topk", "0.5"], &["--select-topk is for --method sce"]);
    merge("linear", &["--density", "0.5"], &["--density is for --method ties"]);
    merge("linear", &["--weights", "1"], &["1 weights for 2 models"]);
    merge("linear", &["--weights", "1", "-1"], &["sum to 0"]);
    let with = |model: &str, words: &[&str]| {
        refused(&["merge", "--method", "sce", "--base", base, "--models", model, one, "--out", out], words);
    };
    // Other shapes, architectures, formats; nothing at all.
    let odd = golden("qwen3_odd");
    with(&odd, &["model.embed_tokens.weight is [131, 36] in", "qwen3_odd", "and [320, 64] in"]);
    with(&golden("llama"), &["is a llama model", "a qwen3 model"]);
    with(&golden("gguf_llama/model.gguf"), &["is a GGUF file", "longhand export", "--to safetensors"]);
    with(&place.path("absent"), &["absent", "is neither a folder"]);
    // Another token; another rule.
    let tokenizer = Path::new(two).join("tokenizer.json");
    let original = fs::read_to_string(&tokenizer).unwrap();
    let mut json: Value = serde_json::from_str(&original).unwrap();
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    let ids: Vec<(String, u64)> = vocab.iter().map(|(token, id)| (token.clone(), id.as_u64().unwrap())).collect();
    let of = |wanted: u64| ids.iter().find(|(_, id)| *id == wanted).unwrap().0.clone();
    vocab.insert(of(40), 41.into());
    vocab.insert(of(41), 40.into());
    fs::write(&tokenizer, json.to_string()).unwrap();
    with(two, &["token 40 is", &format!("{:?} in {two}", of(41)), &format!("{:?} in {base}", of(40))]);
    let mut json: Value = serde_json::from_str(&original).unwrap();
    json["model"]["merges"].as_array_mut().unwrap().truncate(49);
    fs::write(&tokenizer, json.to_string()).unwrap();
    with(two, &["merge rule 49 of the tokenizer is missing in"]);
    fs::write(&tokenizer, &original).unwrap();
    // A weight that is not a number, named with its file; nothing is left behind.
    edit(&Path::new(two).join("model.safetensors"), |name, values| {
        if name == "model.layers.1.mlp.up_proj.weight" {
            values[64 * 7 + 3] = f32::NAN;
        }
    });
    with(two, &["two/model.safetensors: model.layers.1.mlp.up_proj.weight: row 7 holds a NaN or infinity"]);
    assert!(!Path::new(out).exists());
    // Of an expert too, by its own name.
    let sparse = place.0.path().join("sparse");
    copy(Path::new(&golden("merge/moe/one")), &sparse);
    edit(&sparse.join("model.safetensors"), |name, values| {
        if name == "model.layers.0.mlp.experts.2.up_proj.weight" {
            values[16 * 5] = f32::INFINITY;
        }
    });
    let (dense, free) = (golden("merge/moe/base"), place.path("free"));
    let args = ["merge", "--method", "linear", "--base", &dense, "--models", sparse.to_str().unwrap(), "--out", &free];
    refused(&args, &["sparse/model.safetensors: model.layers.0.mlp.experts.2.up_proj.weight: row 5 holds a NaN or infinity"]);
    // A folder with something in it; a shard that is not there.
    fs::create_dir(out).unwrap();
    fs::write(Path::new(out).join("mine.txt"), "mine").unwrap();
    with(one, &["is there already"]);
    assert_eq!(fs::read_dir(out).unwrap().count(), 1);
    let sharded: PathBuf = place.0.path().join("sharded");
    copy(Path::new(&golden("qwen3_moe_bf16")), &sharded);
    fs::remove_file(sharded.join("model-00002-of-00002.safetensors")).unwrap();
    let base = golden("qwen3_moe_bf16");
    let model = sharded.to_str().unwrap();
    let args = ["merge", "--method", "linear", "--base", &base, "--models", model, "--out", &free];
    refused(&args, &["model-00002-of-00002.safetensors", "fetch or copy that file too"]);
    assert!(!Path::new(&free).exists());
}
