//! `longhand generate --json-schema`, by the real binary: whatever is drawn, the reply is JSON of the schema.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// The embedded model, in a folder that has `schema.json`.
fn generate(folder: &Path, args: &[&str]) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.current_dir(folder).args(["generate", "--model"]).arg(model);
    command.args(["--prompt", "The largest town and its people: ", "--temperature", "1.3", "--top-p", "1", "--device", "cpu"]).args(args);
    command.output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 9},
            "kind": {"enum": ["town", "port", 7, null]},
            "people": {"type": "integer"},
            "founded": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/year"}]},
            "open": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
            "rent": {"type": "number"},
        },
        "required": ["name", "kind", "people", "founded", "open"],
        "additionalProperties": false,
        "$defs": {"year": {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"], "additionalProperties": false}},
    })
}

/// What does not fit [`schema`], written for it and nothing else.
fn unfit(value: &Value) -> Option<&'static str> {
    let object = value.as_object()?;
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    let must = ["name", "kind", "people", "founded", "open"];
    if keys[..keys.len().min(5)] != must || keys.len() > 6 || keys.get(5).is_some_and(|key| *key != "rent") {
        return Some("keys");
    }
    let integer = |value: &Value| value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = [
        ("name", value["name"].as_str().is_some_and(|name| (2..=9).contains(&name.chars().count()))),
        ("kind", [json!("town"), json!("port"), json!(7), Value::Null].contains(&value["kind"])),
        ("people", integer(&value["people"])),
        (
            "founded",
            value["founded"].is_null() || value["founded"].as_object().is_some_and(|year| year.len() == 1 && integer(&year["year"])),
        ),
        ("open", value["open"].as_array().is_some_and(|open| (2..=4).contains(&open.len()) && open.iter().all(Value::is_boolean))),
        ("rent", value.get("rent").is_none_or(Value::is_number)),
    ];
    fits.into_iter().find(|(_, fits)| !fits).map(|(name, _)| name)
}

/// The text as JSON of the schema.
fn read(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text.trim()).map_err(|error| format!("{error}: {text}"))?;
    if !value.is_object() {
        return Err(format!("no object: {text}"));
    }
    unfit(&value).map_or(Ok(value), |name| Err(format!("{name} does not fit: {text}")))
}

#[test]
fn whatever_is_drawn_fits_the_schema() {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("schema.json", &schema().to_string());
    let mut replies = Vec::new();
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let output = generate(folder.path(), &["--json-schema", "schema.json", "--seed", seed, "--max-new-tokens", "600"]);
        assert!(output.status.success(), "{}", said(&output).1);
        replies.push(read(&said(&output).0).unwrap());
    }
    replies.iter().for_each(|reply| println!("{reply}"));
    assert!(replies.iter().any(|reply| *reply != replies[0]), "the seeds draw the same");
    // The same draw without the schema is something else: it is not the model that writes JSON.
    let free = generate(folder.path(), &["--seed", "1", "--max-new-tokens", "60"]);
    assert!(free.status.success() && read(&said(&free).0).is_err(), "{:?}", said(&free));
    // Cut, it is the beginning of such a reply.
    let whole = generate(folder.path(), &["--json-schema", "schema.json", "--seed", "1", "--max-new-tokens", "600"]);
    let cut = generate(folder.path(), &["--json-schema", "schema.json", "--seed", "1", "--max-new-tokens", "5"]);
    let (whole, cut) = (said(&whole).0, said(&cut).0);
    assert!(whole.starts_with(cut.trim_end()) && cut.trim_end().len() < whole.trim_end().len(), "{cut} and {whole}");

    // What cannot be held is refused before anything is drawn, with its name.
    let refused = |file: &str, text: &str, why: &str| {
        write(file, text);
        let output = generate(folder.path(), &["--json-schema", file]);
        let (out, error) = said(&output);
        assert!(output.status.code() == Some(2) && out.is_empty() && error.contains(why), "{out}{error}");
    };
    refused("keyword.json", r#"{"type": "string", "pattern": "a+"}"#, "pattern");
    refused("broken.json", r#"{"type": "#, "broken.json is no JSON");
    let output = generate(folder.path(), &["--json-schema", "none.json"]);
    assert!(output.status.code() == Some(2) && said(&output).1.contains("none.json"), "{:?}", said(&output));
    let output = generate(folder.path(), &["--json-schema", "schema.json", "--no-cache"]);
    assert!(output.status.code() == Some(2) && said(&output).1.contains("--no-cache"), "{:?}", said(&output));
}

#[test]
fn what_does_not_fit_is_seen() {
    let good = json!({"name": "Aldra", "kind": 7, "people": 3, "founded": {"year": 1900}, "open": [true, false]});
    assert_eq!(unfit(&good), None);
    for (key, value) in [
        ("name", json!("A")),
        ("kind", json!("city")),
        ("people", json!(2.5)),
        ("founded", json!({"year": 1.5})),
        ("open", json!([true])),
        ("rent", json!("much")),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(unfit(&bad), Some(key));
    }
    let mut bad = good.clone();
    bad["more"] = json!(1);
    assert!(unfit(&bad) == Some("keys") && read("[1]").is_err() && read("{\"name\": ").is_err());
}
