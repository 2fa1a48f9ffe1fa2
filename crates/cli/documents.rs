//! Paths on the command line as documents, with what a person should know about them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use data::Document;

/// Skipped files that are named one by one.
const NAMED: usize = 10;

/// Opens files, folders and source trees, in order. Remarks and skipped files go to standard error; a folder without anything to
/// read is an error.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let mut documents: Vec<Document> = Vec::new();
    for path in paths {
        let opened = ::documents::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        for skipped in opened.skipped.iter().take(NAMED) {
            eprintln!("skipped {}: {}", skipped.path, skipped.why);
        }
        if opened.skipped.len() > NAMED {
            eprintln!("skipped {} more files of {}", opened.skipped.len() - NAMED, path.display());
        }
        ensure!(!opened.documents.is_empty(), "{} holds nothing that can be read", path.display());
        let folder = path.is_dir();
        for converted in opened.documents {
            for remark in &converted.remarks {
                eprintln!("{}: {remark}", converted.document.source);
            }
            let mut document = converted.document;
            // A name alone may come twice; the path it was found under does not.
            document.id = document.source.clone();
            if !folder {
                document.source = path.file_name().map_or(document.source, |name| name.to_string_lossy().into_owned());
            }
            // White space is nothing to read; of a single file that is an error, which the reader states.
            if !folder || !document.text.trim().is_empty() {
                documents.push(document);
            }
        }
    }
    Ok(documents)
}
