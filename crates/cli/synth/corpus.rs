//! The documents of a configuration, admitted, with what they say.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use ::synth::{Benchmarks, Class, Corpus, Extracted, Extraction, Graph, Ground, Group, Maker, facts, names_something, part_title, parts};
use anyhow::{Context, Result, anyhow, ensure};
use data::{Document, Fact, Place};
use serde_json::{Value, json};
use tokenizer::Tokenizer;

use super::config::{Config, Documents, Title};

/// Reasons and relations that are named.
const NAMED: usize = 8;
/// Walks are counted so far.
const WALKS: usize = 100_000;

/// What was read.
pub struct Read {
    /// Those admitted and those not.
    pub corpus: Corpus,
    /// What each of them says.
    pub facts: Vec<Vec<Fact>>,
    /// Their links.
    pub graph: Graph,
    /// What lengths are measured with.
    pub tokenizer: Tokenizer,
    /// How the model's facts came out, where it was asked for them.
    pub extraction: Option<Extraction>,
    /// Of each document admitted the `[[documents]]` that named it, by number, if those may have a table.
    entries: Vec<Option<usize>>,
    /// (path, why) of files that could not be opened.
    skipped: Vec<(String, String)>,
    /// It took so long.
    pub seconds: f64,
}

impl Read {
    /// Opens, admits and reads everything; what cannot be opened in a folder is counted, a path that holds nothing is an error.
    pub fn new(config: &Config) -> Result<Self> {
        let begun = Instant::now();
        let tokenizer = match &config.tokenizer {
            Some(path) => tokenizer(path)?,
            None => Tokenizer::approximate(),
        };
        let (corpus, graph) = (Corpus::default(), Graph::default());
        let mut read =
            Self { corpus, facts: Vec::new(), graph, tokenizer, extraction: None, entries: Vec::new(), skipped: Vec::new(), seconds: 0.0 };
        for (number, entry) in config.documents.iter().enumerate() {
            for path in &entry.paths {
                let opened = documents::open(path).map_err(|error| anyhow!("cannot read {}: {error}", path.display()))?;
                let all = opened.documents.len();
                ensure!(all > 0 || !opened.skipped.is_empty(), "{} holds nothing that can be read", path.display());
                read.skipped.extend(opened.skipped.into_iter().map(|skipped| (skipped.path, skipped.why.to_string())));
                for converted in opened.documents {
                    let mut document = converted.document;
                    if path.is_dir() && !entry.ending.is_empty() && !ends(&document.source, &entry.ending) {
                        continue;
                    }
                    document.id = id(path, &document.source);
                    read.add(document, entry, config)?;
                    read.entries.resize(read.corpus.sources.len(), entry.table.then_some(number));
                }
            }
        }
        read.seconds = begun.elapsed().as_secs_f64();
        Ok(read)
    }

    /// Admits a document, in parts where it is long, and reads what it says.
    fn add(&mut self, document: Document, entry: &Documents, config: &Config) -> Result<()> {
        let title =
            (entry.title.iter().filter_map(|by| self::title(&document, by)).find(|title| names_something(title))).unwrap_or_default();
        let class = entry.class.unwrap_or_else(|| Class::guess(&document));
        let parts = if entry.part > 0 { parts(document, entry.part, &self.tokenizer)? } else { vec![document] };
        let of = parts.len();
        for (at, document) in parts.into_iter().enumerate() {
            let (corpus, filters, tokenizer) = (&mut self.corpus, &config.filters, &self.tokenizer);
            let added = match of {
                1 => corpus.add(document, &title, class, filters, tokenizer),
                _ => corpus.add_part(document, &part_title(&title, at + 1, of), &title, class, filters, tokenizer),
            };
            if let Ok(source) = added {
                let found = facts(source);
                self.graph.add(source, found.clone());
                self.facts.push(found);
            }
        }
        Ok(())
    }

    /// Documents that state no facts outright and are no source code: (place among the sources, number of their `[[documents]]` if those
    /// may have a table).
    pub fn prose(&self) -> Vec<(usize, Option<usize>)> {
        let sources = self.corpus.sources.iter().zip(&self.facts).zip(&self.entries).enumerate();
        let prose = sources.filter(|(_, ((source, facts), _))| facts.is_empty() && !source.document.code);
        prose.map(|(at, (_, entry))| (at, *entry)).collect()
    }

    /// Takes what a model found, and links the documents anew.
    pub fn take(&mut self, found: Extracted) {
        for (document, facts) in found.facts {
            self.facts[document] = facts;
        }
        self.extraction = Some(found.report);
        self.graph = Graph::default();
        for (source, facts) in self.corpus.sources.iter().zip(&self.facts) {
            self.graph.add(source, facts.clone());
        }
        self.extraction.iter().flat_map(Extraction::lines).for_each(|line| eprintln!("{line}"));
        self.show_links();
    }

    /// For a person.
    pub fn show(&self) {
        let report = self.corpus.report();
        for (path, why) in self.skipped.iter().take(NAMED) {
            eprintln!("skipped {path}: {why}");
        }
        if self.skipped.len() > NAMED {
            eprintln!("skipped {} files more", self.skipped.len() - NAMED);
        }
        for (class, (documents, tokens)) in &report.classes {
            eprintln!("{:<14} {documents:>6} documents {tokens:>10} tokens", format!("{class:?}").to_lowercase());
        }
        for (check, count) in &report.rejected {
            let example = self.corpus.rejected.iter().find(|(_, reject)| reject.check == *check);
            let example = example.map_or(String::new(), |(id, reject)| format!(" ({id}: {})", reject.reason));
            eprintln!("left out       {count:>6} for {check}{example}");
        }
        self.show_links();
    }

    fn show_links(&self) {
        let graph = self.graph.report();
        eprintln!(
            "{} facts, {} entities, {} links of {} kinds; the longest walk found has {}; {} s",
            graph.facts,
            graph.entities,
            graph.edges,
            graph.relations.len(),
            graph.longest,
            self.seconds.round()
        );
        if let Some(prose) = graph.prose {
            eprintln!(
                "facts of prose name {} entities; {} of them lead from one to another and to nobody else; the longest walk over them has {}",
                prose.entities, prose.links, prose.longest
            );
        }
    }

    /// What rows are made from.
    pub fn ground<'a>(&'a self, benchmarks: &'a Benchmarks) -> Ground<'a> {
        Ground { corpus: &self.corpus, facts: &self.facts, graph: &self.graph, benchmarks, tokenizer: &self.tokenizer }
    }

    /// What the documents give of a group, as far as it can be known without making it.
    pub fn feasible(&self, group: &Group) -> String {
        match group.engine {
            Maker::Graph | Maker::Choice => {
                let feasible = self.graph.feasible(group.hops, WALKS);
                match feasible.short {
                    Some(short) => format!("none can be made: {short}"),
                    None => format!("{}{} walks of {} links", if feasible.more { "more than " } else { "" }, feasible.walks, group.hops),
                }
            }
            Maker::Table | Maker::Dialogue => {
                let telling = self.facts.iter().filter(|facts| !facts.is_empty()).count();
                format!("{telling} documents state facts")
            }
            Maker::Agents => {
                let (all, agents) = (self.corpus.sources.len(), &group.agents);
                format!("clusters of {} of {all} documents, each visited {} times", agents.documents, agents.rounds)
            }
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let report = self.corpus.report();
        let graph = self.graph.report();
        let classes: serde_json::Map<String, Value> = (report.classes.iter())
            .map(|(class, (documents, tokens))| (format!("{class:?}").to_lowercase(), json!({"documents": documents, "tokens": tokens})))
            .collect();
        let mut out = json!({
            "classes": classes,
            "rejected": report.rejected,
            "skipped": self.skipped.len(),
            "graph": {
                "documents": graph.documents, "entities": graph.entities, "facts": graph.facts, "edges": graph.edges,
                "relations": graph.relations, "unresolved": graph.unresolved.values().sum::<usize>(), "alone": graph.alone, "longest": graph.longest,
            },
        });
        if let Some(prose) = graph.prose {
            out["graph"]["prose"] = json!({"entities": prose.entities, "links": prose.links, "longest": prose.longest});
        }
        if let Some(extraction) = &self.extraction {
            out["extract"] = extraction.json();
        }
        out
    }

    /// A line for each document, admitted or not.
    pub fn list(&self, out: &mut impl Write) -> Result<()> {
        for (source, facts) in self.corpus.sources.iter().zip(&self.facts) {
            let line = json!({
                "id": source.document.id, "title": source.title, "class": format!("{:?}", source.class).to_lowercase(),
                "tokens": source.tokens, "facts": facts.len(), "sha256": source.sha256,
            });
            writeln!(out, "{line}")?;
        }
        for (id, reject) in &self.corpus.rejected {
            writeln!(out, "{}", json!({"id": id, "rejected": reject.check, "reason": reject.reason}))?;
        }
        for (path, why) in &self.skipped {
            writeln!(out, "{}", json!({"id": path, "rejected": "unreadable", "reason": why}))?;
        }
        Ok(())
    }
}

fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read the tokenizer {}", file.display()))?;
    Tokenizer::from_json(&bytes).with_context(|| format!("{} is no tokenizer", file.display()))
}

/// A document's id: its path from the folder that was named, that folder's name first. The same wherever the folder lies.
fn id(given: &Path, source: &str) -> String {
    let last = given.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let inner = Path::new(source).strip_prefix(given).ok().filter(|inner| !inner.as_os_str().is_empty());
    match inner {
        Some(inner) => format!("{last}/{}", inner.to_string_lossy()),
        None if given.is_dir() => source.to_string(),
        None => last,
    }
}

fn ends(source: &str, endings: &[String]) -> bool {
    let ending = Path::new(source).extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    endings.iter().any(|wanted| wanted.trim_start_matches('.').to_lowercase() == ending)
}

/// What a document is called; none where it does not say.
fn title(document: &Document, by: &Title) -> Option<String> {
    let text: &str = &document.text;
    match by {
        Title::Name | Title::Unknown(_) => {
            Path::new(&document.source).file_stem().map(|stem| stem.to_string_lossy().replace(['_', '-'], " ").trim().to_string())
        }
        Title::Line => {
            let line = text.lines().map(|line| line.trim_start_matches(['#', '=', '*', ' ']).trim()).find(|line| !line.is_empty())?;
            Some(line.chars().take(120).collect())
        }
        Title::Pointer(wanted) => {
            let is = |place: &Place| matches!(place, Place::Pointer { pointer } if pointer == wanted);
            let start = document.marks.iter().find(|mark| is(&mark.place))?.start;
            let line = text.get(start..)?.lines().next()?;
            let value = line.split_once(": ").map_or(line, |(_, value)| value).trim().trim_matches('"');
            Some(value.to_string()).filter(|value| !value.is_empty())
        }
    }
}
