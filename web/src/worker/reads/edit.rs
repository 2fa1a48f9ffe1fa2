//! Notes that a person changes: a line in the question's log, and back.

use std::cell::RefCell;

use agent::edits::{self, Edits};
use agent::report::{Cited, Log, pack};
use data::ReadEvent;
use sha2::{Digest, Sha256};

use super::keep::{Listed, folder, log_name, parse};
use super::{Say, Shelf, Teller, own_and_later, question_of};
use crate::protocol::{Event, Problem, ProblemKind};
use crate::worker::store::{self, File};
use crate::worker::weights::hex;

/// Makes `memory` the last notes of a question, or takes the last change back. Where that can't be kept, it holds in this tab all the same, and
/// the problem says so.
pub async fn edit(shelf: &RefCell<Shelf>, question: usize, memory: Option<&str>, say: &Say) -> Result<(), Problem> {
    let line = {
        let shelf = shelf.borrow();
        let log = shelf.logs.get(question).filter(|log| !log.later).ok_or_else(nothing)?;
        match memory {
            Some(memory) => edits::edit(&log.events, memory),
            None => Edits::of(&log.events).can_undo().then_some(ReadEvent::Undone),
        }
    };
    match line {
        Some(line) => add(shelf, question, &[line], say).await,
        None => Ok(()),
    }
}

fn nothing() -> Problem {
    Problem { kind: ProblemKind::Other, message: "There are no notes of that question.".into() }
}

/// Adds lines to a question's log: in this browser's storage first, then to what is open and shown.
pub(super) async fn add(shelf: &RefCell<Shelf>, question: usize, lines: &[ReadEvent], say: &Say) -> Result<(), Problem> {
    let kept = match keep_opened(shelf, say).await {
        Ok(()) => append(shelf, question, lines).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = &kept
        && problem.kind == ProblemKind::OtherTab
    {
        return kept;
    }
    let (documents, before) = {
        let mut shelf = shelf.borrow_mut();
        let log = shelf.logs.get_mut(question).ok_or_else(nothing)?;
        let before = log.events.clone();
        log.events.extend(lines.iter().cloned());
        (shelf.documents.clone(), before)
    };
    let index = Cited::new(&documents);
    let mut teller = Teller::new(&index, question, &before, say);
    before.iter().for_each(|event| teller.know(event));
    lines.iter().for_each(|line| teller.tell(line));
    kept.map_err(|problem| {
        let message = format!("It holds in this tab, and is lost when the tab is closed: export the read to keep it. {}", problem.message);
        Problem { kind: ProblemKind::Storage, message }
    })
}

/// Adds lines to a log on the disk, unless another tab went on with it.
async fn append(shelf: &RefCell<Shelf>, question: usize, lines: &[ReadEvent]) -> Result<(), Problem> {
    let (name, known) = {
        let shelf = shelf.borrow();
        let (Some(key), Some(log)) = (&shelf.key, shelf.logs.get(question)) else { return Err(nothing()) };
        (format!("{}/{}", folder(key), log.name), log.events.len())
    };
    let file = File::create(&name).await?;
    let there = parse(&file.read_all()?);
    if there.len() != known {
        let message = "This read was changed in another tab: open it again, then change its notes.";
        return Err(Problem { kind: ProblemKind::OtherTab, message: message.into() });
    }
    let whole = jsonl(&there);
    if file.len() != whole.len() as u64 {
        // A line torn by a closed tab goes.
        file.clear()?;
        file.append(whole.as_bytes())?;
    }
    file.append(jsonl(lines).as_bytes())?;
    file.flush()
}

fn jsonl(events: &[ReadEvent]) -> String {
    events.iter().map(|event| serde_json::to_string(event).unwrap_or_default() + "\n").collect()
}

/// Keeps a read that was opened from a file, in a folder of its own: the same file may be open, and changed, elsewhere.
pub(super) async fn keep_opened(shelf: &RefCell<Shelf>, say: &Say) -> Result<(), Problem> {
    if shelf.borrow().key.is_some() {
        return Ok(());
    }
    let kept = shelf.borrow().kept();
    let now = js_sys::Date::now();
    let key = hex(&Sha256::digest(format!("{now} {}", pack(&kept))))[..12].to_string();
    let (own, later) = own_and_later(&kept.logs);
    let named = |log: Log, name: String| Log { name, ..log };
    let own = own.into_iter().enumerate().map(|(number, log)| named(log, log_name(number)));
    let first = own.len();
    let logs: Vec<Log> =
        own.chain(later.into_iter().enumerate().map(|(number, log)| named(log, format!("asks-{}.jsonl", first + number)))).collect();
    let place = |name: &str| format!("{}/{name}", folder(&key));
    let documents: String = kept.documents.iter().map(|document| serde_json::to_string(document).unwrap_or_default() + "\n").collect();
    store::write(&place("documents.jsonl"), documents.as_bytes()).await?;
    for log in &logs {
        store::write(&place(&log.name), jsonl(&log.events).as_bytes()).await?;
    }
    let far = |log: &Log| {
        let read = log.events.iter().filter(|event| matches!(event, ReadEvent::Chunk { .. })).count();
        let all = log.events.first().map_or(0, |first| if let ReadEvent::Started { chunks, .. } = first { *chunks } else { 0 });
        (read, all)
    };
    let (read, chunks) = logs.first().map_or((0, 0), far);
    let name = kept.documents.first().map(|document| document.source.clone()).unwrap_or_default();
    let questions = logs.iter().filter(|log| !log.later).map(question_of).collect();
    let line = Listed { name, questions, read, chunks, changed: now };
    store::write(&place("read.json"), &serde_json::to_vec(&line).unwrap_or_default()).await?;
    say(Event::Kept { key: key.clone() });
    let mut shelf = shelf.borrow_mut();
    (shelf.key, shelf.logs) = (Some(key), logs);
    Ok(())
}
