//! Reads: documents opened, read for questions, kept as they go, gone on with, asked further. A read's folder in this browser's storage is
//! laid out like one that `longhand read --save` makes:
//!
//! ```text
//! reads/<key>/read.json         for the list: its name, questions, how far it is
//! reads/<key>/documents.jsonl   a document a line
//! reads/<key>/events.jsonl      the first question's log; events-2.jsonl … those of the others
//! reads/<key>/asks-1.jsonl      later questions, in the order they were asked
//! ```
//!
//! A read that was opened from a file is kept so as soon as something is added to it.

mod again;
mod ask;
mod edit;
mod keep;
mod texts;

use std::cell::RefCell;
use std::rc::Rc;

use agent::report::{self, Cited, Kept, Log, Report};
use agent::{Ask, Progress, ReadSettings};
use data::{Document, ReadEvent, Span};

use self::edit::keep_opened;
use self::keep::{Listed, Sink, alone, folder, key_of, log_name, parse};
use super::mind::{Mind, of_text};
use super::store::{self, File};
use crate::protocol::{Event, Form, OpenedInfo, Problem, ProblemKind};

pub use self::again::again;
pub use self::ask::ask;
pub use self::edit::edit;
pub use self::keep::{delete, kept, open_kept};
pub use self::texts::{generated, sample, tokens};

/// Sends an event to the page.
pub type Say = Rc<dyn Fn(Event)>;

/// What is open.
#[derive(Default)]
pub struct Shelf {
    /// The documents.
    pub documents: Rc<Vec<Document>>,
    /// Whether the demonstration model may read them.
    pub generated: bool,
    /// The logs of the questions, those asked later last.
    pub logs: Vec<Log>,
    /// Where they are kept.
    pub key: Option<String>,
}

impl Shelf {
    /// Puts documents on the shelf; what was there goes.
    pub fn open(&mut self, documents: Vec<Document>, remarks: Vec<String>) -> OpenedInfo {
        *self = Self { generated: generated(&documents), documents: Rc::new(documents), logs: Vec::new(), key: None };
        self.opened(remarks)
    }

    fn opened(&self, remarks: Vec<String>) -> OpenedInfo {
        OpenedInfo {
            documents: self.documents.to_vec(),
            tokens: tokens(&self.documents),
            remarks,
            generated: self.generated,
            question: None,
            answer: None,
            key: self.key.clone(),
        }
    }

    /// Puts a kept read on the shelf and says everything that is in it. Needs no model.
    pub fn show(&mut self, kept: Kept, key: Option<String>, say: &Say) {
        let generated = generated(&kept.documents);
        *self = Self { generated, documents: Rc::new(kept.documents), logs: kept.logs, key };
        say(Event::Opened(self.opened(Vec::new())));
        say(Event::Questions { questions: self.logs.iter().map(question_of).collect() });
        let index = Cited::new(&self.documents);
        for (number, log) in self.logs.iter().enumerate() {
            let mut teller = Teller::new(&index, number, &log.events, say);
            log.events.iter().for_each(|event| teller.tell(event));
        }
    }

    /// Puts back what a page shows: a kept read where there is one, else the documents. Says nothing.
    pub fn restore(&mut self, documents: Vec<Document>, kept: Option<(Kept, String)>) {
        let (documents, logs, key) = match kept {
            Some((kept, key)) => (kept.documents, kept.logs, Some(key)),
            None => (documents, Vec::new(), None),
        };
        *self = Self { generated: generated(&documents), documents: Rc::new(documents), logs, key };
    }

    /// Whether the read that is open is the one for these questions, with this model in these sizes: it then goes on where it is.
    fn goes_on(&self, asked: &[String], model: &str, set: &ReadSettings) -> bool {
        let same = |log: &Log, question: &String| {
            let Some(ReadEvent::Started {
                model: who, question: what, window, chunk, memory, plan, thinking, answer, sampling, style, ..
            }) = log.events.first()
            else {
                return false;
            };
            let outline = set.mode == agent::Mode::Outline;
            (&**who, what) == (model, question)
                && (*window, *chunk, *memory, *plan) == (set.window, set.chunk, set.memory, set.plan)
                && (*thinking, *answer, *sampling) == (set.thinking, set.answer, set.sampling)
                && (style == "outline") == outline
                && (outline || (style.starts_with("short"), style.ends_with("quotes")) == (set.short, set.quotes))
        };
        let own: Vec<&Log> = self.logs.iter().filter(|log| !log.later).collect();
        own.len() == asked.len() && own.iter().zip(asked).all(|(log, question)| same(log, question))
    }

    /// As `longhand export` takes it.
    fn kept(&self) -> Kept {
        Kept { documents: self.documents.to_vec(), logs: self.logs.clone() }
    }

    /// The read as a file: name, media type, text.
    pub fn export(&self, form: Form) -> Result<(String, String, String), Problem> {
        if self.logs.is_empty() {
            return Err(Problem { kind: ProblemKind::Other, message: "Nothing was read yet.".into() });
        }
        let kept = self.kept();
        let name = self.documents.first().map_or("read", |document| document.source.rsplit('/').next().unwrap_or("read"));
        let file = |extension: &str| format!("{}.{extension}", name.rsplit_once('.').map_or(name, |(stem, _)| stem));
        Ok(match form {
            Form::Longhand => (file("longhand"), "application/jsonl".into(), report::pack(&kept)),
            Form::Html => (file("html"), "text/html".into(), report::html(&Report::of(&kept))),
            Form::Markdown => (file("md"), "text/markdown".into(), report::markdown(&Report::of(&kept))),
            Form::Json => (file("json"), "application/json".into(), report::json(&Report::of(&kept)).to_string()),
        })
    }
}

fn question_of(log: &Log) -> String {
    match log.events.first() {
        Some(ReadEvent::Started { question, .. }) => question.clone(),
        _ => String::new(),
    }
}

/// Says a question's log, line by line, with what the documents say to it.
struct Teller<'a> {
    cited: Cited<'a>,
    question: usize,
    say: Say,
}

impl<'a> Teller<'a> {
    fn new(index: &Cited<'a>, question: usize, log: &[ReadEvent], say: &Say) -> Self {
        let style = log.first().map_or("", |event| if let ReadEvent::Started { style, .. } = event { style } else { "" });
        let cited = index.afresh().with_outline(style == "outline").with_quotes(style == "quotes").with_short(style.starts_with("short"));
        Self { cited, question, say: say.clone() }
    }

    /// Takes in what was read, and says nothing.
    fn know(&mut self, event: &ReadEvent) {
        match event {
            ReadEvent::Chunk { doc, start, end, .. } => self.cited.add([Span { doc: doc.clone(), start: *start, end: *end }]),
            ReadEvent::Selected { spans } => self.cited.add(spans.iter().cloned()),
            _ => {}
        }
    }

    fn tell(&mut self, event: &ReadEvent) {
        self.know(event);
        let citations = match event {
            ReadEvent::Chunk { memory, .. } => self.cited.memory(memory).to_vec(),
            ReadEvent::Answer { text, .. } => {
                if self.cited.read().is_empty() {
                    self.cited.add_all();
                }
                self.cited.cite(text)
            }
            ReadEvent::Edited { memory, .. } => self.cited.memory(memory).to_vec(),
            ReadEvent::Started { .. } | ReadEvent::Selected { .. } | ReadEvent::Undone | ReadEvent::Given { .. } => Vec::new(),
        };
        (self.say)(Event::Log { question: self.question, line: Box::new(event.clone()), citations });
    }
}

/// The demonstration model is given nothing but its own world.
fn understands(mind: &Mind, generated: bool) -> Result<(), Problem> {
    let message = "The demonstration model understands only its generated world. Choose a model that can read this document.";
    let foreign = mind.info.tiny && !generated;
    if foreign { Err(Problem { kind: ProblemKind::Foreign, message: message.into() }) } else { Ok(()) }
}

/// The logs of the read itself, and those of what was asked later.
fn own_and_later(logs: &[Log]) -> (Vec<Log>, Vec<Log>) {
    logs.iter().cloned().partition(|log| !log.later)
}

/// Reads what is on the shelf for `questions`. What was read of the same read before is not read again.
pub async fn read(shelf: &RefCell<Shelf>, mind: &Mind, questions: Vec<String>, chunk: Option<usize>, say: &Say) -> Result<(), Problem> {
    let (documents, generated) = (shelf.borrow().documents.clone(), shelf.borrow().generated);
    if documents.is_empty() {
        return Err(Problem { kind: ProblemKind::Document, message: "Open a document first.".into() });
    }
    understands(mind, generated)?;
    let mut settings = mind.settings(chunk);
    let outline = questions.iter().all(|question| question.trim().is_empty());
    if outline {
        settings.mode = agent::Mode::Outline;
        settings.short = false;
    }
    let asked: Vec<String> = if outline { vec![String::new()] } else { questions };
    let same = shelf.borrow().goes_on(&asked, &mind.info.name, &settings);
    let (known, later) = if same { own_and_later(&shelf.borrow().logs) } else { Default::default() };
    if same {
        // Where nothing can be kept, that is noticed below.
        let _ = keep_opened(shelf, say).await;
    }
    let kept = shelf.borrow().key.clone().filter(|_| same);
    let key = kept.unwrap_or_else(|| key_of(&documents, &asked, &mind.info.name, &settings));
    let _alone = alone(&key, say).await;
    let mut sinks = Vec::new();
    let mut pasts = Vec::new();
    let mut unkept = None;
    for number in 0..asked.len() {
        let file = match File::create(&format!("{}/{}", folder(&key), log_name(number))).await {
            Ok(file) => Some(file),
            Err(problem) if problem.kind == ProblemKind::OtherTab => return Err(problem),
            Err(problem) => {
                unkept = Some(problem.message);
                None
            }
        };
        let past = match &file {
            Some(file) => parse(&file.read_all()?),
            None => known.get(number).map(|log| log.events.clone()).unwrap_or_default(),
        };
        if let Some(file) = &file {
            // A line torn by a closed tab goes.
            let lines: Vec<u8> =
                past.iter().flat_map(|event| serde_json::to_vec(event).unwrap_or_default().into_iter().chain([b'\n'])).collect();
            if file.len() != lines.len() as u64 {
                file.clear()?;
                file.append(&lines)?;
            }
        }
        let events = Rc::new(RefCell::new(past.clone()));
        sinks.push(Sink { file, events, last: js_sys::Date::now() });
        pasts.push(past);
    }
    let list = match &unkept {
        None => {
            let lines: String = documents.iter().map(|document| serde_json::to_string(document).unwrap_or_default() + "\n").collect();
            store::write(&format!("{}/documents.jsonl", folder(&key)), lines.as_bytes()).await?;
            Some(File::create(&format!("{}/read.json", folder(&key))).await?)
        }
        Some(_) => None,
    };
    let logs: Vec<Rc<RefCell<Vec<ReadEvent>>>> = sinks.iter().map(|sink| sink.events.clone()).collect();
    {
        let mut shelf = shelf.borrow_mut();
        shelf.key = unkept.is_none().then(|| key.clone());
        shelf.key.iter().for_each(|key| say(Event::Kept { key: key.clone() }));
        shelf.logs = (0..asked.len()).map(|number| Log { name: log_name(number), later: false, events: pasts[number].clone() }).collect();
        shelf.logs.extend(later.iter().cloned());
    }
    say(Event::Questions { questions: asked.iter().cloned().chain(later.iter().map(question_of)).collect() });
    let index = Cited::new(&documents);
    let tellers = RefCell::new(Vec::new());
    for (number, past) in pasts.iter().enumerate() {
        let mut teller = Teller::new(&index, number, past, say);
        teller.cited = teller.cited.with_outline(outline).with_quotes(settings.quotes && !settings.short).with_short(settings.short);
        past.iter().for_each(|event| teller.tell(event));
        tellers.borrow_mut().push(teller);
    }
    for (number, log) in later.iter().enumerate() {
        let mut teller = Teller::new(&index, asked.len() + number, &log.events, say);
        log.events.iter().for_each(|event| teller.tell(event));
    }
    let name = documents.first().map(|document| document.source.clone()).unwrap_or_default();
    let chunks = std::cell::Cell::new(0);
    let listed = |read: usize| {
        let Some(file) = &list else { return };
        let line = Listed { name: name.clone(), questions: asked.clone(), read, chunks: chunks.get(), changed: js_sys::Date::now() };
        // The list is a convenience: the logs are what counts.
        let _ = file.clear().and_then(|()| file.append(&serde_json::to_vec(&line).unwrap_or_default())).and_then(|()| file.flush());
    };
    let mut watch = |progress: Progress<'_>| match progress {
        Progress::Planned { chunks: all, resumed, tokens } => {
            chunks.set(all);
            listed(resumed);
            say(Event::Planned { chunks: all, resumed, tokens });
        }
        Progress::Chunk { question, index, .. } => say(Event::Turn { question, index }),
        Progress::Text(text) => say(Event::Text { text: text.into() }),
        Progress::Event { question, event } => {
            // The line as it was logged, with its time.
            let line = logs[question].borrow().last().cloned().unwrap_or_else(|| event.clone());
            if let ReadEvent::Chunk { index, .. } = &line {
                listed(index + 1);
            }
            tellers.borrow_mut()[question].tell(&line);
            if let Some(log) = shelf.borrow_mut().logs.get_mut(question) {
                log.events.clone_from(&logs[question].borrow());
            }
        }
    };
    let asks = sinks.iter_mut().zip(&pasts).zip(&asked).map(|((sink, past), question)| Ask::new(question, past, sink)).collect();
    let readings = agent::read_all(&*mind.model, mind.tokenizer(), &documents, asks, &settings, &mut watch).await;
    // A log that was begun before the read stopped has lines that no progress told of.
    for (number, events) in logs.iter().enumerate() {
        if let Some(log) = shelf.borrow_mut().logs.get_mut(number) {
            log.events.clone_from(&events.borrow());
        }
    }
    let readings = readings.map_err(|problem| of_text(problem.to_string(), ProblemKind::Other))?;
    for (question, reading) in readings.into_iter().enumerate() {
        let (covered, bytes) = reading.coverage;
        say(Event::Coverage { question, covered, bytes, skipped: reading.skipped });
    }
    Ok(())
}
