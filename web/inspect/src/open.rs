//! What was chosen or dropped: which of the files belong to a dataset or a training run, and what the others are.

use std::collections::HashMap;
use std::sync::Arc;

use js_sys::{Array, Function, Promise, Reflect};
use leptos::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DataTransfer, File, FileList};

use super::beside::{Listed, Rejected};
use super::curves::Run;
use super::slices::{self, Piece};
use super::state::Inspector;

/// Bytes of a first line that is looked at: a row has its whole context in it.
const FIRST: u64 = 16 << 20;
/// Bytes of a report at most.
const REPORT: f64 = 64e6;

/// A file with a name: from the disk, or made in this page.
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub blob: Blob,
}

/// What a file is to the inspector.
enum Kind {
    Rows,
    Rejects,
    Documents,
    Events,
    Report(Box<Value>),
    /// Something else, and what is known of it.
    Other(String),
}

/// The files of an input or of what was dropped, without those in folders further down: a run keeps its calls there.
pub fn listed(list: &FileList) -> Vec<Named> {
    let all = (0..list.length()).filter_map(|at| list.get(at));
    let near = |file: &File| {
        let path = Reflect::get(file, &"webkitRelativePath".into()).ok().and_then(|path| path.as_string());
        path.is_none_or(|path| path.matches('/').count() <= 1)
    };
    all.filter(near).map(named).collect()
}

/// The files of a run's folder at an address, those that are there.
pub async fn addressed(folder: &str) -> Result<Vec<Named>, String> {
    let mut files = Vec::new();
    for name in ["rows.jsonl", "rejects.jsonl", "report.json", "documents.jsonl", "events.jsonl"] {
        let blob = fetched(&format!("{folder}{name}")).await.map_err(|problem| {
            let why = js_sys::Error::from(problem).message();
            format!("{name} could not be fetched from {folder} ({why}). Reload the page to try again.")
        })?;
        files.extend(blob.map(|blob| Named { name: name.into(), blob }));
    }
    match files.is_empty() {
        true => {
            Err(format!("Nothing that can be inspected lies at {folder}: neither rows.jsonl nor events.jsonl, nor what goes with them."))
        }
        false => Ok(files),
    }
}

/// What lies at an address; `None` if nothing does.
async fn fetched(url: &str) -> Result<Option<Blob>, JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let answer: web_sys::Response = JsFuture::from(window.fetch_with_str(url)).await?.unchecked_into();
    Ok(if answer.ok() { Some(JsFuture::from(answer.blob()?).await?.unchecked_into()) } else { None })
}

fn named(file: File) -> Named {
    Named { name: file.name(), blob: file.into() }
}

/// What was dropped: files, and the files right inside folders.
pub async fn dropped(data: DataTransfer) -> Vec<Named> {
    // The list is empty once the event is over: the entries are taken from it first.
    let items = data.items();
    let entries: Vec<web_sys::FileSystemEntry> =
        (0..items.length()).filter_map(|at| items.get(at)?.webkit_get_as_entry().ok().flatten()).collect();
    let plain = data.files().map(|list| listed(&list)).unwrap_or_default();
    if !entries.iter().any(web_sys::FileSystemEntry::is_directory) {
        return plain;
    }
    let mut out = Vec::new();
    for entry in entries {
        if entry.is_file() {
            out.extend(file(entry).await);
            continue;
        }
        let reader = entry.unchecked_into::<web_sys::FileSystemDirectoryEntry>().create_reader();
        // A reader gives its entries in batches, and an empty one at the end.
        loop {
            let batch = promised(|good, bad| reader.read_entries_with_callback_and_callback(good, bad)).await;
            let batch = batch.map(|batch| Array::from(&batch)).unwrap_or_default();
            if batch.length() == 0 {
                break;
            }
            for inner in batch.iter().map(JsCast::unchecked_into::<web_sys::FileSystemEntry>).filter(web_sys::FileSystemEntry::is_file) {
                out.extend(file(inner).await);
            }
        }
    }
    out
}

async fn file(entry: web_sys::FileSystemEntry) -> Option<Named> {
    let entry: web_sys::FileSystemFileEntry = entry.unchecked_into();
    let found = promised(|good, bad| {
        entry.file_with_callback_and_callback(good, bad);
        Ok(())
    });
    Some(named(found.await.ok()?.unchecked_into()))
}

/// A call with two callbacks as a promise.
async fn promised(begin: impl Fn(&Function, &Function) -> Result<(), JsValue>) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |good, bad| {
        if let Err(problem) = begin(&good, &bad) {
            let _ = bad.call1(&JsValue::NULL, &problem);
        }
    });
    JsFuture::from(promise).await
}

impl Inspector {
    /// Opens what of these files it knows, and says what the others are.
    pub async fn open(&self, files: Vec<Named>) {
        self.problem.set(None);
        self.remark.set(String::new());
        let (mut rows, mut rejects, mut documents, mut report, mut others) = (None, None, None, None, Vec::new());
        let (count, mut events) = (files.len(), Vec::new());
        for Named { name, blob } in files {
            match kind(&name, &blob).await {
                Kind::Rows if rows.is_none() => rows = Some((name, blob)),
                Kind::Rejects if rejects.is_none() => rejects = Some(blob),
                Kind::Documents if documents.is_none() => documents = Some(blob),
                Kind::Report(value) if report.is_none() => report = Some(*value),
                Kind::Events => events.push((name, blob)),
                Kind::Other(what) => others.push(format!("{name} ({what})")),
                _ => others.push(format!("{name} (there is another of its kind)")),
            }
        }
        if count > 0 && others.len() == count {
            return self.problem.set(Some(format!(
                "Nothing here can be inspected: {}. Choose the folder that `longhand synth run` wrote (rows.jsonl, rejects.jsonl, \
                 documents.jsonl, report.json), or the events.jsonl of a training run.",
                others.join("; ")
            )));
        }
        if !others.is_empty() {
            self.remark.set(format!("Left aside: {}.", others.join("; ")));
        }
        for (name, blob) in events {
            match Run::read(&name, &blob).await {
                Ok(run) => self.runs.update(|runs| runs.push(Arc::new(run))),
                Err(problem) => self.problem.set(Some(format!("{name}: {problem}"))),
            }
            self.tab.set(super::state::Tab::Training);
        }
        // The other files of a dataset may come after its rows; new rows are another dataset.
        if let Some((name, blob)) = rows {
            self.close();
            let inspector = *self;
            leptos::task::spawn_local(async move { inspector.rows(&name, blob).await });
        }
        if let Some(value) = report {
            self.report.set(Some(Arc::new(value)));
        }
        if let Some(blob) = rejects {
            let (lines, bad) = records::<Rejected>(&blob).await;
            self.note_bad("of the rejects", bad);
            self.rejects.set(Arc::new(lines));
        }
        if let Some(blob) = documents {
            let (lines, bad) = records::<Listed>(&blob).await;
            self.note_bad("of the documents' list", bad);
            self.documents.set(Arc::new(lines.into_iter().map(|line| (line.id().to_string(), line)).collect::<HashMap<_, _>>()));
        }
    }

    fn note_bad(&self, what: &str, bad: usize) {
        if bad > 0 {
            self.remark.update(|remark| remark.push_str(&format!(" {bad} lines {what} cannot be read.")));
        }
    }
}

async fn kind(name: &str, blob: &Blob) -> Kind {
    let ending = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    match ending.as_str() {
        "json" if blob.size() <= REPORT => match slices::text(blob).await.map(|text| serde_json::from_str::<Value>(&text)) {
            Ok(Ok(value)) if value["groups"].is_array() => Kind::Report(Box::new(value)),
            Ok(Ok(_)) => Kind::Other("JSON, but no run's report".into()),
            Ok(Err(problem)) => Kind::Other(format!("damaged JSON: {problem}")),
            Err(problem) => Kind::Other(problem),
        },
        "jsonl" | "ndjson" => {
            let line = match slices::first(blob, FIRST).await {
                Ok(line) => line,
                Err(problem) => return Kind::Other(problem),
            };
            let is = |kind| name.to_lowercase().starts_with(kind);
            match serde_json::from_slice::<Value>(&line) {
                Ok(value) if value["event"].is_string() => Kind::Events,
                Ok(value) if value["derivation"].is_object() => Kind::Rows,
                Ok(value) if value["check"].is_string() && value["reason"].is_string() => Kind::Rejects,
                Ok(value) if value["id"].is_string() && (value["sha256"].is_string() || value["rejected"].is_string()) => Kind::Documents,
                Ok(value) if value["prompt"].is_string() => Kind::Other("rows without a derivation: not of `longhand synth run`".into()),
                // A damaged first line does not make it another file.
                Err(_) if is("rows") => Kind::Rows,
                Err(_) if is("events") => Kind::Events,
                Err(_) if is("rejects") => Kind::Rejects,
                _ if blob.size() == 0.0 => Kind::Other("empty".into()),
                Ok(_) => Kind::Other("lines of JSON of another kind".into()),
                Err(problem) => Kind::Other(format!("its first line is no JSON: {problem}")),
            }
        }
        _ => Kind::Other("not read here".into()),
    }
}

/// The records of a file of lines, and how many lines are none.
pub async fn records<T: DeserializeOwned>(blob: &Blob) -> (Vec<T>, usize) {
    let (mut out, mut bad) = (Vec::new(), 0);
    let mut take = |piece: Piece| {
        if let Piece::Line(_, line, _) = piece
            && !line.iter().all(u8::is_ascii_whitespace)
        {
            match serde_json::from_slice(line) {
                Ok(record) => out.push(record),
                Err(_) => bad += 1,
            }
        }
        true
    };
    if slices::lines(blob, &mut take).await.is_err() {
        bad += 1;
    }
    (out, bad)
}
