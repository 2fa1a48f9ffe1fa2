//! Questions that models make, by the real binary and a server that does as it is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::common::{Request, Server, answer, stream};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{lines, run, said, towns, walk};

/// The towns of a prompt: number, mayor and schools. Documents about something else are passed over.
fn documents(prompt: &str) -> Vec<(usize, String, u64)> {
    let text = prompt.split("<text>\n").nth(1).unwrap_or("").split("\n</text>").next().unwrap();
    let value = |part: &str, name: &str| Some(part.split(&format!("{name}: ")).nth(1)?.lines().next()?.to_string());
    let one = |part: &str| {
        let number = part.trim_start_matches("Doc ").split(':').next()?.parse().ok()?;
        Some((number, value(part, "mayor")?, value(part, "schools")?.parse().ok()?))
    };
    text.split("\n\nDoc ").filter_map(one).collect()
}

/// A proposer that now and then writes no JSON, solvers one of whom never knows, and a verifier that says so. Without documents nobody
/// knows anything.
pub fn reply(request: &Request) -> String {
    let prompt = request.body["messages"][0]["content"].as_str().unwrap();
    let seed = request.body["seed"].as_u64().unwrap();
    if request.body.get("response_format").is_some() {
        let towns = documents(prompt);
        let mayors: Vec<&str> = towns.iter().map(|(_, mayor, _)| mayor.as_str()).collect();
        let evidence: Vec<Value> =
            towns.iter().map(|(number, _, schools)| json!({"document": number, "quote": format!("schools: {schools}")})).collect();
        let sum: u64 = towns.iter().map(|(.., schools)| schools).sum();
        let question = format!("How many schools do the towns of the mayors {} have, counted together?", mayors.join(" and "));
        let said = json!({"reasoning": "added up", "evidence": evidence, "question": question, "answer": sum.to_string()}).to_string();
        return if seed % 3 == 0 { said[..said.len() / 2].to_string() } else { said };
    }
    if prompt.starts_with("Two answers") {
        return "Answer 1 gives none. [[NO]]".into();
    }
    let question = prompt.split("</text>").nth(1).unwrap_or("");
    let asked = documents(prompt).into_iter().filter(|(_, mayor, _)| question.contains(mayor.as_str()));
    match asked.map(|(.., schools)| schools).sum::<u64>() {
        sum if sum > 0 && seed != 1 => format!("They are added up. Therefore, the answer is ({sum})."),
        _ => "Therefore, the answer is (more than I can say).".into(),
    }
}

#[test]
fn models_make_rows_that_are_checked_and_replayed() {
    // After so many replies the server is down.
    let (limit, answered) = (Arc::new(AtomicUsize::new(10)), Arc::new(Mutex::new(Vec::new())));
    let (bound, log) = (limit.clone(), answered.clone());
    let server = Server::start(move |_, request, out| {
        let up = {
            let mut log = log.lock().unwrap();
            let up = log.len() < bound.load(Ordering::SeqCst);
            log.extend(up.then(|| request.body.to_string()));
            up
        };
        if up { stream(out, &[&reply(request)]) } else { answer(out, 400, "", "{\"error\": {\"message\": \"it is down\"}}") }
    });
    let folder = TempDir::new().unwrap();
    towns(folder.path());
    let config = format!(
        "seed = 3\n[checks]\nsearchable = 1.0\n[[documents]]\npaths = [\"towns\"]\ntitle = \"/name\"\n[model]\nname = \"openai:{}#scripted\"\nwindow = 32000\n\
         [trial]\ntries = 2\nreply = 64\n[[questions]]\nengine = \"agents\"\ncount = 6\nlengths = [700, 3000]\n[questions.agents]\ndocuments = 3\n\
         cluster = \"random\"\ntasks = [\"numeric\"]\nrounds = 2\ntries = 3\nvotes = 3\n",
        server.url
    );
    let at = |name: &str| folder.path().join(name);
    fs::write(at("synth.toml"), &config).unwrap();
    fs::write(at("without.toml"), config.replace(&format!("[model]\nname = \"openai:{}#scripted\"\nwindow = 32000\n", server.url), ""))
        .unwrap();
    let output = run(&["synth", "run", "without.toml"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("there is no [model]"), "{}", said(&output));
    let dry = run(&["synth", "run", "synth.toml", "--out", "set", "--dry-run", "--json"], folder.path());
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert!(server.requests().is_empty() && dry["questions"][0]["says"].as_str().unwrap().starts_with("clusters of 3 of 40"), "{dry}");

    // What was answered before the server went down is kept: no call is made twice.
    let output = run(&["synth", "run", "synth.toml", "--out", "set"], folder.path());
    assert!(output.status.code() == Some(2) && said(&output).contains("the same command goes on"), "{}", said(&output));
    limit.store(usize::MAX, Ordering::SeqCst);
    let output = run(&["synth", "run", "synth.toml", "--out", "set", "--json"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    let bodies = answered.lock().unwrap().clone();
    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), bodies.len());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(dry["at_most"]["calls"].as_u64().unwrap() as usize >= bodies.len(), "{dry} and {}", bodies.len());
    let rows = lines(&at("set/rows.jsonl"));
    assert_eq!((rows.len(), &report["groups"][0]["name"]), (6, &json!("agents, numeric")), "{}", said(&output));
    for row in &rows {
        let derivation = &row["derivation"];
        assert_eq!(
            (&row["task"], &derivation["engine"], &derivation["paradigm"]),
            (&json!("numeric"), &json!("agents"), &json!("calculation"))
        );
        let roles: BTreeSet<&str> =
            derivation["transcripts"].as_array().unwrap().iter().map(|said| said["role"].as_str().unwrap()).collect();
        assert_eq!(roles, BTreeSet::from(["propose", "solve", "verify", "closed_book", "with_evidence", "robust"]));
        assert!(derivation["facts"].as_array().unwrap().len() >= 3);
    }
    assert!(rows.iter().any(|row| row["hops"].as_u64() > Some(3)), "a second visit sees more documents");

    // The check reads the kept calls, and sees where one says something else or is gone.
    let check = || run(&["synth", "check", "set", "--json"], folder.path());
    let output = check();
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    let not_run = json!({"whether the answer is true of the documents: it came from a model": 6});
    assert!(output.status.success() && checked["not_run"] == not_run, "{checked}");
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/synth/check.py");
    // None where there is no Python: said, not passed over.
    match Command::new("python3").arg(&checker).arg(at("set/rows.jsonl")).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(error) => eprintln!("not checked by Python: {error}"),
    }
    let key = rows[0]["derivation"]["transcripts"][0]["call"].as_str().unwrap();
    let path = at(&format!("set/calls/{}/{key}.json", &key[..2]));
    let kept = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(String::from_utf8_lossy(&check().stdout).contains(&format!("the call {key} (propose) is not kept")));
    fs::write(&path, kept).unwrap();
    let text = fs::read_to_string(at("set/rows.jsonl")).unwrap();
    fs::write(at("set/rows.jsonl"), text.replacen("They are added up.", "They are taken off.", 1)).unwrap();
    assert!(String::from_utf8_lossy(&check().stdout).contains("was answered otherwise"));

    // From the kept calls alone the same bytes, in another folder and without a server.
    let asked = server.requests().len();
    fs::create_dir(at("again")).unwrap();
    fs::rename(at("set/calls"), at("again/calls")).unwrap();
    let output = run(&["synth", "run", "synth.toml", "--out", "again", "--replay"], folder.path());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(at("again/rows.jsonl")).unwrap(), text);
    assert_eq!(fs::read(at("again/rejects.jsonl")).unwrap(), fs::read(at("set/rejects.jsonl")).unwrap());
    assert_eq!((server.requests().len(), walk(&at("again/calls")).len()), (asked, bodies.len() + 1));
}
