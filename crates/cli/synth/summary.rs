//! What a dataset holds, in figures; and its card.

use std::collections::BTreeMap;

use ::synth::Outcome;
use data::Item;
use serde_json::{Value, json};

use super::config::Config;
use super::corpus::Read;

/// Bounds of the lengths that are told apart, in tokens.
const LENGTHS: [usize; 7] = [4_096, 8_192, 16_384, 32_768, 65_536, 131_072, usize::MAX];

/// Counts of rows.
#[derive(Debug, Default)]
pub struct Summary {
    /// Rows.
    pub rows: usize,
    tokens: usize,
    shortest: usize,
    longest: usize,
    /// By task: rows, those that a search answers, and answers with how often.
    tasks: BTreeMap<String, Task>,
    /// By task and links.
    hops: BTreeMap<(String, u8), Links>,
    paradigms: BTreeMap<String, usize>,
    lengths: [usize; LENGTHS.len()],
}

#[derive(Debug, Default)]
struct Task {
    rows: usize,
    searched: usize,
    answers: BTreeMap<String, usize>,
}

/// Rows, and the fewest documents that one of them follows from.
#[derive(Debug, Default)]
struct Links {
    rows: usize,
    documents: usize,
}

impl Summary {
    /// Counts a row.
    pub fn add(&mut self, row: &Item) {
        let tokens = row.extra.get("tokens").and_then(Value::as_u64).unwrap_or(0) as usize;
        self.shortest = if self.rows == 0 { tokens } else { self.shortest.min(tokens) };
        self.longest = self.longest.max(tokens);
        self.rows += 1;
        self.tokens += tokens;
        let task = self.tasks.entry(row.task.clone()).or_default();
        task.rows += 1;
        *task.answers.entry(row.answers.first().map_or(String::new(), |answer| answer.to_lowercase())).or_default() += 1;
        let derivation = row.extra.get("derivation");
        let text = |name: &str| derivation.and_then(|derivation| derivation.get(name)).and_then(Value::as_str).unwrap_or("");
        *self.paradigms.entry(format!("{}: {}", text("engine"), text("paradigm"))).or_default() += 1;
        let checks = derivation.and_then(|derivation| derivation.get("checks")).and_then(Value::as_array);
        let search = checks.and_then(|checks| checks.iter().find(|check| check["name"] == "search"));
        // The check's own words where the passages hold the answer.
        task.searched +=
            usize::from(search.is_some_and(|check| check["detail"].as_str().is_some_and(|said| said.contains("passages hold"))));
        let documents = row.extra.get("documents").and_then(Value::as_array);
        let gold = documents.map_or(0, |parts| parts.iter().filter(|part| part["gold"] == true).count());
        let links = self.hops.entry((row.task.clone(), row.hops)).or_default();
        links.documents = if links.rows == 0 { gold } else { links.documents.min(gold) };
        links.rows += 1;
        self.lengths[LENGTHS.iter().position(|bound| tokens < *bound).unwrap_or(LENGTHS.len() - 1)] += 1;
    }

    /// For a person.
    pub fn lines(&self) -> Vec<String> {
        let mut out = vec![format!("{} rows, {} tokens; contexts of {} to {} tokens", self.rows, self.tokens, self.shortest, self.longest)];
        for (name, task) in &self.tasks {
            let (answer, often) = task.commonest();
            let percent = |count: usize| 100.0 * count as f64 / task.rows as f64;
            out.push(format!(
                "{name:<16}{:>6} rows; the commonest answer (“{answer}”) is right for {:.1} %, a search finds {:.1} %",
                task.rows,
                percent(often),
                percent(task.searched)
            ));
        }
        for ((task, hops), links) in &self.hops {
            out.push(format!("{task:<16}{:>6} rows of {hops} links, each from {} documents at least", links.rows, links.documents));
        }
        out.push(self.bounds().into_iter().map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join("   "));
        out
    }

    fn bounds(&self) -> Vec<(String, usize)> {
        let name = |at: usize| match LENGTHS[at] {
            usize::MAX => format!("{}K and more", LENGTHS[at - 1] / 1024),
            bound => format!("below {}K", bound / 1024),
        };
        self.lengths.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| (name(at), *count)).collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let tasks: serde_json::Map<String, Value> = (self.tasks.iter())
            .map(|(name, task)| {
                let (answer, often) = task.commonest();
                (name.clone(), json!({"rows": task.rows, "commonest": {"answer": answer, "rows": often}, "searched": task.searched}))
            })
            .collect();
        let hops: Vec<Value> = (self.hops.iter())
            .map(|((task, hops), links)| json!({"task": task, "hops": hops, "rows": links.rows, "fewest_documents": links.documents}))
            .collect();
        json!({
            "rows": self.rows, "tokens": self.tokens, "shortest": self.shortest, "longest": self.longest,
            "tasks": tasks, "hops": hops, "paradigms": self.paradigms,
            "lengths": self.bounds().into_iter().collect::<BTreeMap<_, _>>(),
        })
    }
}

impl Task {
    fn commonest(&self) -> (&str, usize) {
        self.answers.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0))).map_or(("", 0), |(answer, often)| (answer, *often))
    }
}

/// The dataset's card, as model hubs show it.
pub fn card(config: &Config, read: &Read, outcomes: &[Outcome], summary: &Summary) -> String {
    let report = read.corpus.report();
    let mut out = String::from(
        "---\ntask_categories:\n- question-answering\nlanguage:\n- en\ntags:\n- long-context\n- synthetic\n- longhand\nconfigs:\n- config_name: default\n  data_files: rows.jsonl\n---\n\n# Long-context questions from documents\n\nMade by `longhand synth run synth.toml` (the configuration lies beside this file). The documents' own licences hold: add yours here.\n\n",
    );
    out += "## Rows\n\n";
    summary.lines().iter().for_each(|line| out += &format!("- {}\n", line.split_whitespace().collect::<Vec<_>>().join(" ")));
    out += "\n| kind | rows |\n| --- | ---: |\n";
    summary.paradigms.iter().for_each(|(name, count)| out += &format!("| {name} | {count} |\n"));
    out += "\n## Documents\n\n| class | documents | tokens |\n| --- | ---: | ---: |\n";
    for (class, (documents, tokens)) in &report.classes {
        out += &format!("| {} | {documents} | {tokens} |\n", format!("{class:?}").to_lowercase());
    }
    if !report.rejected.is_empty() {
        let left: Vec<String> = report.rejected.iter().map(|(check, count)| format!("{check} ({count})")).collect();
        out += &format!("\nLeft out: {}.\n", left.join(", "));
    }
    if let (Some(extraction), Some(model)) = (&read.extraction, &config.model) {
        out += &format!(
            "\n## Facts made by a model\n\nDocuments that state no facts outright were read by {}. Only what stands in them word for word was kept.\n\n",
            model.name
        );
        extraction.lines().iter().for_each(|line| out += &format!("- {line}\n"));
    }
    out += "\n## What was checked\n\n";
    for outcome in outcomes {
        out += &format!("### {}: {} of {} rows\n\n```text\n", outcome.name, outcome.kept, outcome.wanted);
        outcome.waterfall.lines().iter().for_each(|line| out += &format!("{line}\n"));
        out += "```\n\n";
        if !outcome.short.is_empty() {
            out += &format!("Fewer than wanted: {}.\n\n", outcome.short);
        }
    }
    out += &format!(
        "{}\n\n## Columns\n\n`prompt`, `answers`, `rule` (how a reply is scored), `task`, `hops`, `evidence` (bytes in documents), `documents` (their places in the prompt, with hashes), `question`, `tokens` ({}), `derivation` (facts, links, walk, descriptions, table, SQL, result, checks). `longhand synth check rows.jsonl` computes all of it again.\n",
        match &config.model {
            Some(model) => format!(
                "Every row was tried by {}: {} times without its documents, {} times with its own alone and in each of its contexts.",
                model.name, config.trial.closed_book, config.trial.tries
            ),
            None =>
                "No model was asked: whether a question can be answered without its documents (closed book), and how hard it is, is not \
                     known of these rows."
                    .into(),
        },
        if config.tokenizer.is_some() { "of the tokenizer that the configuration names" } else { "estimated" }
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(answer: &str, tokens: usize, said: &str) -> Item {
        serde_json::from_value(json!({
            "id": "r", "task": "reading", "prompt": "p", "answers": [answer], "rule": "contain", "hops": 1, "tokens": tokens,
            "documents": [{"gold": true}, {"gold": false}, {"gold": true}],
            "derivation": {"engine": "graph", "paradigm": "multi_fact", "checks": [{"name": "search", "passed": true, "detail": said}]}
        }))
        .unwrap()
    }

    #[test]
    fn rows_are_counted() {
        let mut summary = Summary::default();
        summary.add(&row("Oslo", 5_000, "the best 5 passages hold what the answer is taken from"));
        summary.add(&row("oslo", 200_000, "the best 5 passages do not hold all of what the answer is taken from"));
        summary.add(&row("Rome", 5_000, ""));
        let lines = summary.lines();
        assert_eq!(lines[0], "3 rows, 210000 tokens; contexts of 5000 to 200000 tokens");
        assert_eq!(lines[1], "reading              3 rows; the commonest answer (“oslo”) is right for 66.7 %, a search finds 33.3 %");
        assert_eq!(lines[2], "reading              3 rows of 1 links, each from 2 documents at least");
        assert_eq!(lines[3], "below 8K: 2   128K and more: 1");
        assert_eq!(summary.json()["tasks"]["reading"]["searched"], 1);
    }
}
