//! `longhand init` and `longhand data`, as the real binary.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

mod tiny;

use tiny::model;

const GOOD: &str =
    r#"{"messages": [{"role": "user", "content": "What does page 3 say?"}, {"role": "assistant", "content": "Rivers."}], "id": 1}"#;

fn longhand(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).current_dir(folder).args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(output: &Output, words: &[&str]) {
    let message = said(output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

#[test]
fn init_writes_a_configuration_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = longhand(folder.path(), &["init", "train"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(folder.path().join("train.toml")).unwrap(), train::Config::TEMPLATE);
    train::Config::load(&folder.path().join("train.toml")).unwrap();
    fs::write(folder.path().join("train.toml"), "mine").unwrap();
    refused(&longhand(folder.path(), &["init", "train"]), &["train.toml is there already"]);
    assert_eq!(fs::read_to_string(folder.path().join("train.toml")).unwrap(), "mine");
    assert!(longhand(folder.path(), &["init", "train", "--out", "other.toml"]).status.success());
    refused(&longhand(folder.path(), &["init", "train", "--out", "nowhere/other.toml"]), &["cannot write nowhere/other.toml"]);
}

#[test]
fn data_check_counts_and_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (at, model) = (folder.path(), model(folder.path()).display().to_string());
    let write = |name: &str, text: &str| fs::write(at.join(name), text).unwrap();
    let pair = json!({"prompt": "river ".repeat(80), "answer": "The Nile, the table says."});
    let empty = json!({"prompt": "x", "answer": " "});
    write("good.jsonl", &format!("{GOOD}\n{pair}\n{GOOD}\n{empty}\n"));
    let check = |args: &[&str]| longhand(at, &[&["data", "check"], args, &["--model", &model]].concat());

    let output = check(&["good.jsonl"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for words in [
        "good.jsonl: 4 rows, 0 bad",
        "examples     2\n",
        "█",
        "1  duplicate: rows 3",
        "1  empty answer: rows 4",
        "column \"id\" means nothing here (first in row 1)",
    ] {
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
    let output = check(&["good.jsonl", "--json", "--max-length", "100"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!((&object["rows"], &object["examples"], &object["errors"]), (&json!(4), &json!(1), &json!([])));
    assert_eq!(object["dropped"]["too_long"]["rows"], json!([2]));
    let (tokens, loss) = (object["tokens"].as_u64().unwrap(), object["loss_tokens"].as_u64().unwrap());
    assert!(0 < loss && loss < tokens && tokens <= 100, "{object}");

    write("bad.jsonl", &format!("{GOOD}\n{{\"messages\": 3}}\nnot\n"));
    refused(
        &check(&["bad.jsonl"]),
        &["bad.jsonl:2: `messages` is a number", "bad.jsonl:3: is not JSON", "2 bad rows: a training would refuse the file"],
    );
    let output = check(&["bad.jsonl", "--json"]);
    refused(&output, &["2 bad rows"]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["bad"], &object["errors"][0]["row"], &object["errors"][0]["field"]), (&json!(2), &json!(2), &json!("messages")));
    refused(&check(&["nowhere.jsonl"]), &["nowhere.jsonl: "]);
    write("empty.jsonl", "");
    refused(&check(&["empty.jsonl"]), &["nothing is left to train on"]);
    write("cut.parquet", "PAR1 and no more");
    refused(&check(&["cut.parquet"]), &["cut.parquet: cannot be read as Parquet"]);
    refused(&longhand(at, &["data", "check", "good.jsonl", "--model", "no-such-folder/model"]), &["no-such-folder/model"]);
}
