//! Files as documents. Plain text is read here; everything else by a module of its own (`web/files`), which is fetched when the first such file
//! comes.

use data::Document;
use js_sys::Uint8Array;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use crate::browser;
use crate::protocol::{Event, Problem, ProblemKind};

/// What that module says of a file.
#[derive(Deserialize)]
struct Read {
    document: Document,
    remarks: Vec<String>,
}

/// What it makes of files.
#[derive(Deserialize)]
struct Made {
    rows: String,
    rejects: String,
    report: String,
}

/// Turns files into documents, and tells what a person should know about it.
pub async fn convert(names: &[String], files: Vec<Vec<u8>>) -> Result<(Vec<Document>, Vec<String>), Problem> {
    let (mut opened, mut remarks) = (Vec::new(), Vec::new());
    for (name, bytes) in names.iter().zip(files) {
        let document = match documents::plain(name, bytes.as_slice()) {
            Some(document) => document,
            None => {
                let read = browser::convert_file(name, &Uint8Array::from(bytes.as_slice())).await;
                let read: Read = taken(read, &format!("{name}: "))?;
                remarks.extend(read.remarks.iter().map(|remark| format!("{name}: {remark}")));
                read.document
            }
        };
        if document.text.trim().is_empty() {
            return Err(Problem { kind: ProblemKind::Document, message: format!("{name}: there is no text in it.") });
        }
        opened.push(document);
    }
    // Two files may have one name; a document's id is its own.
    for at in 0..opened.len() {
        if opened[..at].iter().any(|earlier: &Document| earlier.id == opened[at].id) {
            opened[at].id = format!("{} ({})", opened[at].id, at + 1);
        }
    }
    Ok((opened, remarks))
}

/// Rows from the facts that files state outright. The same files and the same seed give the same rows.
pub async fn make_rows(names: Vec<String>, files: Vec<Vec<u8>>, count: usize, seed: u64) -> Result<Event, Problem> {
    let files: Vec<Uint8Array> = files.iter().map(|file| Uint8Array::from(file.as_slice())).collect();
    let Made { rows, rejects, report } = taken(browser::make_rows(names, files, count, seed as f64).await, "")?;
    Ok(Event::Made { rows, rejects, report })
}

/// A sentence is about the file; anything else went wrong around it.
fn taken<T: for<'a> Deserialize<'a>>(answer: Result<JsValue, JsValue>, about: &str) -> Result<T, Problem> {
    let failed = |kind, message| Err(Problem { kind, message });
    match answer {
        Ok(value) => serde_wasm_bindgen::from_value(value).or_else(|problem| {
            failed(ProblemKind::Other, format!("{about}the module for files of other formats is of another version ({problem})"))
        }),
        Err(problem) => match problem.as_string() {
            Some(sentence) => failed(ProblemKind::Document, format!("{about}{sentence}")),
            None => {
                let told = js_sys::Error::from(problem);
                let (name, message) = (String::from(told.name()), String::from(told.message()));
                match name.as_str() {
                    // A trap in the module: this file is more than it can bear.
                    "RuntimeError" => failed(ProblemKind::Document, format!("{about}it cannot be read here ({message}).")),
                    _ => failed(
                        ProblemKind::Network,
                        format!(
                            "{about}what reads files other than plain text could not be fetched ({message}). Try again when the network is back."
                        ),
                    ),
                }
            }
        },
    }
}
