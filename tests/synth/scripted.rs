//! A model for all that a run asks, behind a scripted server. What it says depends on the request and on nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokenizer::Tokenizer;

use super::common::{Request, Server, delta, ending, stream_head};
use super::{TOWNS, agents, extract, lines, run, said, towns};

/// The model, its documents and a configuration that uses all engines and all checks.
pub struct Scripted {
    pub server: Server,
    pub folder: tempfile::TempDir,
    /// Right answers by question.
    known: Arc<Mutex<BTreeMap<String, String>>>,
    /// Milliseconds from a request to its reply.
    pub delay: Arc<AtomicU64>,
    /// Requests so far, those that are not answered yet, and prompt tokens of all that are.
    pub asked: Arc<AtomicUsize>,
    pub open: Arc<AtomicUsize>,
    pub prompt_tokens: Arc<AtomicU64>,
}

/// The tokenizer that the model counts with.
fn tokenizer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/tokenizer.json")
}

/// What tells a request from all others, in letters: it stands in the reply, and so in the kept call.
pub fn mark(request: &Request) -> String {
    let hash = Sha256::digest(request.body.to_string());
    format!("mark-{}", hash[..8].iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect::<String>())
}

/// Evenly from 0 to 1, by a text.
fn draw(text: &str) -> f64 {
    f64::from(u32::from_le_bytes(Sha256::digest(text)[..4].try_into().unwrap())) / f64::from(u32::MAX)
}

impl Scripted {
    pub fn start() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        towns(folder.path());
        let places: Vec<String> = TOWNS[..24].iter().map(|town| format!("{town}by")).collect();
        let replies = extract::prose(folder.path(), &places);
        let known: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let (delay, prompt_tokens): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (asked, open): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counter = Tokenizer::from_json(&fs::read(tokenizer()).unwrap()).unwrap();
        let (knows, waits, opens, prompts) = (known.clone(), delay.clone(), open.clone(), prompt_tokens.clone());
        let asks = asked.clone();
        let server = Server::start(move |_, request, out| {
            opens.fetch_add(1, Ordering::SeqCst);
            asks.fetch_add(1, Ordering::SeqCst);
            let answered = (|| {
                let text = reply(request, &replies, &knows);
                // What a chat template adds is part of the prompt.
                let prompt = counter.count(request.body["messages"][0]["content"].as_str().unwrap()).unwrap() + 9;
                let begin = text.chars().next().map_or(0, char::len_utf8);
                stream_head(out)?;
                out.write_all(delta(&text[..begin]).as_bytes())?;
                std::thread::sleep(Duration::from_millis(waits.load(Ordering::SeqCst)));
                prompts.fetch_add(prompt as u64, Ordering::SeqCst);
                let end = ending("stop", Some((prompt, counter.count(&text).unwrap())));
                out.write_all(format!("{}{end}", delta(&text[begin..])).as_bytes())
            })();
            opens.fetch_sub(1, Ordering::SeqCst);
            answered
        });
        Self { server, folder, known, delay, asked, open, prompt_tokens }
    }

    /// The configuration, with this many rows of each of its groups times `times`.
    pub fn config(&self, times: usize, seed: u64) -> String {
        let lengths = "lengths = [900, 3000]\n";
        let group = |engine: &str, count: usize| format!("[[questions]]\nengine = \"{engine}\"\ncount = {}\n{lengths}", count * times);
        format!(
            "seed = {seed}\ntokenizer = {:?}\n[checks]\nsearchable = 1.0\n[[documents]]\npaths = [\"towns\"]\ntitle = \"/name\"\n[[documents]]\npaths = [\"prose\"]\n\
             [model]\nname = \"openai:{}#scripted\"\nwindow = 32000\nprice = {{prompt = 0.5, reply = 2.0}}\n[trial]\ntries = 2\nreply = 64\n\
             [extract]\ntable = true\nmax_facts = 7\n{}noun = \"town\"\nhops = 1\n{}noun = \"town\"\n{}noun = \"town\"\n{}{}talk = [300, 900]\n{}[questions.agents]\ndocuments = 3\n\
             cluster = \"random\"\ntasks = [\"numeric\"]\nrounds = 2\ntries = 3\nvotes = 3\nreply = 200\nverdict = 60\n",
            tokenizer(),
            self.server.url,
            group("graph", 3),
            group("graph", 3),
            group("choice", 2),
            group("table", 3),
            group("dialogue", 2),
            group("agents", 3),
        )
    }

    /// Lets the model know the answers of the questions that `config` gives: those that it drops as long as it knows none.
    pub fn learn(&self, config: &str) {
        let blind = config.replace("tries = 2\nreply = 64", "tries = 1\nreply = 64\nclosed_book = 0");
        assert_ne!(blind, config);
        let out = self.folder.path().join("blind");
        fs::write(self.folder.path().join("blind.toml"), blind).unwrap();
        let output = run(&["synth", "run", "blind.toml", "--out", "blind"], self.folder.path());
        assert!(out.join("report.json").exists(), "{}", said(&output));
        let rejects = lines(&out.join("rejects.jsonl"));
        for reject in rejects.iter().filter(|reject| reject["check"] == "with_evidence") {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
            self.known.lock().unwrap().insert(text(&reject["question"]), text(&reject["answers"][0]));
        }
        fs::remove_dir_all(out).unwrap();
    }
}

/// Of ten questions about one is known without documents, about one never answered with them, and one in ten tries fails.
fn reply(request: &Request, replies: &BTreeMap<String, (String, String)>, known: &Mutex<BTreeMap<String, String>>) -> String {
    let prompt = request.body["messages"][0]["content"].as_str().unwrap();
    let (mark, seed) = (mark(request), request.body["seed"].as_u64().unwrap());
    let marked = |json: &str| json.replacen('{', &format!("{{\"note\": \"{mark}\", "), 1);
    let title = prompt.lines().next().unwrap_or("").trim_start_matches("Document: ");
    if prompt.contains("State 7 facts") {
        // Now and then a reply is cut off, and asked for again.
        let (facts, _) = &replies[title];
        return if draw(title) < 0.1 && seed == 0 { format!("{mark} {{\"facts\": [{{\"rel") } else { marked(facts) };
    }
    if prompt.contains("Fill in these fields") {
        return if seed == 1 { format!("{{\"note\": \"{mark}\", \"values\": {{}}}}") } else { marked(&replies[title].1) };
    }
    if prompt.contains("Above are the beginnings") {
        return marked(&json!({"fields": [{"name": "surface", "type": "number"}, {"name": "shore", "type": "number"}]}).to_string());
    }
    if request.body.get("response_format").is_some() {
        return agents::reply(request).replacen("\"added up\"", &format!("\"added up, {mark}\""), 1);
    }
    if prompt.starts_with("Two answers") || prompt.contains("How many schools do the towns of the mayors") {
        return format!("{mark}: {}", agents::reply(request));
    }
    let known = known.lock().unwrap();
    let found = known.iter().find(|(question, _)| prompt.contains(question.as_str()));
    let closed = prompt.starts_with("Please answer the question below from what you know");
    let right = found.filter(|(question, _)| {
        let (of_question, of_try) = (draw(question), draw(&format!("{mark} {seed}")));
        if closed { of_question < 0.1 && seed == 3 } else { of_question < 0.9 && of_try < 0.9 }
    });
    match right {
        None => format!("{mark}. Therefore, the answer is (nothing that is known)."),
        // A reply that is to be repeated begins with its code.
        Some((_, answer)) if answer.contains('\n') || answer.len() > 60 => format!("{answer} {mark}"),
        Some((_, answer)) => format!("{mark}. Therefore, the answer is ({answer})."),
    }
}
