//! What the inspector knows, as signals, and what it can be told to do.

use std::collections::HashMap;
use std::sync::Arc;

use data::{Derivation, Item, Part, Span};
use leptos::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use web_sys::Blob;

use super::beside::{Damaged, Listed, Rejected};
use super::index::{Entry, Filter};
use super::judge::{self, Judgement, Judgements};
use super::slices::{self, Piece};
use crate::reader::Reader;

/// Milliseconds between two times that the table hears of new rows while a file is read.
const HEARD: f64 = 200.0;
/// Damaged lines that are listed; the others are counted.
const LISTED: usize = 50;

/// A row that is open, read whole.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its line.
    pub line: Vec<u8>,
    /// The row.
    pub item: Item,
    /// How its answer comes about.
    pub derivation: Derivation,
    /// Its documents.
    pub parts: Vec<Part>,
}

impl Opened {
    fn read(line: Vec<u8>) -> Result<Self, String> {
        let item: Item = serde_json::from_slice(&line).map_err(|problem| format!("This row cannot be read: {problem}."))?;
        let field = |name: &str| item.extra.get(name).ok_or_else(|| format!("This row has no `{name}`."));
        let wrong = |name: &str, problem: serde_json::Error| format!("`{name}` of this row cannot be read: {problem}.");
        let derivation = Derivation::deserialize(field("derivation")?).map_err(|problem| wrong("derivation", problem))?;
        let parts = Vec::<Part>::deserialize(field("documents")?).map_err(|problem| wrong("documents", problem))?;
        Ok(Self { line, derivation, parts, item })
    }

    /// A text field of the row.
    pub fn text(&self, name: &str) -> &str {
        self.item.extra.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The place of a document in the prompt, from 1, and its title.
    pub fn document(&self, id: &str) -> Option<(usize, &str)> {
        let at = self.parts.iter().position(|part| part.id == id)?;
        Some((at + 1, &self.parts[at].title))
    }
}

/// A part of the inspector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// The table of rows, and a row.
    #[default]
    Rows,
    /// The dataset as a whole.
    Dataset,
    /// Training runs.
    Training,
}

/// The inspector's state.
#[derive(Clone, Copy)]
pub struct Inspector {
    /// The line to the worker and its model.
    pub reader: Reader,
    file: StoredValue<Option<Blob>, LocalStorage>,
    /// Counts what was opened: what belongs to something older is dropped.
    turn: StoredValue<u32>,
    /// What is shown.
    pub tab: RwSignal<Tab>,
    /// The dataset's name; empty when none is open.
    pub name: RwSignal<String>,
    /// The index.
    pub entries: RwSignal<Vec<Arc<Entry>>>,
    /// Lines that are no rows.
    pub damaged: RwSignal<Damaged>,
    /// Bytes read and bytes, while the rows are read.
    pub progress: RwSignal<Option<(u64, u64)>>,
    /// Seconds the reading took.
    pub took: RwSignal<Option<f64>>,
    /// Hash of the rows, once all are read.
    pub hash: RwSignal<Option<String>>,
    /// The run's report.
    pub report: RwSignal<Option<Arc<Value>>>,
    /// Candidates that became no row.
    pub rejects: RwSignal<Arc<Vec<Rejected>>>,
    /// The documents' list.
    pub documents: RwSignal<Arc<HashMap<String, Listed>>>,
    /// Which rows are shown.
    pub filter: RwSignal<Filter>,
    /// Their places in the index.
    pub shown: Memo<Arc<Vec<usize>>>,
    /// The row that keys act on.
    pub selected: RwSignal<Option<usize>>,
    /// The row that is open.
    pub opened: RwSignal<Option<Arc<Opened>>>,
    /// The evidence that was asked for, with a count, so that it can be asked for again.
    pub jump: RwSignal<Option<(Span, u32)>>,
    /// The person's words.
    pub judged: RwSignal<Judgements>,
    /// Training logs.
    pub runs: RwSignal<Vec<Arc<super::curves::Run>>>,
    /// What went wrong last.
    pub problem: RwSignal<Option<String>>,
    /// What a person should know of what was opened.
    pub remark: RwSignal<String>,
}

impl Inspector {
    /// An inspector without a dataset.
    pub fn new(reader: Reader) -> Self {
        let (entries, filter, judged) =
            (RwSignal::<Vec<Arc<Entry>>>::default(), RwSignal::<Filter>::default(), RwSignal::<Judgements>::default());
        let shown = Memo::new(move |_| {
            let filter = filter.get();
            // Judgements change the list only where they are asked for.
            let judged = if filter.judged.is_empty() { Judgements::default() } else { judged.get() };
            let said = |id: &str| judged.get(id).cloned().unwrap_or_default().is(&filter.judged);
            entries.with(|entries| {
                let passing = entries.iter().enumerate().filter(|(_, entry)| filter.passes(entry, &said));
                Arc::new(passing.map(|(at, _)| at).collect::<Vec<usize>>())
            })
        });
        Self {
            reader,
            file: StoredValue::new_local(None),
            turn: StoredValue::new(0),
            tab: RwSignal::default(),
            name: RwSignal::default(),
            entries,
            damaged: RwSignal::default(),
            progress: RwSignal::default(),
            took: RwSignal::default(),
            hash: RwSignal::default(),
            report: RwSignal::default(),
            rejects: RwSignal::default(),
            documents: RwSignal::default(),
            filter,
            shown,
            selected: RwSignal::default(),
            opened: RwSignal::default(),
            jump: RwSignal::default(),
            judged,
            runs: RwSignal::default(),
            problem: RwSignal::default(),
            remark: RwSignal::default(),
        }
    }

    fn next_turn(&self) -> u32 {
        self.turn.update_value(|turn| *turn += 1);
        self.turn.get_value()
    }

    /// Forgets the dataset that was open.
    pub fn close(&self) {
        self.next_turn();
        self.file.set_value(None);
        self.name.set(String::new());
        self.entries.set(Vec::new());
        self.damaged.set(Damaged::default());
        self.progress.set(None);
        self.took.set(None);
        self.hash.set(None);
        self.report.set(None);
        self.rejects.set(Arc::default());
        self.documents.set(Arc::default());
        self.filter.set(Filter::default());
        self.selected.set(None);
        self.opened.set(None);
        self.judged.set(Judgements::default());
    }

    /// Reads the index of a file of rows, slice by slice; the table has the first rows at once.
    pub async fn rows(&self, name: &str, file: Blob) {
        let turn = self.next_turn();
        let begun = js_sys::Date::now();
        let all = file.size() as u64;
        self.file.set_value(Some(file.clone()));
        self.name.set(name.into());
        self.tab.set(Tab::Rows);
        self.progress.set(Some((0, all)));
        let (mut hash, mut new, mut damaged, mut heard) = (Sha256::new(), Vec::new(), Damaged::default(), 0.0);
        let read = slices::lines(&file, &mut |piece| {
            match piece {
                Piece::Read(bytes, at) => {
                    hash.update(bytes);
                    if self.turn.get_value() != turn {
                        return false;
                    }
                    if js_sys::Date::now() - heard > HEARD && !new.is_empty() {
                        heard = js_sys::Date::now();
                        self.add(&mut new, &damaged);
                    }
                    self.progress.set(Some((at, all)));
                }
                Piece::Line(start, line, number) => {
                    if line.iter().all(u8::is_ascii_whitespace) {
                        return true;
                    }
                    match Entry::read(line, start) {
                        Ok(entry) => new.push(Arc::new(entry)),
                        Err(why) => {
                            damaged.count += 1;
                            if damaged.first.len() < LISTED {
                                damaged.first.push((number, why));
                            }
                        }
                    }
                }
            }
            true
        })
        .await;
        if self.turn.get_value() != turn {
            return;
        }
        self.add(&mut new, &damaged);
        self.progress.set(None);
        self.took.set(Some((js_sys::Date::now() - begun) / 1000.0));
        match read {
            Ok(()) => {
                let hash = super::hex(&hash.finalize());
                self.judged.set(judge::kept(&hash));
                self.hash.set(Some(hash));
            }
            Err(problem) => self.problem.set(Some(problem)),
        }
    }

    fn add(&self, new: &mut Vec<Arc<Entry>>, damaged: &Damaged) {
        if !new.is_empty() {
            self.entries.update(|entries| entries.append(new));
        }
        if self.damaged.with_untracked(|known| known.count != damaged.count) {
            self.damaged.set(damaged.clone());
        }
        if self.selected.get_untracked().is_none() && self.entries.with_untracked(|entries| !entries.is_empty()) {
            self.selected.set(Some(0));
        }
    }

    /// Reads a row whole and shows it.
    pub fn open_row(&self, index: usize) {
        self.selected.set(Some(index));
        let (inspector, turn) = (*self, self.turn.get_value());
        let Some(file) = self.file.get_value() else { return };
        let Some((start, end)) = self.entries.with_untracked(|entries| entries.get(index).map(|entry| (entry.start, entry.end))) else {
            return;
        };
        leptos::task::spawn_local(async move {
            let opened = slices::bytes(&file, start, end).await.and_then(Opened::read);
            // Another row may have been chosen in the meantime.
            if inspector.turn.get_value() != turn || inspector.selected.get_untracked() != Some(index) {
                return;
            }
            match opened {
                Ok(opened) => {
                    inspector.problem.set(None);
                    inspector.jump.set(None);
                    inspector.opened.set(Some(Arc::new(opened)));
                }
                Err(problem) => inspector.problem.set(Some(problem)),
            }
        });
    }

    /// Goes so many shown rows on; an open row follows.
    pub fn step(&self, by: isize) {
        let shown = self.shown.get_untracked();
        let Some(last) = shown.len().checked_sub(1) else { return };
        let at = self.selected.get_untracked().and_then(|selected| shown.iter().position(|index| *index == selected));
        let next = at.map_or(0, |at| at.saturating_add_signed(by).min(last));
        self.selected.set(Some(shown[next]));
        if self.opened.with_untracked(Option::is_some) {
            self.open_row(shown[next]);
        }
    }

    /// Shows where a fact stands.
    pub fn show(&self, span: &Span) {
        self.jump.update(|jump| *jump = Some((span.clone(), jump.as_ref().map_or(0, |(_, count)| count + 1))));
    }

    /// The id of the row that keys act on.
    pub fn selected_id(&self) -> Option<String> {
        let index = self.selected.get()?;
        self.entries.with(|entries| entries.get(index).map(|entry| entry.id.clone()))
    }

    /// Changes what the person says of the selected row; the same verdict again takes it back.
    pub fn judge(&self, change: impl FnOnce(&mut Judgement)) {
        let Some(hash) = self.hash.get_untracked() else {
            return self.problem.set(Some("The rows are still being read: judge them when all are there.".into()));
        };
        let Some(id) = self.selected_id() else { return };
        self.judged.update(|judged| change(judged.entry(id).or_default()));
        if let Err(problem) = self.judged.with_untracked(|judged| judge::keep(&hash, judged)) {
            self.problem.set(Some(problem));
        }
    }
}
