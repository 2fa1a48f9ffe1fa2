//! Facts that a model finds in prose, by the real binary and a server that does as it is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::common as served;
use super::{CONFIG, TOWNS, lines, run, said, walk};

/// Prose about 24 places, one file each, and what a model that reads it rightly says of it: by title, (facts, values of fields).
pub fn prose(folder: &Path, places: &[String]) -> BTreeMap<String, (String, String)> {
    let to = folder.join("prose");
    fs::create_dir_all(&to).unwrap();
    let mut replies = BTreeMap::new();
    for (at, town) in places.iter().enumerate() {
        let came = format!(
            "{} {}",
            ["salt", "grain", "copper", "linen"][at % 4],
            ["riots", "shortage", "boom", "exodus", "levy", "strike"][at / 4]
        );
        let (other, founder) = (&places[(at + 5) % 24], TOWNS[39 - at % 16]);
        let facts = [
            ("area", format!("{} sq km", 1_013 + 377 * at), format!("{town} covers {} sq km", 1_013 + 377 * at)),
            ("Coast_Length", format!("{} km", 211 + 83 * ((7 * at) % 24)), format!("its coast is {} km", 211 + 83 * ((7 * at) % 24))),
            ("founded by", format!("{founder}ar Dun{at}").replace(char::is_numeric, ""), format!("{founder}ar Dun founded the place")),
            ("founded in", format!("{}", 1_412 + 19 * at), format!("That was in {}", 1_412 + 19 * at)),
            (["twinned with", "is twinned with"][at % 2], other.to_string(), format!("Since then {other} is its twin")),
            ("led to", came.clone(), format!("and its rise led to the {came}")),
            ("ruled from", "Nowhere".to_string(), "ruled from Nowhere".to_string()),
        ];
        let quotes: Vec<&str> = facts[..6].iter().map(|(_, _, quote)| quote.as_str()).collect();
        fs::write(to.join(format!("{town}.txt")), format!("{}.\n", quotes.join(".\n"))).unwrap();
        let said =
            facts.iter().map(|(relation, value, quote)| json!({"subject": null, "relation": relation, "value": value, "quote": quote}));
        let said = json!({"facts": said.collect::<Vec<_>>()}).to_string();
        let area = json!({"value": facts[0].1, "quote": facts[0].2});
        let coast = json!({"value": facts[1].1, "quote": facts[1].2});
        replies.insert(town.to_string(), (said, json!({"values": {"surface": area, "shore": coast}}).to_string()));
    }
    replies
}

/// Facts that a model found in prose: rows of all engines, each fact traced to its call, and the same bytes from the kept calls alone.
#[test]
fn prose_gives_rows_by_facts_that_a_model_found() {
    let folder = TempDir::new().unwrap();
    let places: Vec<String> = TOWNS[..24].iter().map(|town| town.to_string()).collect();
    let replies = prose(folder.path(), &places);
    // Right answers by question, as a run that answers nothing rightly tells them.
    let known: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let knows = known.clone();
    let server = served::Server::start(move |_, request, out| {
        let text = request.body["messages"][0]["content"].as_str().unwrap_or("");
        let title = text.lines().next().unwrap_or("").trim_start_matches("Document: ");
        let seed = request.body["seed"].as_u64().unwrap_or(0);
        let reply = if text.contains("State 7 facts") {
            // One reply is cut off, and asked for again.
            if title == "Aldra" && seed == 0 { "{\"facts\": [{\"rel".to_string() } else { replies[title].0.clone() }
        } else if text.contains("Fill in these fields") {
            // Two of three agree.
            if seed == 1 { "{\"values\": {}}".to_string() } else { replies[title].1.clone() }
        } else {
            let known = knows.lock().unwrap();
            let answer = known.iter().find(|(question, _)| text.contains(question.as_str()) && text.contains("Doc 1: "));
            format!("Therefore, the answer is ({}).", answer.map_or("nothing that is known", |(_, answer)| answer))
        };
        served::stream(out, &[&reply])
    });
    let parts = CONFIG.split("[[questions]]").collect::<Vec<_>>();
    let lengths = "lengths = [400, 900]\n";
    let config = format!(
        "{}[model]\nname = \"openai:{}#m\"\nwindow = 8000\n[trial]\ntries = 1\nreply = 64\n[extract]\ntable = true\nfields = [\"surface\", \"shore\"]\nmax_facts = 7\n\
         [[questions]]\nengine = \"graph\"\nhops = 2\ncount = 8\nnoun = \"town\"\n{lengths}[[questions]]\nengine = \"table\"\nrows = [3, 5]\ncount = 4\n{lengths}",
        parts[0].replace("\"towns\"", "\"prose\"").replace("\"/name\"", "\"name\""),
        server.url
    );
    fs::write(folder.path().join("synth.toml"), &config).unwrap();
    let at = |name: &str| folder.path().join(name);

    // What it takes is known before a call: of each document a reply with facts and three with fields, each twice at most.
    let output = run(&["synth", "run", "synth.toml", "--out", "set", "--dry-run", "--json"], folder.path());
    let dry: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = &dry["expected"];
    // A little more than one of each document, as some replies may be malformed; tries of questions that are not there yet besides.
    assert_eq!((&expected["facts"]["calls"], &expected["fields"]["calls"], server.requests().len()), (&json!(24), &json!(73), 0), "{dry}");
    assert!(expected["robust"]["calls"].as_u64() > Some(0) && dry["rows"] == json!([8.0, 4.0]), "{dry}");
    assert!(dry["at_most"]["calls"].as_u64().unwrap() > 24 * 4 * 2, "{dry}");

    // Documents that no table is asked of are asked for their facts alone.
    fs::write(at("no-table.toml"), config.replace("title = \"name\"", "title = \"name\"\ntable = false")).unwrap();
    let output = run(&["synth", "run", "no-table.toml", "--out", "set", "--dry-run", "--json"], folder.path());
    let dry: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&dry["expected"]["facts"]["calls"], &dry["expected"]["fields"]), (&json!(24), &Value::Null), "{dry}");

    let output = run(&["synth", "run", "synth.toml", "--out", "first"], folder.path());
    assert!(said(&output).contains("not one row"), "{}", said(&output));
    for reject in lines(&at("first/rejects.jsonl")).iter().filter(|reject| reject["check"] == "with_evidence") {
        let (question, answer) = (reject["question"].as_str().unwrap(), reject["answers"][0].as_str().unwrap());
        known.lock().unwrap().insert(question.to_string(), answer.to_string());
    }
    // The same facts: every call about a document is kept.
    fs::create_dir_all(at("set")).unwrap();
    fs::rename(at("first/calls"), at("set/calls")).unwrap();
    for path in walk(&at("set/calls")).iter().filter(|path| fs::read_to_string(path).unwrap().contains("nothing that is known")) {
        fs::remove_file(path).unwrap();
    }
    let asked = |what: &str| {
        let text = |request: &served::Request| request.body["messages"][0]["content"].as_str().unwrap_or("").contains(what);
        server.requests().iter().filter(|request| text(request)).count()
    };
    assert_eq!((asked("State 7 facts"), asked("Fill in these fields")), (25, 72));
    let output = run(&["synth", "run", "synth.toml", "--out", "set", "--json"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((asked("State 7 facts"), asked("Fill in these fields")), (25, 72));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let extract = &report["corpus"]["extract"];
    assert_eq!((&extract["documents"], &extract["calls"], &extract["malformed"]), (&json!(24), &json!(97), &json!(1)), "{extract}");
    assert_eq!((&extract["facts"], &extract["fields"]), (&json!(24 * 8), &json!(48)), "{extract}");
    assert_eq!(extract["dropped"], json!({"quote": 24}));
    assert_eq!(report["corpus"]["graph"]["edges"], 24);
    let card = fs::read_to_string(at("set/README.md")).unwrap();
    assert!(card.contains("## Facts made by a model") && card.contains("192 facts of 24 documents"), "{card}");
    assert!(run(&["synth", "report", "set"], folder.path()).status.success());
    assert!(fs::read_to_string(at("set/report.html")).unwrap().contains("A model found 192 facts"));

    let rows = lines(&at("set/rows.jsonl"));
    let of = |task: &str| rows.iter().filter(|row| row["task"] == task).count();
    assert_eq!((of("multi_hop"), of("numeric")), (8, 4), "{}", said(&output));
    assert!(rows.iter().any(|row| row["derivation"]["paradigm"] == "causal"));
    for row in &rows {
        assert!(row["derivation"]["facts"].as_array().unwrap().iter().all(|fact| fact["call"].is_string()), "{row}");
    }
    // Every fact is what its call said, by this program's check; and the rest holds by one that shares no code with it.
    let check = |set: &str| run(&["synth", "check", set, "--json"], folder.path());
    let output = check("set");
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&checked["bad"], &checked["not_run"]), (&json!(0), &json!({})), "{checked}");
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synth/check.py");
    match Command::new("python3").arg(&checker).arg(at("set/rows.jsonl")).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("not checked by Python: {error}"),
    }
    // From the kept calls alone the same bytes, and no request.
    let requests = server.requests().len();
    fs::create_dir(at("again")).unwrap();
    copy(&at("set/calls"), &at("again/calls"));
    let output = run(&["synth", "run", "synth.toml", "--out", "again", "--replay"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read(at("again/rows.jsonl")).unwrap(), fs::read(at("set/rows.jsonl")).unwrap());
    assert_eq!(server.requests().len(), requests);
    // A call that says something else is noticed, as is one that is gone; without any of them it is said that none was looked at.
    let call = rows[0]["derivation"]["facts"][0]["call"].as_str().unwrap();
    fs::remove_file(at("again/calls").join(&call[..2]).join(format!("{call}.json"))).unwrap();
    let output = check("again");
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stdout).contains("which is not kept"));
    fs::remove_dir_all(at("again/calls")).unwrap();
    let checked: Value = serde_json::from_slice(&check("again").stdout).unwrap();
    assert!(checked["bad"] == 0 && checked["not_run"].to_string().contains("its calls are not beside the rows"), "{checked}");

    // Without a model there is nobody to ask.
    let alone = config.split("[model]").next().unwrap().to_string() + "[extract]\n[[questions]]\nengine = \"graph\"\ncount = 5\n";
    fs::write(at("alone.toml"), alone).unwrap();
    let output = run(&["synth", "run", "alone.toml", "--out", "alone"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("[extract] asks a model"), "{}", said(&output));
}

/// A folder with all that is below it.
fn copy(from: &Path, to: &Path) {
    for path in walk(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&path, target).unwrap();
    }
}
