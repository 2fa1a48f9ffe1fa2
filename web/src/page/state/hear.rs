//! What the engine says to a reader.

use data::{Citation, ReadEvent};
use leptos::prelude::*;

use super::{Answer, Busy, Machine, ModelState, Proposal, Question, Reader, Turn};
use crate::page::figures;
use crate::protocol::{Event, ProblemKind};

impl Reader {
    /// Takes an event in. `beside`: of a request that is not the work that goes on.
    pub(super) fn hear(&self, event: Event, beside: bool) {
        match event {
            Event::Machine { adapter, quota, models, reads, sharing } => {
                self.machine.set(Some(Machine { adapter, quota, models, reads, sharing }));
            }
            Event::Loading { stage, done, total } => {
                self.tell("loading", serde_json::json!({"stage": stage, "done": done, "total": total}));
                self.model.set(ModelState::Loading { stage, done, total });
            }
            Event::Ready(info) => {
                self.tell("ready", serde_json::json!({"model": info.name, "gpu": info.gpu}));
                // Beside a section its prompt has the notes and the question, and a reply follows: up to a whole call for each section.
                let pace = info.speed.map(|speed| speed * info.chunk as f64 / info.window.max(1) as f64);
                self.said.set(format!("{} is ready.", info.name));
                self.choosing.set(false);
                self.model.set(ModelState::Ready(info));
                if let Some(pace) = pace {
                    self.note_pace(pace);
                }
            }
            Event::Opened(info) => {
                self.said.set(format!("The document is open: about {} tokens.", figures::count(info.tokens)));
                self.questions.set(Vec::new());
                self.current.set(0);
                self.shown.set(None);
                self.can_return.set(false);
                self.choosing.set(false);
                self.ended.set(false);
                self.kept.set_value(info.key.clone());
                self.opened.set(Some(info));
            }
            Event::Kept { key } => self.kept.set_value(Some(key)),
            Event::Waits => self.waits.set(true),
            Event::Questions { questions } => {
                self.waits.set(false);
                self.asked(&questions);
            }
            Event::Planned { chunks, resumed, .. } => {
                self.began.set(Some((js_sys::Date::now(), resumed)));
                self.said.set(format!("Reading begins: {chunks} sections."));
                self.questions.update(|questions| {
                    questions.iter_mut().filter(|question| !question.is_later()).for_each(|question| question.planned = chunks)
                });
            }
            Event::Turn { question, index } => {
                self.writing.set(String::new());
                let of = self.questions.with_untracked(|all| all.get(question).map_or(0, |one| one.planned));
                self.tell("progress", serde_json::json!({"question": question, "section": index + 1, "of": of}));
            }
            Event::Text { text } => self.writing.update(|writing| writing.push_str(&text)),
            Event::Log { question, line, citations } => self.log(question, *line, citations),
            Event::Coverage { question, covered, bytes, skipped } => self.questions.update(|questions| {
                if let Some(question) = questions.get_mut(question) {
                    question.coverage = Some((covered, bytes));
                    question.skipped = skipped;
                }
            }),
            Event::NotInNotes { share, sections } => {
                self.proposal.set(Some(Proposal { question: self.asking.get_untracked(), share, sections }));
            }
            // Of whoever asked for it.
            Event::File { .. } | Event::Generated { .. } | Event::Tried { .. } | Event::Made { .. } => {}
            Event::Done if beside => {}
            Event::Done => {
                if self.busy.get_untracked() == Some(Busy::Reading) {
                    self.measure_pace();
                }
                self.over();
            }
            Event::Stopped if beside => {}
            Event::Stopped => {
                self.break_off();
                self.over();
            }
            Event::Failed(problem) => {
                if self.busy.get_untracked() == Some(Busy::Loading) || problem.kind == ProblemKind::Lost {
                    self.model.set(ModelState::None);
                }
                if !beside {
                    self.break_off();
                    self.over();
                }
                self.fail(problem);
            }
        }
    }

    fn note_pace(&self, pace: f64) {
        if let Some(key) = untrack(|| self.pace_key()) {
            self.paces.update(|paces| {
                paces.insert(key, pace);
            });
        }
    }

    /// How fast the read really was: better than any estimate for the next one.
    fn measure_pace(&self) {
        let Some((since, resumed)) = self.began.get_untracked() else { return };
        let seconds = (js_sys::Date::now() - since) / 1000.0;
        let (tokens, bytes) = untrack(|| (self.opened.with(|opened| opened.as_ref().map_or(0, |opened| opened.tokens)), self.bytes()));
        let new: usize = self.questions.with_untracked(|questions| {
            let turns = questions.first().into_iter().flat_map(|question| question.turns.iter().skip(resumed));
            turns.filter_map(Turn::span).map(|span| span.end - span.start).sum()
        });
        if new > 0 && seconds > 0.0 {
            self.note_pace(tokens as f64 * new as f64 / bytes.max(1) as f64 / seconds);
        }
    }

    /// What was going on came to no end.
    fn break_off(&self) {
        match self.busy.get_untracked() {
            Some(Busy::Reading) => self.stopped.set(true),
            Some(Busy::Loading) => self.model.set(ModelState::None),
            _ => {}
        }
    }

    fn over(&self) {
        let was = self.busy.get_untracked();
        self.busy.set(None);
        self.waits.set(false);
        self.writing.set(String::new());
        if matches!(was, Some(Busy::Reading | Busy::Asking | Busy::Loading | Busy::Editing)) {
            // What is kept has changed.
            self.look();
        }
    }

    fn asked(&self, questions: &[String]) {
        self.questions.update(|known| {
            known.truncate(questions.len());
            let first_new = known.len();
            for (number, text) in questions.iter().enumerate() {
                match known.get_mut(number) {
                    Some(question) if question.text == *text => {}
                    Some(question) => *question = Question { text: text.clone(), ..Question::default() },
                    None => known.push(Question { text: text.clone(), ..Question::default() }),
                }
            }
            if first_new < known.len() {
                self.current.set(first_new);
            }
        });
    }

    fn log(&self, number: usize, line: ReadEvent, citations: Vec<Citation>) {
        self.writing.set(String::new());
        match &line {
            ReadEvent::Chunk { memory, index, .. } => {
                self.tell("note", serde_json::json!({"question": number, "section": index + 1, "memory": memory, "citations": citations}));
            }
            ReadEvent::Answer { text, .. } => {
                self.tell("answer", serde_json::json!({"question": number, "text": text, "citations": citations}));
                if self.busy.get_untracked() != Some(Busy::Opening) {
                    self.said.set(format!("The answer: {text}"));
                }
            }
            ReadEvent::Edited { memory, index } => {
                let detail =
                    serde_json::json!({"question": number, "section": index + 1, "memory": memory, "citations": citations, "edited": true});
                self.tell("note", detail);
                self.say_edited("Your notes are kept.");
            }
            ReadEvent::Undone => self.say_edited("Your edit is taken back."),
            _ => {}
        }
        let undone = matches!(line, ReadEvent::Undone);
        self.questions.update(|questions| {
            let Some(question) = questions.get_mut(number) else { return };
            question.edits.take(&line);
            match line {
                ReadEvent::Started { chunks, model, style, .. } => {
                    question.planned = chunks;
                    question.model = model;
                    question.style = style;
                    question.given.clear();
                    question.answers.clear();
                }
                ReadEvent::Answer { text, model, .. } => {
                    let from = question.edits.clone();
                    question.answers.push(Answer { text, citations, model, from });
                }
                ReadEvent::Chunk { index, .. } => {
                    // A line that is known is shown again, as when a read goes on.
                    question.turns.truncate(index);
                    question.turns.push(Turn { line, citations, edits: Vec::new() });
                }
                ReadEvent::Edited { memory, .. } => {
                    if let Some(turn) = question.turns.last_mut() {
                        turn.edits.push((memory, citations));
                    }
                }
                ReadEvent::Undone => drop(question.turns.last_mut().and_then(|turn| turn.edits.pop())),
                ReadEvent::Given { edits } => {
                    question.given = edits;
                    question.answers.clear();
                    question.turns.clear();
                }
                ReadEvent::Selected { .. } => {}
            }
            question.settle();
        });
        if undone {
            self.tell_undone(number);
        }
        self.announce_progress();
    }

    /// The notes are what they were before.
    fn tell_undone(&self, number: usize) {
        self.questions.with_untracked(|questions| {
            let Some(turn) = questions.get(number).and_then(|question| question.turns.last()) else { return };
            let ReadEvent::Chunk { index, .. } = turn.line else { return };
            let (memory, citations, edited) = (turn.memory(), turn.citations(), turn.is_edited());
            let detail =
                serde_json::json!({"question": number, "section": index + 1, "memory": memory, "citations": citations, "edited": edited});
            self.tell("note", detail);
        });
    }

    fn say_edited(&self, what: &str) {
        if self.busy.get_untracked() == Some(Busy::Editing) {
            self.said.set(what.into());
        }
    }

    /// Every quarter of a read is said, not every section.
    fn announce_progress(&self) {
        let (read, all) = self.questions.with_untracked(|questions| questions.first().map_or((0, 0), |one| (one.turns.len(), one.planned)));
        let quarter = |read: usize| read * 4 / all.max(1);
        if self.busy.get_untracked() == Some(Busy::Reading) && read > 0 && read < all && quarter(read) > quarter(read - 1) {
            self.said.set(format!("{read} of {all} sections are read."));
        }
    }
}
