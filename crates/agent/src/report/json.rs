//! Everything of a kept read as JSON.

use data::Citation;
use serde_json::{Value, json};

use super::{Counts, Read, Report, Turn, place, quotes_json};
use crate::{Change, ChangeKind, Piece};

/// `documents` (id, source, bytes) and `reads`, one for each question: its answer with citations, what was read, and for each section the
/// notes with their citations and what changed in them. Notes that a person changed have the model's own beside them (`unedited`), and an
/// answer from the notes before is `stale`. Offsets are UTF-8 bytes of the text they stand beside.
pub fn json(kept: &Report) -> Value {
    let documents = kept.documents.iter().map(|d| json!({"id": d.id, "source": d.source, "bytes": d.text.len()})).collect::<Value>();
    json!({"documents": documents, "reads": kept.reads.iter().map(|of| read(kept, of)).collect::<Value>()})
}

fn read(kept: &Report, read: &Read) -> Value {
    let citations = |citations: &[Citation]| -> Value {
        citations.iter().map(|citation| json!({"citation": citation, "place": kept.place(citation)})).collect()
    };
    let ((covered, bytes), skipped) = kept.coverage(&read.seen);
    let turn = |(number, turn): (usize, &Turn)| {
        let mut value = json!({
            "span": turn.span,
            "place": place(kept.documents, &turn.span),
            "tokens": turn.tokens,
            "memory": turn.memory,
            "plan": turn.plan,
            "citations": citations(&turn.citations),
        });
        if let Some(unedited) = &turn.unedited {
            value["unedited"] = json!(unedited);
        }
        if !turn.quotes.is_empty() {
            value["quotes"] = quotes_json(kept.documents, &turn.quotes);
        }
        if !read.outline() {
            value["changes"] = changes(&read.changes(number));
        }
        value
    };
    let mut value = json!({
        "log": read.log,
        "question": read.question,
        "model": read.model,
        "style": read.style,
        "later": read.later,
        "answer": read.answer.as_ref().map(|(text, cited)| json!({"text": text, "citations": citations(cited)})),
        "coverage": {"covered": covered, "bytes": bytes, "skipped": skipped},
        "planned": read.planned,
        "turns": read.turns.iter().enumerate().map(turn).collect::<Value>(),
    });
    if read.stale {
        value["answer"]["stale"] = json!(true);
    }
    if let Some(model) = &read.answered_by {
        value["answer"]["model"] = json!(model);
    }
    if read.later {
        value["reread"] = json!(read.own);
    }
    value
}

/// Counts, and every item with its pieces: those kept and dropped are the memory before, those kept and added the memory now.
fn changes(changes: &[Change]) -> Value {
    let piece = |piece: &Piece| match piece {
        Piece::Kept(text) => json!({"kept": text}),
        Piece::Added(text) => json!({"added": text}),
        Piece::Dropped(text) => json!({"dropped": text}),
    };
    let kind = |change: &Change| match change.kind {
        ChangeKind::Kept => "kept",
        ChangeKind::Added => "added",
        ChangeKind::Dropped => "dropped",
        ChangeKind::Changed => "changed",
    };
    let counts = Counts::of(changes);
    json!({
        "added": counts.added,
        "changed": counts.changed,
        "dropped": counts.dropped,
        "kept": counts.kept,
        "items": changes.iter().map(|change| json!({"kind": kind(change), "pieces": change.pieces.iter().map(piece).collect::<Value>()})).collect::<Value>(),
    })
}
