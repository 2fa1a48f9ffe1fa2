//! `longhand advantage`, as the real binary: JSONL in, JSONL out.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Thresholds that the batches of these tests cross.
const RECIPE: &str = "[aepo]\nlow = 0.13\nhigh = 0.2\n";

fn longhand(folder: &Path, args: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_longhand"))
        .current_dir(folder)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    // A refusal ends the program before it has read everything.
    let writing = std::thread::spawn(move || drop(pipe.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn advantage(recipe: &str, input: impl AsRef<[u8]>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    longhand(folder.path(), &["advantage", "--config", "recipe.toml"], input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn rows(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A batch of two groups of two in one task, each right once.
fn batch(id: usize, entropy: f64) -> String {
    let row = |group: usize, reward: u8| {
        format!("{}\n", json!({"batch": id, "group": group, "task": "mc", "reward": reward, "entropy": entropy, "tokens": 57}))
    };
    [row(0, 1), row(0, 0), row(1, 1), row(1, 0)].concat()
}

fn masked(rows: &[Value]) -> Vec<bool> {
    rows.iter().map(|row| row["masked"].as_bool().unwrap()).collect()
}

#[test]
fn the_numpy_batches_come_out_as_they_should() {
    let goldens: Value = serde_json::from_str(include_str!("../crates/train/tests/rl/goldens.json")).unwrap();
    for scale in ["task", "group", "batch", "none"] {
        let (mut input, mut want) = (String::new(), Vec::new());
        for (id, batch) in goldens["batches"].as_array().unwrap().iter().enumerate() {
            let case = batch["cases"].as_array().unwrap().iter().find(|case| case["center"] == "group" && case["scale"] == scale);
            want.extend(case.unwrap()["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()));
            for row in batch["rows"].as_array().unwrap() {
                let mut row = row.as_object().unwrap().clone();
                row.insert("batch".into(), format!("batch {id}").into());
                row.retain(|_, value| !value.is_null());
                input += &format!("{}\n", Value::Object(row));
            }
        }
        let rows = rows(&advantage(&format!("[advantage]\nscale = \"{scale}\"\n[aepo]\nmode = \"off\"\n"), &input));
        assert_eq!(rows.len(), want.len());
        for (row, want) in rows.iter().zip(want) {
            let got = row["advantage"].as_f64().unwrap();
            assert!((got - want).abs() <= 1e-9 * want.abs() + 1e-15, "{row}: {want}");
            assert_eq!(row["masked"], false);
        }
    }
}

#[test]
fn the_latch_is_carried_from_batch_to_batch() {
    // Above, between, between, below, between.
    let input: String = [0.25, 0.15, 0.19, 0.1, 0.19].into_iter().enumerate().map(|(id, entropy)| batch(id, entropy)).collect();
    let output = advantage(RECIPE, &input);
    let rows = rows(&output);
    let negatives = [false, true, false, true];
    assert_eq!(masked(&rows), [&negatives.repeat(3)[..], &[false; 8]].concat());
    // Two of four right: a deviation of √(1/3); advantages stand as before the mask.
    let want = 0.5 / ((1.0f64 / 3.0).sqrt() + 1e-6);
    assert!(
        rows.iter().zip([1.0, -1.0].iter().cycle()).all(|(row, sign)| (row["advantage"].as_f64().unwrap() - sign * want).abs() < 1e-12)
    );
    let said = text(&output.stderr);
    for words in ["5 batches, 3 of them masked; 20 rows, 6 masked (30.0 %)", "10 groups, 0 whose", "low 0.1300, high 0.2000 nats"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    // The interval rule has no memory: its first batch is above, the fourth below.
    let band = self::rows(&advantage(&format!("{RECIPE}mode = \"band\"\n"), &input));
    assert_eq!(masked(&band), [&[false; 4][..], &negatives.repeat(2), &[false; 4], &negatives].concat());
    assert!(masked(&self::rows(&advantage(&format!("{RECIPE}mode = \"off\"\n"), &input))).iter().all(|masked| !masked));
}

#[test]
fn without_thresholds_the_first_ten_batches_set_them() {
    let input: String = (0..12).map(|id| batch(id, if id < 11 { 0.123 } else { 0.25 })).collect();
    let folder = tempfile::tempdir().unwrap();
    let output = longhand(folder.path(), &["advantage"], &input);
    assert_eq!(masked(&rows(&output)).iter().filter(|masked| **masked).count(), 2);
    let said = text(&output.stderr);
    assert!(said.contains("12 batches, 1 of them masked") && said.contains("low 0.1292, high 0.2091 nats"), "{said}");
    let said = text(&longhand(folder.path(), &["advantage"], batch(0, 0.5)).stderr);
    assert!(said.contains("they follow from the first 10 batches, which are not masked, and 1 were given"), "{said}");
    assert!(text(&longhand(folder.path(), &["advantage"], "").stderr).contains("0 batches"));
}

#[test]
fn lines_come_back_as_they_were_and_in_order() {
    let lines = [
        r#"{"note": 0.12345678901234567890, "batch":"a","group":1.5, "task":"mc","reward":1 , "entropy":0,"id":18446744073709551616 }"#,
        r#"{"batch":"a","group":"x","task":"é\u00e9","reward":0.5,"entropy":0.1,"deep":{"advantage":[1,{}]},"trajectory":7}"#,
        r#"{"batch":"a","group":1.5,"task":"mc","reward":0,"entropy":0.2}"#,
        r#"{"batch":"a","group":"x","task":"éé","reward":1,"entropy":0.2,"trajectory":"7"}"#,
        r#"{"batch":"a","group":"x","task":"éé","reward":0,"entropy":0.2,"trajectory":8}"#,
    ];
    let output = advantage(RECIPE, lines.join("\r\n") + "\r\n\n");
    let rows = rows(&output);
    for ((line, row), written) in text(&output.stdout).lines().zip(&rows).zip(lines) {
        let kept = written.strip_suffix('}').unwrap().trim_end();
        assert!(line.starts_with(kept), "{line}");
        assert_eq!(line, format!("{kept},\"advantage\":{},\"masked\":false}}", row["advantage"]));
    }
    // Two turns of one rollout: the last one's reward, 1, against 0.
    let values: Vec<f64> = rows.iter().map(|row| row["advantage"].as_f64().unwrap()).collect();
    assert!(values[1] > 0.7 && values[1] == values[3] && values[4] == -values[1], "{values:?}");
}

#[test]
fn an_empty_line_ends_a_batch_for_a_program_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("recipe.toml"), RECIPE).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_longhand"))
        .current_dir(folder.path())
        .args(["advantage", "--config", "recipe.toml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut pipe, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let (sender, lines) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || answers.lines().try_for_each(|line| sender.send(line.unwrap())));
    for (id, entropy) in [0.25, 0.15, 0.1].into_iter().enumerate() {
        pipe.write_all((batch(id, entropy) + "\n").as_bytes()).unwrap();
        // Nothing more is sent until these are there.
        let rows: Vec<Value> =
            (0..4).map(|_| serde_json::from_str(&lines.recv_timeout(Duration::from_secs(60)).unwrap()).unwrap()).collect();
        assert_eq!(masked(&rows), if entropy < 0.13 { [false; 4] } else { [false, true, false, true] });
    }
    drop(pipe);
    assert!(child.wait().unwrap().success());
    reading.join().unwrap().unwrap();
}

#[test]
fn the_state_is_kept_between_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let run = |input: &str| longhand(folder.path(), &["advantage", "--state", "aepo.json"], input);
    let entropies: Vec<f64> = (0..10).map(|step| 0.1 + f64::from(step) / 300.0).chain([0.3, 0.15, 0.3]).collect();
    let lines: Vec<String> = entropies.iter().enumerate().map(|(id, &entropy)| batch(id, entropy)).collect();
    let whole = rows(&longhand(folder.path(), &["advantage"], lines.concat()));
    // In the settling batches, and while it masks.
    let parts: Vec<Value> = [&lines[..4], &lines[4..11], &lines[11..]].iter().flat_map(|part| rows(&run(&part.concat()))).collect();
    assert_eq!(parts, whole);
    assert_eq!(masked(&whole).iter().filter(|masked| **masked).count(), 6);
    let state: data::AepoState = serde_json::from_slice(&fs::read(at("aepo.json")).unwrap()).unwrap();
    assert!(state.masking && state.seen.len() == 10 && state.high.is_some());
    for (text, words) in
        [("{}", "aepo.json holds no state of AEPO"), ("{\"masking\":true,\"low\":\"1\",\"high\":null,\"seen\":[]}", "one threshold of two")]
    {
        fs::write(at("aepo.json"), text).unwrap();
        let output = run(&lines[0]);
        assert_eq!(output.status.code(), Some(2));
        assert!(self::text(&output.stderr).contains(words), "{}", self::text(&output.stderr));
    }
}

#[test]
fn bad_lines_are_refused_with_their_number() {
    let good = r#"{"batch":0,"group":"g","task":"mc","reward":1.0,"entropy":0.2,"tokens":3}"#;
    let with = |from: &str, to: &str| good.replace(from, to);
    for (line, words) in [
        (with("1.0", "NaN"), "line 2: is no JSON: expected value at column 45 (NaN and Infinity are none)"),
        (with("1.0", "1e999"), "line 2: is no JSON: number out of range"),
        (with("1.0", "1e101"), "line 2: \"reward\" is 1e+101: a finite number is expected"),
        (with("1.0", "\"1\""), "line 2: \"reward\" is \"1\": a finite number is expected"),
        (with("\"reward\":1.0,", ""), "line 2: has no field \"reward\""),
        (with("\"task\":\"mc\",", ""), "line 2: has no field \"task\""),
        (with("\"group\":\"g\",", ""), "line 2: has no field \"group\""),
        (with("\"batch\":0,", ""), "line 2: has no field \"batch\""),
        (with("\"g\"", "[1]"), "line 2: \"group\" is [1]: a text or a number is expected"),
        (
            with("\"entropy\":0.2,", ""),
            "line 2: the entropy decides what AEPO masks ([aepo] with mode = \"off\" goes without): has no field",
        ),
        (with("0.2", "-0.2"), "\"entropy\" is -0.2: a number from 0 is expected"),
        (with("3}", "-3}"), "line 2: \"tokens\" is -3: a whole number from 0 is expected"),
        (with("3}", "3,\"trajectory\":null}"), "line 2: \"trajectory\" is null"),
        (with("3}", "3,\"masked\":true}"), "line 2: has a field \"masked\" already"),
        (with("\"mc\"", "\"numeric\""), "line 2: group \"g\" is of task \"numeric\" here and of \"mc\" in line 1"),
        ("[1]".into(), "line 2: is no JSON object"),
        ("{".into(), "line 2: is no JSON: EOF"),
        (format!("{}\n{good}", with("\"batch\":0", "\"batch\":1")), "line 3: batch \"0\" comes back after its end"),
    ] {
        let output = advantage(RECIPE, format!("{good}\n{line}\n{good}\n"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    // What was whole is written, and only that.
    let output = advantage(RECIPE, format!("{good}\n{}\n{{", with("\"batch\":0", "\"batch\":1")));
    assert_eq!(text(&output.stdout).lines().count(), 1);
    let output = advantage(RECIPE, [good.as_bytes(), b"\n{\"batch\":\"\xff\"}"].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 2 is not UTF-8"));
    let folder = tempfile::tempdir().unwrap();
    let said = text(&longhand(folder.path(), &["advantage", "--config", "none.toml"], good).stderr);
    assert!(said.contains("none.toml"), "{said}");
    let output = advantage("[aepo]\nlow = 0.3\nhigh = 0.1", good);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("recipe.toml:2: `aepo.low` is 0.3, above"));
}

#[test]
fn the_recipe_may_be_a_runs_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let output = longhand(folder.path(), &["init", "rl"], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read_to_string(folder.path().join("rl.toml")).unwrap(), train::rl::recipe::Recipe::TEMPLATE);
    let output = longhand(folder.path(), &["advantage", "--config", "rl.toml"], batch(0, 0.1));
    assert_eq!(rows(&output).len(), 4);
    assert_eq!(longhand(folder.path(), &["init", "rl"], "").status.code(), Some(2));
}
