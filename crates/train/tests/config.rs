//! The configuration: defaults, refusals, the hash, and the files of configs/train.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use train::Config;
use train::config::{Length, Schedule, StepSize, Warmup};

const NEEDED: &str = "[model]\npath = \"Qwen3-0.6B\"\n[data]\nfile = \"train.jsonl\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("runs/train.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_template_says_the_defaults() {
    let written = parse(Config::TEMPLATE).unwrap();
    assert_eq!(written, parse(NEEDED).unwrap());
    assert_eq!(written.train.length, Length::Epochs(1));
    assert_eq!(written.train.warmup, Warmup::Share(0.03));
    // What is commented out is right as well, and says the defaults of its sections.
    let section = |text: &str| {
        text.replace("# [lora]", "[lora]").replace("# rank", "rank").replace("# alpha", "alpha").replace("# targets", "targets")
    };
    let lora = parse(&section(Config::TEMPLATE)).unwrap();
    assert_eq!(lora.lora, parse(&format!("{NEEDED}[lora]\n")).unwrap().lora);
    assert!(lora.lora.is_some());
    let validated = parse(&Config::TEMPLATE.replace("# file = ", "file = ")).unwrap();
    assert_eq!(validated.validation.file.as_deref(), Some("validation.jsonl"));
}

#[test]
fn a_default_that_changes_is_noticed() {
    let other = Config::TEMPLATE.replace("betas = [0.9, 0.999]", "betas = [0.9, 0.95]");
    assert_ne!(parse(&other).unwrap(), parse(NEEDED).unwrap());
}

#[test]
fn refusals_name_file_line_and_key() {
    // Lines are counted from NEEDED's five on.
    for (text, words) in [
        ("[train]\nstep = 3", "runs/train.toml:6: `train.step` is not a key; did you mean `train.steps`?"),
        ("[train]\nlr = 1e-4\nwarmpu = 3", "runs/train.toml:7: `train.warmpu` is not a key; did you mean `train.warmup`?"),
        ("[train]\nrank = 3", "`train.rank` is not a key; it belongs in [lora]"),
        ("[train]\ncolour = 3", "`train.colour` is not a key; [train] knows steps, epochs, batch,"),
        ("[validaton]\nevery = 3", "`[validaton]` is not a key; did you mean [validation]?"),
        ("[wardrobe]", "the sections are model, data, train"),
        ("[train]\nlr = \"1e-4\"", "runs/train.toml:6: `train.lr` is the text \"1e-4\"; a number above 0, at most 1 is wanted"),
        ("[train]\nlr = 0", "`train.lr` is 0;"),
        ("[train]\nlr = nan", "`train.lr` is nan;"),
        ("[train]\nsteps = 0", "`train.steps` is 0; a whole number from 1 to"),
        ("[train]\nsteps = 10.0", "`train.steps` is 10.0; a whole number"),
        ("[train]\nsteps = -1", "`train.steps` is -1; a whole number"),
        ("[train]\nsteps = 99999999999999999999", "`train.steps` is 99999999999999999999;"),
        ("[train]\nsteps = 1\nepochs = 1", "`train.epochs` and `train.steps` both say when training ends"),
        ("[train]\nbatch = 1\nbatch_tokens = 1", "`train.batch_tokens` and `train.batch` both"),
        ("[train]\nsteps = 5\nwarmup = 6", "`train.warmup` is 6, more than the 5 of `train.steps`"),
        ("[train]\nwarmup = 1.0", "`train.warmup` is 1.0; a whole number of steps, or a share"),
        ("[train]\nmicro_batch_tokens = 4095", "`train.micro_batch_tokens` is 4095, and an example of `data.max_length` 4096 must fit"),
        ("[train]\nmicro_batch_tokens = \"all\"", "is the text \"all\"; \"auto\" or a whole number"),
        ("[train]\nbetas = [0.9]", "`train.betas` is a list of 1; two numbers from 0 to below 1 is wanted"),
        ("[train]\nbetas = [0.9, 1.0]", "`train.betas` is 1.0;"),
        ("[train]\nmax_grad_norm = 0.0", "a number above 0 (inf: no clipping) is wanted"),
        ("[train]\ndtype = \"int8\"", "`train.dtype` is the text \"int8\"; one of \"bf16\", \"f16\", \"f32\" is wanted"),
        ("[train]\nseed = true", "`train.seed` is true;"),
        ("[lora]\nrank = 0", "`lora.rank` is 0;"),
        ("[lora]\nalpha = inf", "`lora.alpha` is inf;"),
        ("[lora]\ntargets = []", "`lora.targets` is a list of 0; at least one of"),
        ("[lora]\ntargets = [\"attention\", \"mpl\"]", "`lora.targets` is the text \"mpl\"; one of"),
        ("[device]\nkind = \"tpu\"", "one of \"auto\", \"cpu\", \"gpu\" is wanted"),
        ("[device]\nthreads = 0", "`device.threads` is 0;"),
        ("[validation]\nfile = \"\"", "`validation.file` is the text \"\"; a text in quotes is wanted"),
        ("[train]\nlr = 1e-4\nlr = 1e-5", "runs/train.toml:7: "),
        ("[train\n", "runs/train.toml:5: "),
    ] {
        let message = parse(&format!("{NEEDED}{text}")).unwrap_err();
        assert!(message.contains(words), "{text:?}: `{words}` is not in: {message}");
    }
    for (text, words) in [
        ("", "runs/train.toml: `model.path` is missing: the folder"),
        ("[model]\npath = \"m\"", "`data.file` is missing: the rows"),
        ("[model]\npth = \"m\"", "did you mean `model.path`?"),
        ("lr = 1e-4", "runs/train.toml:1: `lr` is not a key; it belongs in [train]"),
        ("train = 3", "`train` is a section, [train] with steps, epochs"),
        ("[[train]]\nlr = 1", "`train` is a section"),
        ("[model.path]\nx = 1", "`model.path` is a table; a text in quotes is wanted"),
    ] {
        let message = parse(text).unwrap_err();
        assert!(message.contains(words), "{text:?}: `{words}` is not in: {message}");
    }
    let message = Config::load(Path::new("nowhere/train.toml")).unwrap_err().to_string();
    assert!(message.contains("nowhere/train.toml") && message.contains("longhand init train"), "{message}");
}

#[test]
fn what_is_given_is_taken() {
    let text = format!(
        "{NEEDED}max_length = 8_192\nformat = \"parquet\"\nduplicates = \"keep\"\n[train]\nsteps = 0x10\nbatch_tokens = 65536\n\
         micro_batch_tokens = 16384\nlr = 1\nschedule = \"constant\"\nwarmup = 16\nmax_grad_norm = inf\nseed = 9223372036854775807\n\
         [lora]\nrank = 4\ntargets = [\"experts\"]\n[device]\nkind = \"cpu\"\nthreads = 3\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!((config.data.max_length, config.train.length), (8192, Length::Steps(16)));
    assert_eq!((config.train.batch, config.train.micro_batch_tokens), (StepSize::Tokens(65536), Some(16384)));
    assert_eq!((config.train.lr, config.train.schedule, config.train.warmup), (1.0, Schedule::Constant, Warmup::Steps(16)));
    assert_eq!((config.train.max_grad_norm, config.train.seed), (f64::INFINITY, i64::MAX as u64));
    let lora = config.lora.as_ref().unwrap();
    assert_eq!((lora.rank, lora.alpha, lora.targets.attention, lora.targets.experts), (4, 8.0, false, true));
    assert_eq!(config.device.threads, Some(3));
    assert_eq!(config.path(&config.data.file), PathBuf::from("runs/train.jsonl"));
    assert_eq!(config.path("/data/x"), PathBuf::from("/data/x"));
    assert_eq!(parse(&format!("{NEEDED}[lora]")).unwrap().train.lr, 1e-4);
    // No such folder: a name. Written as a path: a path, there or not.
    assert_eq!(config.model_name(), "Qwen3-0.6B");
    let path = parse(&NEEDED.replace("Qwen3", "./Qwen3")).unwrap();
    assert_eq!(PathBuf::from(path.model_name()), PathBuf::from("runs/./Qwen3-0.6B"));
    assert_eq!((Warmup::Share(0.03).steps(100), Warmup::Share(0.0).steps(9), Warmup::Steps(7).steps(5)), (3, 0, 5));
}

#[test]
fn the_hash_is_of_what_affects_the_result() {
    let base = "[train]\nsteps = 100\nwarmup = 10\n[lora]\n";
    let hash = |text: &str| parse(&format!("{NEEDED}{text}")).unwrap().hash();
    assert_eq!(hash(base).len(), 64);
    for (key, value) in [
        ("train.epochs", "2"),
        ("train.batch", "8"),
        ("train.batch_tokens", "99"),
        ("train.micro_batch_tokens", "8192"),
        ("train.lr", "2e-5"),
        ("train.schedule", "\"linear\""),
        ("train.warmup", "9"),
        ("train.warmup", "0.5"),
        ("train.weight_decay", "0.1"),
        ("train.betas", "[0.9, 0.95]"),
        ("train.eps", "1e-7"),
        ("train.max_grad_norm", "2"),
        ("train.seed", "1"),
        ("train.dtype", "\"f32\""),
        ("lora.rank", "8"),
        ("lora.alpha", "3"),
        ("lora.targets", "[\"mlp\"]"),
        ("data.max_length", "4000"),
        ("data.duplicates", "\"keep\""),
        ("device.kind", "\"cpu\""),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        let mut table: toml::Table = toml::from_str(&format!("{NEEDED}{base}")).unwrap();
        let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new())).as_table_mut().unwrap();
        if name == "epochs" {
            entry.remove("steps");
        }
        let parsed: toml::Table = toml::from_str(&format!("x = {value}")).unwrap();
        entry.insert(name.into(), parsed["x"].clone());
        let (ours, changed) = (parse(&format!("{NEEDED}{base}")).unwrap(), parse(&written(&table)).unwrap());
        assert_ne!(ours.hash(), changed.hash(), "{key}");
        let differences = ours.differences(&changed);
        assert!(differences.iter().any(|line| line.starts_with(key)), "{key}: {differences:?}");
        assert!(differences.len() <= 2, "{key}: {differences:?}");
    }
    for same in ["[validation]\nevery = 7\nfile = \"v\"", "[checkpoint]\nevery = 3\nkeep = 1", "[device]\nthreads = 2"] {
        assert_eq!(hash(&format!("{base}{same}")), hash(base), "{same}");
    }
    // A constant rate does not know how long it will last.
    let constant = "[train]\nschedule = \"constant\"\nwarmup = 3\n";
    assert_eq!(hash(&format!("{constant}steps = 10")), hash(&format!("{constant}steps = 20")));
    assert_ne!(hash("[train]\nwarmup = 3\nsteps = 10"), hash("[train]\nwarmup = 3\nsteps = 20"));
    assert_ne!(parse(NEEDED).unwrap().hash(), parse(&NEEDED.replace("train.jsonl", "other.jsonl")).unwrap().hash());
}

/// TOML of a table of sections; the crate's own writer is not among our dependencies.
fn written(table: &toml::Table) -> String {
    let mut text = String::new();
    for (section, keys) in table {
        text.push_str(&format!("[{section}]\n"));
        for (key, value) in keys.as_table().unwrap() {
            let value = match value {
                toml::Value::String(text) => format!("{text:?}"),
                toml::Value::Float(number) => format!("{number:?}"),
                toml::Value::Array(items) => {
                    let items: Vec<String> =
                        items.iter().map(|item| item.as_str().map_or(format!("{:?}", item.as_float()), |s| format!("{s:?}"))).collect();
                    format!("[{}]", items.join(", ").replace("Some(", "").replace(')', ""))
                }
                other => other.as_integer().unwrap().to_string(),
            };
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

#[test]
fn every_config_of_the_repository_parses() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/train");
    let mut names: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let wanted = ["qwen3-0.6b-8gb.toml", "qwen3-1.7b-16gb.toml", "qwen3-30b-a3b-80gb.toml", "qwen3-4b-24gb.toml", "tiny.toml"];
    assert_eq!(names, wanted);
    for name in names {
        let path = folder.join(&name);
        let text = std::fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(head.iter().any(|line| line.contains("planned, not run")), "{name}: {head:?}");
        let config = Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.base, folder, "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_the_template_makes_it_panic(at in 0usize..Config::TEMPLATE.len(), removed in 0usize..40, added in "[\\[\\]\"=0-9a-z.\n#é-]{0,6}") {
        let mut bytes = Config::TEMPLATE.as_bytes().to_vec();
        bytes.splice(at..(at + removed).min(bytes.len()), added.bytes());
        if let Err(message) = parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(message.starts_with("runs/train.toml"), "{}", message);
        }
    }
}
