//! An answer given again, from notes that a person changed.

use std::cell::RefCell;
use std::rc::Rc;

use agent::{Ask, Notes, Progress, Sources};
use data::ReadEvent;

use super::ask::settings_of;
use super::edit::add;
use super::keep::Sink;
use super::{Say, Shelf, question_of, understands};
use crate::protocol::{Event, Problem, ProblemKind};
use crate::worker::mind::{Mind, of_text};

/// Answers a question again with one call. The read itself is not repeated, whoever read; a question asked later is put to the notes as
/// they are now.
pub async fn again(shelf: &RefCell<Shelf>, mind: &Mind, number: usize, say: &Say) -> Result<(), Problem> {
    let (kept, documents) = (shelf.borrow().kept(), shelf.borrow().documents.clone());
    understands(mind, shelf.borrow().generated)?;
    let none = || Problem { kind: ProblemKind::Other, message: "There is no such question.".into() };
    let log = kept.logs.get(number).ok_or_else(none)?;
    let settings = settings_of(Some(log), mind)?;
    let question = question_of(log);
    let events = Rc::new(RefCell::new(Vec::new()));
    let mut sink = Sink { file: None, events: events.clone(), last: js_sys::Date::now() };
    let others = kept.logs.iter().filter(|other| other.name != log.name).map(|log| log.events.as_slice());
    let evidence = Notes::gather(others).evidence(&question, &Sources::new(&documents));
    let not_held = || Event::NotInNotes {
        share: evidence.share,
        sections: agent::sections_for(&question, &documents, &kept.chunks(), super::ask::REREAD),
    };
    let (notes, edits) = (evidence.text(), kept.edits());
    let ask = Ask::new(&question, &log.events, &mut sink);
    let ask = match log.later {
        // Without notes it would be read for anew.
        true if evidence.notes.is_empty() => {
            say(not_held());
            return Ok(());
        }
        true => Ask { notes: &notes, edits: &edits, ..ask },
        false => Ask { again: true, ..ask },
    };
    let mut watch = |progress: Progress<'_>| {
        if let Progress::Text(text) = progress {
            say(Event::Text { text: text.into() });
        }
    };
    let outcome = agent::read_all(&*mind.model, mind.tokenizer(), &documents, vec![ask], &settings, &mut watch).await;
    outcome.map_err(|problem| of_text(problem.to_string(), ProblemKind::Other))?;
    let lines = events.take();
    let held = |event: &ReadEvent| !matches!(event, ReadEvent::Answer { text, .. } if text.contains(agent::NOT_HELD));
    if log.later && !lines.iter().all(held) {
        say(not_held());
        return Ok(());
    }
    add(shelf, number, &lines, say).await
}
