//! A proposer's reply: read, held to its form, and traced to the documents.

use std::str::FromStr;

use data::{Check, Derivation, Engine, Fact, Span};
use reward::Rule;
use serde::Deserialize;
use tokenizer::Tokenizer;

use super::{AgentSettings, Task};
use crate::candidate::{Candidate, Reject, empty};
use crate::corpus::Source;
use crate::hash;
use crate::overlap::{normal, words};

/// What facts of quotes are called: whom they are about is the document.
pub const RELATION: &str = "quote";
/// Characters of a quote, and of a question.
const LONGEST: (usize, usize) = (600, 4_000);
/// Wrong options of a choice.
const OPTIONS: usize = 3;

/// What a proposer says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Proposal {
    /// The places that the answer follows from.
    pub evidence: Vec<Quote>,
    /// Without options.
    pub question: String,
    /// In words, of a choice as well.
    pub answer: String,
    /// Wrong answers of a choice.
    #[serde(default)]
    pub options: Vec<String>,
}

/// Words of a document.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quote {
    /// Its number in the prompt, from 1.
    pub document: u64,
    /// As they stand there, but for white space.
    pub quote: String,
}

impl Proposal {
    /// The JSON object of a reply, whatever is thought before it.
    ///
    /// # Errors
    /// There is none, or fields are missing or of another type.
    pub fn read(reply: &str) -> Result<Self, String> {
        let said = agent::strip_thinking(reply);
        let object = said.find('{').zip(said.rfind('}')).and_then(|(from, to)| said.get(from..=to));
        let mut proposal: Self =
            serde_json::from_str(object.ok_or("there is no JSON object")?).map_err(|error| format!("no proposal: {error}"))?;
        for text in [&mut proposal.question, &mut proposal.answer].into_iter().chain(&mut proposal.options) {
            *text = text.trim().to_string();
        }
        Ok(proposal)
    }

    /// Whether it has the form that was asked for, so that a rule can score its answer; `shown` documents there were.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, task: Task, shown: usize, settings: &AgentSettings, tokenizer: &Tokenizer) -> Result<(), String> {
        let length = self.question.chars().count();
        if normal(&self.question).len() < 2 || length > LONGEST.1 {
            return Err(format!("the question has {length} characters: 1 to {} are asked for", LONGEST.1));
        }
        if let Some(place) = numbered(&self.question) {
            return Err(format!("the question speaks of “{place}”, which means nothing to its reader"));
        }
        if normal(&self.answer).len() < 2 || self.answer.contains('\n') {
            return Err("the answer is no text of one line".into());
        }
        let tokens = tokenizer.count(&self.answer).map_err(|error| error.to_string())?;
        if tokens > settings.answer {
            return Err(format!("the answer has {tokens} tokens: {} at most are asked for", settings.answer));
        }
        let rule = Rule::from_str(task.rule()).map_err(|error| error.to_string())?;
        let answers = std::slice::from_ref(&self.answer);
        rule.check(answers).map_err(|why| format!("the answer does not fit the rule {rule}: {why}"))?;
        if rule.score(&format!("Therefore, the answer is ({}).", self.answer), answers) < 1.0 {
            return Err(format!("“{}” does not score by the rule {rule}", self.answer));
        }
        if task == Task::MultipleChoice && self.options.len() != OPTIONS {
            return Err(format!("there are {} wrong options: {OPTIONS} are asked for", self.options.len()));
        }
        if self.evidence.is_empty() {
            return Err("there is no evidence".into());
        }
        match self.evidence.iter().find(|quote| quote.document == 0 || quote.document > shown as u64) {
            Some(quote) => Err(format!("it quotes document {} of {shown}", quote.document)),
            None => Ok(()),
        }
    }

    /// The candidate, not yet a choice, and whether it is grounded: not where a quote does not stand in its document, or where of several
    /// documents only one is quoted. `shown` are the documents in the prompt's order.
    pub fn candidate(&self, task: Task, kind: &str, shown: &[&Source]) -> (Candidate, Result<(), Reject>) {
        let (mut facts, mut loose, mut missing): (Vec<Fact>, usize, Option<String>) = (Vec::new(), 0, None);
        for quote in &self.evidence {
            let source = usize::try_from(quote.document).ok().and_then(|number| shown.get(number.checked_sub(1)?));
            let Some(source) = source else { continue };
            let text: &str = &source.document.text;
            let Some((start, end)) = find(text, &quote.quote) else {
                missing.get_or_insert_with(|| format!("“{}” does not stand in {}", quote.quote, source.document.id));
                continue;
            };
            let value = &text[start..end];
            loose += usize::from(value != quote.quote);
            let doc = source.document.id.clone();
            let id = hash::id("fact", [doc.as_str(), RELATION, value, &start.to_string()]);
            if facts.iter().all(|fact| fact.id != id) {
                let (subject, relation, span) = (source.title.clone(), RELATION.into(), Span { doc, start, end });
                // The words are the document's; which call chose them the transcripts say.
                facts.push(Fact { id, subject, relation, value: value.into(), span, call: None });
            }
        }
        let mut gold: Vec<String> = Vec::new();
        facts.iter().for_each(|fact| gold.extend((!gold.contains(&fact.span.doc)).then(|| fact.span.doc.clone())));
        let outcome = match missing {
            Some(reason) => Err(reason),
            None if gold.len() < shown.len().min(2) => {
                Err(format!("its quotes are of {} of {} documents: it is to need several", gold.len(), shown.len()))
            }
            None => Ok(()),
        };
        let detail = format!("{} quotes of {} of {} documents, {loose} but for white space", facts.len(), gold.len(), shown.len());
        let checks = vec![Check { name: "grounding".into(), passed: Some(outcome.is_ok()), detail }];
        let derivation = Derivation { facts, checks, ..empty(Engine::Agents, paradigm(task, kind)) };
        let candidate = Candidate {
            task: task.name().into(),
            question: self.question.clone(),
            answers: vec![self.answer.clone()],
            rule: task.rule().into(),
            hops: derivation.facts.len().clamp(1, 255) as u8,
            gold,
            never: Vec::new(),
            own: String::new(),
            derivation,
        };
        (candidate, outcome.map_err(|reason| Reject { check: "grounding", reason }))
    }
}

/// The kind of question, in one word: the free kind up to its explanation, else what the task is called within the engine.
fn paradigm(task: Task, kind: &str) -> String {
    let short = kind.split([':', '.', ',', ';']).next().map(words).unwrap_or_default().join("_");
    if short.is_empty() { task.paradigm().into() } else { short }
}

/// A document's number in a question: `Doc 3`, `the second article` is not one.
fn numbered(question: &str) -> Option<String> {
    const CALLED: [&str; 5] = ["doc", "document", "article", "passage", "text"];
    let words = words(question);
    let pair = words.windows(2).find(|pair| CALLED.contains(&pair[0].as_str()) && pair[1].bytes().all(|b| b.is_ascii_digit()))?;
    Some(pair.join(" "))
}

/// Where a quote stands (bytes): exactly, else with other white space.
pub fn find(text: &str, quote: &str) -> Option<(usize, usize)> {
    let quote = quote.trim();
    if normal(quote).len() < 2 || quote.chars().count() > LONGEST.0 {
        return None;
    }
    if let Some(at) = text.find(quote) {
        return Some((at, at + quote.len()));
    }
    let wanted = spaced(quote);
    // The text with single spaces, and where each of its bytes comes from.
    let (mut bare, mut from) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    for (at, c) in text.char_indices() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !bare.ends_with(' ') {
            bare.push(c);
            from.extend(std::iter::repeat_n(at, c.len_utf8()));
        }
    }
    let at = bare.find(&wanted)?;
    // A quote begins and ends with what is no white space, so its last character is as long here as there.
    let last = wanted.chars().next_back()?;
    Some((from[at], from[at + wanted.len() - last.len_utf8()] + last.len_utf8()))
}

/// A text with single spaces between its words.
pub fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::source;
    use proptest::prelude::*;

    fn reply(evidence: &str, question: &str, answer: &str) -> String {
        format!("{{\"reasoning\":\"r\",\"evidence\":[{evidence}],\"question\":\"{question}\",\"answer\":\"{answer}\"}}")
    }

    #[test]
    fn quotes_stand_where_they_are_found_whatever_the_white_space() {
        let text = "Größe\u{a0}und\r\n  Maß: 7 km.\nEnd —\tof it";
        for (quote, stands) in [
            ("Maß: 7 km.", "Maß: 7 km."),
            (" Größe und Maß: ", "Größe\u{a0}und\r\n  Maß:"),
            ("End — of  it", "End —\tof it"),
            ("km. End", "km.\nEnd"),
        ] {
            let (start, end) = find(text, quote).unwrap();
            assert_eq!(&text[start..end], stands);
        }
        for quote in ["", " ", "…", "7 km. of", "maß: 7 km", &text.repeat(40)] {
            assert_eq!(find(text, quote), None, "{quote}");
        }
    }

    #[test]
    fn a_proposal_has_its_form_or_says_what_it_lacks() {
        let (settings, tokenizer) = (AgentSettings::default(), Tokenizer::approximate());
        let quote = "{\"document\":1,\"quote\":\"a\"}";
        let wrong = |reply: &str, task: Task| {
            Proposal::read(reply).and_then(|said| said.check(task, 2, &settings, &tokenizer)).err().unwrap_or_default()
        };
        assert_eq!(wrong(&reply(quote, "Who?", "Ann"), Task::MultiHop), "");
        assert_eq!(wrong(&format!("<think>{{no}}</think>\n```json\n{}\n```", reply(quote, "Who?", "Ann")), Task::Reading), "");
        assert_eq!(wrong("I cannot.", Task::MultiHop), "there is no JSON object");
        assert!(wrong("{\"question\": \"Who?\"}", Task::MultiHop).starts_with("no proposal: missing field"));
        assert!(wrong(&reply(quote, "Who is named in Doc 2?", "Ann"), Task::MultiHop).contains("“doc 2”"));
        assert!(wrong(&reply(quote, "?", "Ann"), Task::MultiHop).contains("1 to 4000"));
        assert!(wrong(&reply(quote, "Who?", &"long ".repeat(30)), Task::MultiHop).contains("tokens"));
        assert!(wrong(&reply(quote, "How many?", "seven or more"), Task::Numeric).contains("rule numeric"));
        assert_eq!(wrong(&reply(quote, "How many?", "1,204 km"), Task::Numeric), "");
        assert!(wrong(&reply(quote, "Who?", "Ann"), Task::MultipleChoice).contains("0 wrong options"));
        assert_eq!(wrong(&reply("", "Who?", "Ann"), Task::Reading), "there is no evidence");
        assert_eq!(wrong(&reply("{\"document\":3,\"quote\":\"a\"}", "Who?", "Ann"), Task::Reading), "it quotes document 3 of 2");
    }

    #[test]
    fn what_is_quoted_are_the_facts() {
        let (a, b) = (source("a", "Mills", "The mill\nwas built in 1931."), source("b", "Rivers", "The river is 7 km long."));
        let two = "{\"document\":2,\"quote\":\"7 km long\"},{\"document\":1,\"quote\":\"mill was built\"},{\"document\":2,\"quote\":\"7 km long\"}";
        let said = Proposal::read(&reply(two, "Who?", "Ann")).unwrap();
        let (candidate, outcome) = said.candidate(Task::Reading, "viewpoint analysis: who", &[&a, &b]);
        outcome.unwrap();
        assert_eq!((candidate.gold.join(" "), candidate.hops, candidate.derivation.facts.len()), ("b a".into(), 2, 2));
        assert_eq!(candidate.derivation.facts[1].value, "mill\nwas built");
        assert_eq!(candidate.derivation.paradigm, "viewpoint_analysis");
        assert_eq!(candidate.derivation.checks[0].detail, "2 quotes of 2 of 2 documents, 1 but for white space");
        let one = Proposal::read(&reply("{\"document\":1,\"quote\":\"1931\"}", "Who?", "Ann")).unwrap();
        let reject = one.candidate(Task::Reading, "", &[&a, &b]).1.unwrap_err();
        assert!(reject.check == "grounding" && reject.reason.contains("1 of 2 documents"), "{reject:?}");
        assert!(one.candidate(Task::Reading, "", &[&a]).1.is_ok());
        let elsewhere = Proposal::read(&reply("{\"document\":1,\"quote\":\"7 km long\"}", "Who?", "Ann")).unwrap();
        let reject = elsewhere.candidate(Task::Reading, "", &[&a, &b]).1.unwrap_err();
        assert_eq!((reject.check, reject.reason.as_str()), ("grounding", "“7 km long” does not stand in a"));
    }

    proptest! {
        #[test]
        fn no_reply_and_no_quote_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), quote in "[aé\"{}]( ?[aé\u{a0}\"{}]){0,8}") {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let _ = Proposal::read(&text);
            let all = format!("{text}{} {text}", quote.replace(' ', "\n\n"));
            if let Some((start, end)) = find(&all, &quote) {
                prop_assert_eq!(spaced(&all[start..end]), spaced(&quote));
            }
            let document = source("d", "T", &all);
            for said in [reply(&format!("{{\"document\":1,\"quote\":{}}}", serde_json::to_string(&quote).unwrap()), "Who?", "x"), text] {
                if let Ok(proposal) = Proposal::read(&said) {
                    let _ = proposal.check(Task::MultipleChoice, 1, &AgentSettings::default(), &Tokenizer::approximate());
                    let (candidate, _) = proposal.candidate(Task::Reading, &quote, &[&document]);
                    for fact in &candidate.derivation.facts {
                        prop_assert_eq!(&all[fact.span.start..fact.span.end], fact.value.as_str());
                    }
                }
            }
        }
    }
}
