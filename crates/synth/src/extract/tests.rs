mod rows;

use std::sync::Mutex;

use data::{BoxFuture, ChatError, ChatReply, Message, OnToken, StopReason, Usage};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::context::tests::source;
use crate::corpus::Source;
use crate::hash;

/// Replies as it is told, and remembers what it was asked.
struct Script<F> {
    reply: F,
    window: usize,
    asked: Mutex<Vec<(String, String)>>,
    requests: Mutex<Vec<ChatRequest>>,
}

impl<F: Fn(&ChatRequest) -> String + Send + Sync> ChatModel for Script<F> {
    fn name(&self) -> String {
        "script".into()
    }
    fn window(&self) -> usize {
        self.window
    }
    fn count_prompt(&self, _: &[Message]) -> Result<usize, ChatError> {
        Ok(0)
    }
    fn chat<'a>(&'a self, request: &'a ChatRequest, _: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(async move {
            let text = (self.reply)(request);
            self.asked.lock().unwrap().push((key(request), text.clone()));
            self.requests.lock().unwrap().push(request.clone());
            Ok(ChatReply { text, token_ids: Vec::new(), logprobs: Vec::new(), stop: StopReason::Eos, usage: Usage::default() })
        })
    }
}

fn key(request: &ChatRequest) -> String {
    hash::sha256([request.messages[0].content.as_str(), &request.sampling.seed.to_string()])
}

fn script<F: Fn(&ChatRequest) -> String + Send + Sync>(reply: F) -> Script<F> {
    Script { reply, window: 100_000, asked: Mutex::default(), requests: Mutex::default() }
}

fn extracted(model: &dyn ChatModel, settings: &ExtractSettings, sources: &[Source]) -> Extracted {
    settings.check().unwrap();
    let tokenizer = Tokenizer::approximate();
    let extractor = Extractor { model, settings, schema: true, key: &key, on: &|_, _, _| {}, tokenizer: &tokenizer };
    let asked: Vec<_> = (0..sources.len()).map(|at| (at, Some(0))).collect();
    let mut done = 0;
    let out = pollster::block_on(extractor.run(sources, &asked, &mut |count| done = count)).unwrap();
    assert_eq!(done, sources.len());
    // Whatever was said: facts stand where they say, with the ids of what they say, each once.
    for (document, facts) in &out.facts {
        let document = &sources[*document].document;
        let mut ids = std::collections::BTreeSet::new();
        for fact in facts {
            assert_eq!(&document.text[fact.span.start..fact.span.end], fact.value);
            assert_eq!(fact.id, hash::id("fact", [document.id.as_str(), &fact.relation, &fact.value, &fact.span.start.to_string()]));
            assert!(ids.insert(&fact.id) && fact.call.is_some() && !fact.value.contains('\n'));
        }
    }
    out
}

fn said(out: &Extracted) -> Vec<String> {
    out.facts.values().flatten().map(|fact| format!("{}; {} = {}", fact.subject, fact.relation, fact.value)).collect()
}

fn only_facts() -> ExtractSettings {
    ExtractSettings { max_facts: 5, ..ExtractSettings::default() }
}

fn only_table() -> ExtractSettings {
    ExtractSettings { facts: false, table: true, fields: vec!["Area".into(), "Mayor".into()], ..ExtractSettings::default() }
}

fn fact(subject: &str, relation: &str, value: &str, quote: &str) -> Value {
    let subject = if subject.is_empty() { Value::Null } else { subject.into() };
    json!({"subject": subject, "relation": relation, "value": value, "quote": quote})
}

#[test]
fn facts_take_one_name_for_each_relation_and_entity() {
    let sources = [
        source("a", "Acme Inc", "Acme was founded by Ann Lee in 1985. Ann Lee was born in Rome."),
        source("b", "Bolt", "Bolt was founded by Acme in 1990 and is located in Oslo. Lee, Ann led it."),
        source("c", "Code", "fn main() {}"),
    ];
    let model = script(|request| {
        let text = &request.messages[0].content;
        let facts = if text.starts_with("Document: Acme Inc\n\nAcme was") {
            vec![
                fact("", "Founded_In", "1985", "in 1985"),
                fact("Acme", "was founded in", "1985", "Ann Lee in 1985"),
                // The same place, told at greater length.
                fact("Acme", "founded in", "1985. Ann Lee", "in 1985. Ann Lee was"),
                fact("Ann Lee", "born in", "Rome", "born in Rome"),
                fact("Ann Lee", "married", "Bob", "Ann Lee married Bob"),
            ]
        } else if text.starts_with("Document: Bolt\n\n") {
            vec![
                fact("Bolt", "founded in", "1990", "Acme in 1990"),
                fact("Acme", "founder of", "Bolt", "Bolt was founded by Acme"),
                fact("Lee, Ann", "led", "it", "Lee, Ann led it."),
                fact("", "is located in", "Oslo", "located in Oslo"),
                fact("He", "led", "it", "Lee, Ann led it."),
                fact("", "more", "Bolt", "Bolt"),
            ]
        } else {
            Vec::new()
        };
        json!({"facts": facts}).to_string()
    });
    let out = extracted(&model, &only_facts(), &sources);
    assert_eq!(
        said(&out),
        [
            "Acme Inc; founded in = 1985",
            "Ann Lee; born in = Rome",
            "Acme Inc; founder of = Bolt",
            "Bolt; founded in = 1990",
            "Bolt; is located in = Oslo",
            "Ann Lee; led = it"
        ]
    );
    let report = &out.report;
    assert_eq!((report.documents, report.calls, report.malformed, report.facts, report.fields), (3, 3, 0, 6, 0));
    assert_eq!(report.dropped, Dropped::from([("quote", 1), ("repeated", 2), ("subject", 1), ("too_many", 1)]));
    // The document comes first, what is asked last, and the reply is held to its form.
    let request = &model.requests.lock().unwrap()[0];
    assert!(request.messages[0].content.trim_end().ends_with("in 1912.\"}]}"), "{}", request.messages[0].content);
    assert_eq!(request.schema.as_ref().unwrap().schema["properties"]["facts"]["items"]["required"][3], "quote");
    assert_eq!((request.sampling.seed, request.max_tokens), (0, 1_024));
    // Each fact names the call that found it.
    let calls: BTreeMap<String, String> = model.asked.lock().unwrap().iter().cloned().collect();
    assert!(out.facts[&1].iter().all(|fact| calls[fact.call.as_ref().unwrap()].contains("founder of")));
}

#[test]
fn a_malformed_reply_is_asked_for_once_more() {
    let sources = [source("a", "A", "A was founded in 1985."), source("b", "B", "B was founded in 1990.")];
    let good = |year: &str| json!({"facts": [fact("", "founded in", year, "founded in")], "x": year}).to_string();
    let model = script(|request| match (request.messages[0].content.contains("1985"), request.sampling.seed) {
        (true, 0) => "{\"facts\": [{\"relation\": \"cut o".into(),
        (true, _) => json!({"facts": [fact("", "founded in", "1985", "founded in 1985")]}).to_string(),
        (false, _) => "I cannot.".into(),
    });
    let out = extracted(&model, &only_facts(), &sources);
    assert_eq!(said(&out), ["A; founded in = 1985"]);
    assert_eq!((out.report.calls, out.report.malformed), (4, 3));
    assert_eq!(out.report.dropped, Dropped::from([("no_reply", 1)]));
    // A value that is not in its quote.
    let out = extracted(&script(|_| good("1985")), &only_facts(), &sources);
    assert_eq!((said(&out).len(), out.report.dropped["value"]), (0, 2));
    assert!(out.report.lines().iter().any(|line| line == "not kept: value (2)"), "{:?}", out.report.lines());
}

/// Three tries at two fields of documents that differ.
#[test]
fn a_field_is_what_most_tries_say_and_the_document_has() {
    let text = |name: &str| format!("{name} has 40 sq km or 41 sq km. Its mayor is Ann Lee, not Bob Ray.");
    let sources: Vec<Source> =
        ["Agree", "Differ", "Absent", "Broken", "Invented"].iter().map(|name| source(name, name, &text(name))).collect();
    let values = |area: &str, mayor: &str| {
        let said = |value: &str| match value {
            "" => json!({"value": null, "quote": null}),
            value => {
                json!({"value": value, "quote": if value.contains("sq km") { "has 40 sq km or 41 sq km" } else { "Its mayor is Ann Lee, not Bob Ray" }})
            }
        };
        json!({"values": {"Area": said(area), "Mayor": said(mayor)}}).to_string()
    };
    let model = script(|request| {
        let name = request.messages[0].content.lines().next().unwrap().trim_start_matches("Document: ").to_string();
        match (name.as_str(), request.sampling.seed) {
            ("Agree", 0) => values("41 sq km", "Bob Ray"),
            ("Agree", 1) => values("40 sq km", "ann  lee"),
            ("Agree", _) => values("40 sq km", "Ann Lee"),
            ("Differ", 0) => values("40 sq km", "Ann Lee"),
            ("Differ", 1) => values("40 sq km", "Bob Ray"),
            ("Differ", _) => values("40 sq km", ""),
            ("Absent", 0) => values("40 sq km", "Ann Lee"),
            ("Absent", _) => values("40 sq km", ""),
            // One of three replies: no majority, whatever the first seeds say.
            ("Broken", 0) => values("40 sq km", "Ann Lee"),
            ("Broken", _) => "no".into(),
            _ => values("42 sq km", "Ann Lee"),
        }
    });
    let out = extracted(&model, &only_table(), &sources);
    assert_eq!(said(&out), ["Agree; Area = 40 sq km", "Agree; Mayor = Ann Lee", "Absent; Area = 40 sq km", "Invented; Mayor = Ann Lee"]);
    // The first of the tries that agree and whose words stand there.
    let of = |at: usize| out.facts[&0][at].call.clone().unwrap();
    let seed = |seed: u64| {
        let requests = model.requests.lock().unwrap();
        key(requests
            .iter()
            .find(|request| request.messages[0].content.starts_with("Document: Agree") && request.sampling.seed == seed)
            .unwrap())
    };
    assert_eq!((of(0), of(1)), (seed(1), seed(2)));
    let report = &out.report;
    assert_eq!((report.left_out, report.fields, report.facts, report.malformed), (2, 4, 4, 4));
    assert_eq!(report.dropped, Dropped::from([("no_reply", 2), ("value", 1)]));
    assert_eq!(report.tables[&0], ["Area", "Mayor"]);
}

#[test]
fn fields_that_are_not_told_are_proposed_once_for_a_group() {
    let sources: Vec<Source> =
        (0..20).map(|at| source(&format!("d{at}"), &format!("T{at}"), &format!("It has {at} km.").repeat(3))).collect();
    let settings = ExtractSettings { facts: false, table: true, tries: 1, ..ExtractSettings::default() };
    let model = script(|request| {
        let text = &request.messages[0].content;
        if text.contains("Above are the beginnings of 6 documents") {
            assert_eq!(text.matches("Document: T").count(), 6);
            return match request.sampling.seed {
                0 => "hm".into(),
                _ => json!({"fields": [{"name": "Length_km", "type": "number"}, {"name": "name", "type": "text"}]}).to_string(),
            };
        }
        assert!(text.contains("- length km (number)\n- name (text)\n"), "{text}");
        let at = text.lines().next().unwrap().trim_start_matches("Document: T").to_string();
        json!({"values": {"length km": {"value": format!("{at} km"), "quote": format!("has {at} km")}}}).to_string()
    });
    let out = extracted(&model, &settings, &sources);
    assert_eq!((out.report.calls, out.report.malformed, out.report.facts), (2 + 20, 1, 20));
    assert_eq!(out.facts[&7][0].relation, "length km");
    // Two documents are no table.
    let out = extracted(&model, &settings, &sources[..2]);
    assert_eq!((out.report.calls, out.report.facts, out.report.tables.len()), (0, 0, 0));
}

#[test]
fn what_it_costs_is_known_before_and_what_does_not_fit_is_not_asked() {
    let mut sources: Vec<Source> = (0..9).map(|at| source(&format!("d{at}"), &format!("T{at}"), &"a river of it ".repeat(50))).collect();
    sources.push(source("long", "Long", &"a river of it ".repeat(3_000)));
    let tokenizer = Tokenizer::approximate();
    let settings = ExtractSettings { facts: true, ..only_table() };
    let mut model = script(|_| "{\"facts\": [], \"values\": {}}".to_string());
    model.window = 8_000;
    let extractor = Extractor { model: &model, settings: &settings, schema: false, key: &key, on: &|_, _, _| {}, tokenizer: &tokenizer };
    let asked: Vec<_> = (0..sources.len()).map(|at| (at, Some(0))).collect();
    let cost = extractor.cost(&sources, &asked, &std::collections::BTreeMap::new()).unwrap();
    let out = pollster::block_on(extractor.run(&sources, &asked, &mut |_| {})).unwrap();
    assert_eq!((out.report.too_long, out.report.documents, out.report.calls), (1, 9, 9 * 4));
    let requests = model.requests.lock().unwrap();
    let texts = || requests.iter().map(|request| request.messages[0].content.as_str());
    let (tokens, bytes) = (texts().map(|text| tokenizer.count(text).unwrap()).sum::<usize>(), texts().map(str::len).sum::<usize>());
    let all = cost.values().fold((0.0, 0.0, 0.0), |sum, load| (sum.0 + load.calls, sum.1 + load.bytes, sum.2 + load.tokens));
    assert_eq!((all.0, all.1), (36.0, bytes as f64));
    assert!(all.2 >= tokens as f64 && all.2 < tokens as f64 * 1.02, "{cost:?} {tokens}");
    assert_eq!((cost["facts"].calls, cost["fields"].calls), (9.0, 27.0));
    assert!(requests.iter().all(|request| request.schema.is_none()));
}

#[test]
fn settings_that_ask_for_nothing_are_refused() {
    let wrong = |settings: ExtractSettings| settings.check().unwrap_err();
    assert!(wrong(ExtractSettings { facts: false, ..Default::default() }).contains("ask for nothing"));
    assert!(wrong(ExtractSettings { table: false, ..only_table() }.with_facts()).contains("table = true"));
    assert!(wrong(ExtractSettings { tries: 0, ..only_table() }).contains("majority"));
    assert!(wrong(ExtractSettings { fields: vec!["a\"b".into()], ..only_table() }).contains("no name"));
    assert!(wrong(ExtractSettings { fields: vec!["date of birth".into(), "Birth date".into()], ..only_table() }).contains("the same"));
    assert!(wrong(ExtractSettings { max_facts: 0, ..Default::default() }).contains("max_facts"));
}

impl ExtractSettings {
    fn with_facts(self) -> Self {
        Self { facts: true, ..self }
    }
}

proptest! {
    #[test]
    fn no_replies_break_it(replies in prop::collection::vec("(\\{|\\}|\\[|\\]|\"facts\": |\"values\": |\"Area\": |\"value\": |\"quote\": |\"relation\": |, |\"40 sq km\"|\"é\"|null|\\PC){0,30}", 1..4), form in 0..3usize) {
        let sources: Vec<Source> = (0..3).map(|at| source(&format!("d{at}"), &format!("T{at}"), "It has 40 sq km.\né")).collect();
        let model = script(move |request| {
            let said = &replies[request.sampling.seed as usize % replies.len()];
            match form {
                0 => said.clone(),
                1 => format!("{{\"facts\": [{{\"relation\": {0}, \"value\": {0}, \"quote\": {0}}}], \"values\": {{\"Area\": {{\"value\": {0}, \"quote\": {0}}}}}}}", json!(said)),
                _ => format!("{{\"facts\": {said}, \"values\": {said}}}"),
            }
        });
        let settings = only_table().with_facts();
        let first = extracted(&model, &settings, &sources);
        prop_assert_eq!(first, extracted(&model, &settings, &sources));
    }
}
