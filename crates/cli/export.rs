//! `longhand export`: a kept read as one page that needs nothing else, as Markdown, or as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agent::Sources;
use anyhow::{Context, Result, bail, ensure};
use data::{Citation, Document, ReadEvent, Span, Support};
use serde_json::{Value, json};

use crate::kept::Kept;

const PAGE: &str = include_str!("export.html");

/// Writes a read that was kept with `read --save` as a page, Markdown or JSON. No model is needed.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand export my-read --html my-read.html\n  longhand export my-read --md -")]
pub struct ExportArgs {
    /// The directory given to `read --save`.
    #[arg(value_name = "DIR")]
    run: PathBuf,
    /// One self-contained page: source, notes at every chunk, coverage, the answer with its citations. `-` is standard output.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Question, answer and sources as Markdown.
    #[arg(long, value_name = "FILE")]
    md: Option<PathBuf>,
    /// Everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ExportArgs) -> Result<()> {
    ensure!(args.html.is_some() || args.md.is_some() || args.json.is_some(), "say what to write: --html FILE, --md FILE or --json FILE");
    let report = Report::open(&args.run)?;
    if let Some(path) = &args.html {
        write(path, &report.html())?;
    }
    if let Some(path) = &args.md {
        write(path, &report.markdown())?;
    }
    if let Some(path) = &args.json {
        write(path, &format!("{:#}\n", report.json()))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if path.as_os_str() == "-" {
        use std::io::Write;
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A turn of the read.
struct Turn {
    span: Span,
    tokens: usize,
    memory: String,
    plan: String,
    citations: Vec<Citation>,
}

/// A kept read with its citations.
struct Report {
    documents: Vec<Document>,
    model: String,
    question: String,
    chunks: usize,
    turns: Vec<Turn>,
    /// What a pass over a part saw.
    selected: Option<Vec<Span>>,
    answer: Option<(String, Vec<Citation>)>,
}

impl Report {
    fn open(run: &Path) -> Result<Self> {
        let Kept { documents, logs } = Kept::open(run)?;
        let Some(events) = logs.into_iter().next() else { bail!("{} holds no read", run.display()) };
        let Some(ReadEvent::Started { model, question, chunks, .. }) = events.first() else { bail!("{} holds no read", run.display()) };
        let mut report = Self {
            model: model.clone(),
            question: question.clone(),
            chunks: *chunks,
            turns: Vec::new(),
            selected: None,
            answer: None,
            documents,
        };
        report.cite(&events);
        Ok(report)
    }

    /// Citations as they were shown: each from what had been read by then.
    fn cite(&mut self, events: &[ReadEvent]) {
        let sources = Sources::new(&self.documents);
        let mut read: Vec<Span> = Vec::new();
        for event in events {
            match event {
                ReadEvent::Chunk { doc, start, end, tokens, memory, plan, .. } => {
                    let span = Span { doc: doc.clone(), start: *start, end: *end };
                    read.push(span.clone());
                    let earlier = self.turns.last().map_or(("", &[][..]), |turn| (turn.memory.as_str(), &turn.citations[..]));
                    let citations = sources.recite(earlier, memory, Some(&read));
                    self.turns.push(Turn { span, tokens: *tokens, memory: memory.clone(), plan: plan.clone(), citations });
                }
                ReadEvent::Selected { spans } => {
                    read.extend(spans.iter().cloned());
                    self.selected = Some(spans.clone());
                }
                ReadEvent::Answer { text, .. } => {
                    let whole = self.chunks == 0 && self.selected.is_none();
                    let citations = if whole { sources.cite(text) } else { sources.cite_read(text, &read) };
                    self.answer = Some((text.clone(), citations));
                }
                ReadEvent::Started { .. } => {}
            }
        }
    }

    /// (bytes read, all bytes, what was not read).
    fn coverage(&self) -> ((usize, usize), Vec<Span>) {
        let number = |span: &Span| self.documents.iter().position(|document| document.id == span.doc).unwrap_or(0);
        let spans: Vec<(usize, usize, usize)> = match (&self.selected, self.chunks) {
            (Some(spans), _) => spans.iter().map(|span| (number(span), span.start, span.end)).collect(),
            (None, 0) if self.answer.is_some() => self.documents.iter().enumerate().map(|(n, d)| (n, 0, d.text.len())).collect(),
            _ => self.turns.iter().map(|turn| (number(&turn.span), turn.span.start, turn.span.end)).collect(),
        };
        agent::coverage(&self.documents, spans)
    }

    fn places(&self, citation: &Citation) -> Option<String> {
        let source = citation.source.as_ref()?;
        let document = self.documents.iter().find(|document| document.id == source.span.doc)?;
        Some(document.place(&document.source, source.span.start))
    }

    fn json(&self) -> Value {
        let citations = |citations: &[Citation]| -> Value {
            citations.iter().map(|citation| json!({"citation": citation, "place": self.places(citation)})).collect()
        };
        let ((covered, bytes), skipped) = self.coverage();
        json!({
            "question": self.question,
            "model": self.model,
            "answer": self.answer.as_ref().map(|(text, cited)| json!({"text": text, "citations": citations(cited)})),
            "coverage": {"covered": covered, "bytes": bytes, "skipped": skipped},
            "turns": self.turns.iter().map(|turn| json!({"span": turn.span, "tokens": turn.tokens, "memory": turn.memory, "plan": turn.plan,
                "citations": citations(&turn.citations)})).collect::<Value>(),
        })
    }

    fn markdown(&self) -> String {
        let ((covered, bytes), skipped) = self.coverage();
        let mut out = format!("# {}\n\n", self.question);
        match &self.answer {
            None => out.push_str("*The read has not ended: there is no answer yet.*\n"),
            Some((answer, citations)) => {
                out.push_str(answer);
                out.push_str("\n\n## Sources\n\n");
                for citation in citations.iter().filter(|citation| citation.support != Support::NoClaim) {
                    let sentence = answer.get(citation.start..citation.end).unwrap_or_default().trim().replace('\n', " ");
                    let quote = citation.source.as_ref().map_or("", |source| &source.quote).replace('\n', " ");
                    out.push_str(&match (citation.support, self.places(citation)) {
                        (Support::Quoted, Some(place)) => format!("- {sentence}\n  quoted from {place}: “{quote}”\n"),
                        (Support::Supported { score }, Some(place)) => {
                            format!("- {sentence}\n  supported ({score:.2}) by {place}: “{quote}”\n")
                        }
                        _ => format!("- {sentence}\n  no source found\n"),
                    });
                }
            }
        }
        out.push_str(&format!("\n{}\n\n", self.model));
        out.push_str(&format!("{:.1} % of {bytes} bytes were read.\n", 100.0 * covered as f64 / bytes.max(1) as f64));
        for span in skipped {
            out.push_str(&format!("- not read: {} bytes {}–{}\n", span.doc, span.start, span.end));
        }
        out
    }

    /// The page: the data of [`page`](Self::page) inside a script of the type of data.
    fn html(&self) -> String {
        // Inside a script element only `</script` and `<!--` mean anything; JSON can say `<` otherwise.
        let data = self.page().to_string().replace('<', "\\u003c");
        PAGE.replacen("{{data}}", &data, 1)
    }

    /// What the page shows: texts cut at every place something points to, so that no offsets are left for JavaScript to count.
    fn page(&self) -> Value {
        let mut marks: Vec<(Span, String)> = Vec::new();
        let mut cited = |text: &str, citations: &[Citation]| -> Value {
            let mut parts = Vec::new();
            let mut at = 0;
            for citation in citations {
                parts.push(json!({"text": &text[at..citation.start]}));
                let (class, score) = match citation.support {
                    Support::Quoted => ("quoted", None),
                    Support::Supported { score } => ("supported", Some(score)),
                    Support::NotFound => ("none", None),
                    Support::NoClaim => ("", None),
                };
                let mark = citation.source.as_ref().map(|source| {
                    let known = marks.iter().position(|(span, _)| *span == source.span);
                    known.unwrap_or_else(|| {
                        marks.push((source.span.clone(), self.places(citation).unwrap_or_default()));
                        marks.len() - 1
                    })
                });
                parts.push(json!({"text": &text[citation.start..citation.end], "class": class, "score": score, "mark": mark}));
                at = citation.end;
            }
            parts.push(json!({"text": &text[at..]}));
            parts.into()
        };
        let turns: Vec<Value> = self
            .turns
            .iter()
            .map(|turn| json!({"memory": cited(&turn.memory, &turn.citations), "plan": turn.plan, "tokens": turn.tokens}))
            .collect();
        let answer = self.answer.as_ref().map(|(text, citations)| cited(text, citations));
        let ((covered, bytes), skipped) = self.coverage();
        let documents: Vec<Value> = self
            .documents
            .iter()
            .map(|document| json!({"name": document.source, "parts": self.parts(document, &marks, &skipped)}))
            .collect();
        json!({
            "question": self.question,
            "model": self.model,
            "answer": answer,
            "turns": turns,
            "planned": self.chunks,
            "covered": covered,
            "bytes": bytes,
            "places": marks.iter().map(|(_, place)| place).collect::<Vec<_>>(),
            "documents": documents,
        })
    }

    /// A document cut at chunks, cited spans and gaps: each part with its marks, its chunk and whether it was read.
    fn parts(&self, document: &Document, marks: &[(Span, String)], skipped: &[Span]) -> Vec<Value> {
        let of = |span: &&Span| span.doc == document.id;
        let mut borders: BTreeMap<usize, ()> = [(0, ()), (document.text.len(), ())].into();
        let spans = marks.iter().map(|(span, _)| span).chain(skipped).chain(self.turns.iter().map(|turn| &turn.span));
        for span in spans.filter(of) {
            borders.insert(span.start, ());
            borders.insert(span.end, ());
        }
        let borders: Vec<usize> = borders.into_keys().collect();
        let inside = |span: &Span, at: usize| span.doc == document.id && span.start <= at && at < span.end;
        borders
            .windows(2)
            .map(|pair| {
                let at = pair[0];
                let marked: Vec<usize> = (0..marks.len()).filter(|&mark| inside(&marks[mark].0, at)).collect();
                json!({
                    "text": document.text.get(at..pair[1]).unwrap_or_default(),
                    "marks": marked,
                    "chunk": self.turns.iter().position(|turn| inside(&turn.span, at)),
                    "read": !skipped.iter().any(|span| inside(span, at)),
                })
            })
            .collect()
    }
}
