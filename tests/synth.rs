//! Documents in, verified questions out, by the real binary: the dataset, its check here and by another program, what a kill costs, and what
//! is said where there is nothing to be had.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "synth/agents.rs"]
mod agents;
#[path = "../crates/server/tests/common/mod.rs"]
mod common;
#[path = "synth/cost.rs"]
mod cost;
#[path = "synth/export.rs"]
mod export;
#[path = "synth/extract.rs"]
mod extract;
#[path = "synth/kills.rs"]
mod kills;
#[path = "synth/replay.rs"]
mod replay;
#[path = "synth/scripted.rs"]
mod scripted;

fn longhand(args: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.args(args).current_dir(folder);
    command
}

fn run(args: &[&str], folder: &Path) -> Output {
    longhand(args, folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const TOWNS: [&str; 40] = [
    "Aldra", "Bremo", "Cantu", "Dorel", "Eskan", "Fimor", "Galto", "Hendi", "Ivrea", "Jalku", "Kembo", "Lurga", "Mantis", "Norda", "Ostra",
    "Pelmo", "Quarn", "Rimsk", "Solvo", "Tarin", "Umbra", "Velda", "Wixom", "Xerta", "Yarra", "Zelmo", "Arkel", "Borun", "Celta", "Dimor",
    "Erlan", "Fostu", "Gorki", "Halma", "Istra", "Jorvi", "Kilda", "Lomza", "Morva", "Nikla",
];

/// A folder of towns that trade with each other, a file without text and one that is no JSON.
fn towns(folder: &Path) {
    let to = folder.join("towns");
    fs::create_dir_all(&to).unwrap();
    let mut state = 12_345_u64;
    let mut number = |least: u64, most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (state >> 33) % (most - least + 1)
    };
    for (at, town) in TOWNS.iter().enumerate() {
        let other = |step: usize| TOWNS[(at * 7 + step * 11 + 1) % TOWNS.len()];
        let page = json!({
            "name": town,
            "size": {
                "area": format!("{} sq km", number(1_000, 900_000)),
                "people": format!("{}.{} million (2014 est.)", number(1, 90), number(101, 999)),
                "income": format!("${}.{} billion (2014)", number(1, 800), number(11, 99)),
                "roads": format!("{} km", number(1_000, 90_000)),
                "schools": number(20, 9_000),
            },
            "rule": {
                "mayor": format!("{}a {}sen", ["An", "Be", "Li", "Mi"][at % 4], TOWNS[TOWNS.len() - 1 - at]),
                "founded": format!("{} May {}", at % 28 + 1, 1_300 + 13 * at),
                "freed": format!("{} June {}", at % 28 + 1, 1_500 + (at * 37) % 480),
            },
            "trade": {
                "partners": format!("{} 30%, {} 20%, Ys 9%, {} 5%", other(1), other(2), other(3)),
                "road": other(4),
            },
        });
        fs::write(to.join(format!("{}.json", town.to_lowercase())), format!("{page:#}")).unwrap();
    }
    fs::write(to.join("empty.json"), "").unwrap();
    fs::write(to.join("broken.json"), "{\"name\": \"Ys\", ").unwrap();
}

const CONFIG: &str = r#"
seed = 3
[checks]
searchable = 1.0
[[documents]]
paths = ["towns"]
title = "/name"
[[questions]]
engine = "graph"
hops = 1
count = 8
noun = "town"
lengths = [700, 3000]
[[questions]]
engine = "graph"
hops = 2
count = 10
noun = "town"
lengths = [700, 3000]
[[questions]]
engine = "graph"
hops = 3
count = 10
noun = "town"
lengths = [700, 3000]
[[questions]]
engine = "choice"
hops = 2
count = 6
noun = "town"
lengths = [700, 3000]
[[questions]]
engine = "table"
rows = [2, 5]
count = 10
lengths = [700, 3000]
[[questions]]
engine = "dialogue"
count = 4
talk = [300, 900]
lengths = [700, 3000]
"#;

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_dataset_is_made_checked_and_made_again_after_kills() {
    let folder = TempDir::new().unwrap();
    towns(folder.path());
    fs::write(folder.path().join("synth.toml"), CONFIG).unwrap();
    let at = |name: &str| folder.path().join(name);
    let output = run(&["synth", "run", "synth.toml", "--out", "set", "--json"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = lines(&at("set/rows.jsonl"));
    assert_eq!(report["rows"]["rows"], rows.len());
    let of = |task: &str| rows.iter().filter(|row| row["task"] == task).count();
    let counts = ["reading", "multi_hop", "multiple_choice", "numeric", "dialogue"].map(of);
    assert_eq!(counts, [8, 20, 6, 10, 4], "{}", said(&output));
    // What was not read is said, and kept.
    let documents = lines(&at("set/documents.jsonl"));
    let of = |name: &str| documents.iter().find(|line| line["id"].as_str().unwrap().ends_with(name)).unwrap();
    assert!(of("empty.json")["rejected"].is_string() && of("broken.json")["rejected"].is_string(), "{documents:?}");
    assert!(of("aldra.json")["facts"].as_u64().unwrap() >= 10);
    assert!(lines(&at("set/rejects.jsonl")).iter().all(|line| line["check"].is_string() && line["reason"].is_string()));
    // No row went through a check that needs a model, and each says so.
    for row in &rows {
        let check = row["derivation"]["checks"].as_array().unwrap().iter().find(|check| check["name"] == "closed_book").unwrap();
        assert_eq!(check["passed"], Value::Null);
    }
    let card = fs::read_to_string(at("set/README.md")).unwrap();
    assert!(card.contains("No model was asked") && card.contains("graph, 3 links: 10 of 10 rows"), "{card}");

    // The check of this program and one that shares no code with it.
    let output = run(&["synth", "check", "set", "--mutate", "--json"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&checked["rows"], &checked["bad"], &checked["not_run"]), (&json!(rows.len()), &json!(0), &json!({})));
    let deciding = &checked["mutations"]["deciding"];
    let (changed, noticed) = (deciding["changed"].as_f64().unwrap(), deciding["noticed"].as_f64().unwrap());
    assert!(changed >= 40.0 && noticed >= 0.9 * changed, "{checked}");
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synth/check.py");
    // None where there is no Python: said, not passed over.
    let python = |rows: &Path| {
        Command::new("python3").arg(&checker).arg(rows).output().map_err(|error| eprintln!("not checked by Python: {error}")).ok()
    };
    if let Some(output) = python(&at("set/rows.jsonl")) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    // One digit of one document in one row: both see it.
    let text = fs::read_to_string(at("set/rows.jsonl")).unwrap();
    fs::write(at("changed.jsonl"), text.replacen("est.)", "esp.)", 1)).unwrap();
    let output = run(&["synth", "check", "changed.jsonl"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not have its hash"));
    assert!(python(&at("changed.jsonl")).is_none_or(|output| !output.status.success()));

    // Killed at some moment and started again: the same bytes.
    for pause in [5, 40, 120, 300] {
        let mut child = longhand(&["synth", "run", "synth.toml", "--out", "again"], folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = run(&["synth", "run", "synth.toml", "--out", "again"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(at("again/rows.jsonl")).unwrap(), text);
    let again: Value = serde_json::from_slice(&fs::read(at("again/report.json")).unwrap()).unwrap();
    assert_eq!(again["sha256"], report["sha256"]);
    let output = run(&["synth", "run", "synth.toml", "--out", "again"], folder.path());
    assert!(said(&output).contains("is done"), "{}", said(&output));
    // Killed between any two of its files, while the next was written: in the order in which they got their names.
    let mut files = ["synth.toml", "documents.jsonl", "rejects.jsonl", "rows.jsonl", "README.md", "report.json"];
    #[cfg(unix)]
    files.sort_by_key(|name| {
        use std::os::unix::fs::MetadataExt;
        let about = fs::metadata(at("again").join(name)).unwrap();
        (about.ctime(), about.ctime_nsec())
    });
    for whole in 0..files.len() {
        files[whole..].iter().for_each(|name: &&str| fs::remove_file(at("again").join(name)).unwrap());
        fs::write(at("again").join(format!("{}.part", files[whole])), "half of").unwrap();
        let output = run(&["synth", "run", "synth.toml", "--out", "again"], folder.path());
        assert!(output.status.success(), "{}: {}", files[whole], said(&output));
        assert_eq!(fs::read_to_string(at("again/rows.jsonl")).unwrap(), text);
    }

    // Training takes the rows as they are.
    let output = run(&["data", "join", "set/rows.jsonl", "--out", "joined.jsonl"], folder.path());
    assert!(output.status.success());
    // Another seed, other rows; and not into the same folder.
    fs::write(at("other.toml"), CONFIG.replace("seed = 3", "seed = 4")).unwrap();
    let output = run(&["synth", "run", "other.toml", "--out", "set"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("another configuration"), "{}", said(&output));
}

/// A model that knows another world answers nothing rightly: every question is dropped, and every call is kept.
#[test]
fn a_model_is_asked_once_and_then_replayed() {
    let folder = TempDir::new().unwrap();
    towns(folder.path());
    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny").join(name), model.join(name)).unwrap();
    }
    // Rotary positions go on: nonsense is answered to longer prompts as well.
    let path = model.join("config.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    settings["max_position_embeddings"] = json!(32_768);
    fs::write(&path, settings.to_string()).unwrap();
    let config = |name: &str| {
        let parts = CONFIG.split("[[questions]]").collect::<Vec<_>>();
        let model = format!("[model]\nname = \"{name}\"\nwindow = 32000\n[trial]\ntries = 2\nreply = 4\n");
        format!(
            "{}{model}[[questions]]{}",
            parts[0].replace("[[documents]]", "[[documents]]\npart = 150"),
            parts[1].replace("count = 8", "count = 1")
        )
        .replace("lengths = [700, 3000]", "lengths = [1000, 1500]")
    };
    fs::write(folder.path().join("synth.toml"), config(&model.display().to_string())).unwrap();
    let dry = run(&["synth", "run", "synth.toml", "--out", "set", "--dry-run"], folder.path());
    let text = String::from_utf8_lossy(&dry.stdout);
    assert!(["at most", "with_evidence", "no earlier run"].iter().all(|what| text.contains(what)), "{text}{}", said(&dry));
    let calls = |set: &str| {
        let mut files: Vec<_> = walk(&folder.path().join(set).join("calls"));
        files.retain(|path| !path.ends_with("model.json"));
        files
    };
    let output = run(&["synth", "run", "synth.toml", "--out", "set"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("not one row"), "{}", said(&output));
    assert!(said(&output).contains("with_evidence"), "{}", said(&output));
    let kept = calls("set");
    // Four tries without documents and two with them, of each candidate.
    assert!(!kept.is_empty() && kept.len() % 6 == 0, "{}", kept.len());
    let rejects = fs::read_to_string(folder.path().join("set/rejects.jsonl")).unwrap();
    assert!(rejects.contains("0 of 2 right with its own documents"), "{rejects}");

    // The calls are taken from the folder, whether the model is there or not.
    let again = folder.path().join("again");
    fs::create_dir(&again).unwrap();
    fs::rename(folder.path().join("set/calls"), again.join("calls")).unwrap();
    fs::remove_dir_all(&model).unwrap();
    let output = run(&["synth", "run", "synth.toml", "--out", "again", "--replay"], folder.path());
    assert!(said(&output).contains("not one row"), "{}", said(&output));
    assert_eq!(fs::read_to_string(again.join("rejects.jsonl")).unwrap(), rejects);
    assert_eq!(calls("again").len(), kept.len());
    // What is not there cannot be had.
    fs::remove_dir_all(folder.path().join("again")).unwrap();
    let output = run(&["synth", "run", "synth.toml", "--out", "again", "--replay"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("no call is kept"), "{}", said(&output));
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn what_cannot_be_made_is_said_with_its_reason() {
    let folder = TempDir::new().unwrap();
    towns(folder.path());
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let refused = |args: &[&str], why: &str| {
        let output = run(args, folder.path());
        assert!(output.status.code() == Some(2) && said(&output).contains(why), "{}", said(&output));
    };
    refused(&["synth", "run", "none.toml"], "cannot read none.toml");
    write("bad.toml", &CONFIG.replace("hops = 3", "hops = 30"));
    refused(&["synth", "run", "bad.toml"], "hops is 1 to 9");
    write("nowhere.toml", &CONFIG.replace("\"towns\"", "\"nowhere\""));
    refused(&["synth", "run", "nowhere.toml"], "cannot read");
    refused(&["synth", "check", "towns/aldra.json"], "line 1");
    // Contexts of which there are not documents enough, and chains that are not there.
    let only = |questions: &str| format!("[[documents]]\npaths = [\"towns\"]\ntitle = \"/name\"\n[[questions]]\n{questions}");
    write("long.toml", &only("engine = \"graph\"\ncount = 5\nlengths = [900000, 1000000]"));
    let output = run(&["synth", "run", "long.toml", "--out", "long"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("whole documents fill"), "{}", said(&output));
    assert!(said(&output).contains("The largest plan for these documents is count = 0"), "{}", said(&output));
    write(
        "alone.toml",
        &only("engine = \"graph\"\nhops = 2\ncount = 5").replace("[\"towns\"]", "[\"towns/aldra.json\", \"towns/bremo.json\"]"),
    );
    let output = run(&["synth", "run", "alone.toml", "--out", "alone"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("2 links need 3 entities"), "{}", said(&output));
    // What it would do, without doing it.
    write("synth.toml", CONFIG);
    let output = run(&["synth", "run", "synth.toml", "--out", "dry", "--dry-run"], folder.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("walks of 3 links") && text.contains("0 calls"), "{text}{}", said(&output));
    assert!(!folder.path().join("dry/rows.jsonl").exists());
    // `init synth` writes one that is read.
    assert!(run(&["init", "synth", "--out", "fresh.toml"], folder.path()).status.success());
    refused(&["synth", "run", "fresh.toml", "--out", "fresh"], "cannot read documents");
}
