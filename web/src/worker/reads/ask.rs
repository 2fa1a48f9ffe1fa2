//! A further question to what was read.

use std::cell::RefCell;
use std::rc::Rc;

use agent::report::{Cited, Log};
use agent::{Ask, Notes, Progress, ReadSettings, Sources};
use data::{ReadEvent, Span, Support};

use super::keep::{Sink, alone, folder, free_name};
use super::{Say, Shelf, question_of, understands};
use crate::protocol::{Event, Problem, ProblemKind};
use crate::worker::mind::{Mind, of_text};
use crate::worker::store;

/// Sections that a further question reads again at most.
pub(super) const REREAD: usize = 3;

/// The sizes of a read, as far as the model's window reaches.
pub(super) fn settings_of(log: Option<&Log>, mind: &Mind) -> Result<ReadSettings, Problem> {
    let Some(ReadEvent::Started { window, chunk, memory, plan, thinking, answer, style, .. }) = log.and_then(|log| log.events.first())
    else {
        return Err(Problem { kind: ProblemKind::Other, message: "Read the document first.".into() });
    };
    let base = mind.settings(None);
    Ok(ReadSettings {
        window: (*window).min(mind.model.window()),
        chunk: *chunk,
        memory: *memory,
        plan: *plan,
        thinking: *thinking,
        answer: *answer,
        short: style.starts_with("short"),
        mode: if style == "memagent" { agent::Mode::MemAgent } else { agent::Mode::Memory },
        ..base
    })
}

/// A further question: answered from the notes where they hold the evidence; else the sections are named that would be read again, or read
/// again where that is wished.
pub async fn ask(shelf: &RefCell<Shelf>, mind: &Mind, question: &str, reread: bool, say: &Say) -> Result<(), Problem> {
    let (kept, documents, key) = {
        let shelf = shelf.borrow();
        (shelf.kept(), shelf.documents.clone(), shelf.key.clone())
    };
    let settings = settings_of(kept.logs.first(), mind)?;
    understands(mind, shelf.borrow().generated)?;
    let evidence = Notes::gather(kept.logs.iter().map(|log| log.events.as_slice())).evidence(question, &Sources::new(&documents));
    let sections = agent::sections_for(question, &documents, &kept.chunks(), REREAD);
    if !reread && !evidence.is_enough() {
        say(Event::NotInNotes { share: evidence.share, sections });
        return Ok(());
    }
    let number = kept.logs.len();
    let events = Rc::new(RefCell::new(Vec::new()));
    let mut sink = Sink { file: None, events: events.clone(), last: js_sys::Date::now() };
    let (notes, edits) = (evidence.text(), kept.edits());
    let chosen: &[Span] = if reread { &sections } else { &[] };
    let one = Ask { sections: chosen, notes: &notes, edits: &edits, ..Ask::new(question, &[], &mut sink) };
    let index = Cited::new(&documents);
    let mut watch = |progress: Progress<'_>| match progress {
        Progress::Chunk { index, .. } => say(Event::Turn { question: number, index }),
        Progress::Text(text) => say(Event::Text { text: text.into() }),
        _ => {}
    };
    let outcome = agent::read_all(&*mind.model, mind.tokenizer(), &documents, vec![one], &settings, &mut watch).await;
    let reading = outcome.map_err(|problem| of_text(problem.to_string(), ProblemKind::Other))?.pop();
    let answer = reading.map(|reading| reading.answer).unwrap_or_default();
    let mut cited = index.afresh();
    cited.add(kept.read());
    cited.add(sections.iter().cloned().filter(|_| reread));
    let sourced = cited.cite(&answer).iter().any(|citation| matches!(citation.support, Support::Quoted | Support::Supported { .. }));
    if !reread && (answer.contains(agent::NOT_HELD) || !sourced) {
        // An answer without a source is not shown.
        say(Event::NotInNotes { share: evidence.share, sections });
        return Ok(());
    }
    let mut log = Log { name: format!("asks-{}.jsonl", number), later: true, events: events.take() };
    if let Some(key) = &key {
        let _alone = alone(&format!("{key} asks"), say).await;
        // Another reader may have asked this read meanwhile.
        log.name = free_name(key, number).await?;
        let lines: String = log.events.iter().map(|event| serde_json::to_string(event).unwrap_or_default() + "\n").collect();
        store::write(&format!("{}/{}", folder(key), log.name), lines.as_bytes()).await?;
    }
    let mut questions: Vec<String> = kept.logs.iter().map(question_of).collect();
    questions.push(question.into());
    say(Event::Questions { questions });
    for event in &log.events {
        let citations = match event {
            ReadEvent::Answer { text, .. } => cited.cite(text),
            ReadEvent::Chunk { memory, .. } => cited.cite(memory),
            _ => Vec::new(),
        };
        say(Event::Log { question: number, line: Box::new(event.clone()), citations });
    }
    shelf.borrow_mut().logs.push(log);
    Ok(())
}
