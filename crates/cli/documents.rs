//! Paths on the command line as documents, with what a person should know about them.

use std::path::PathBuf;

use ::documents::DocumentError;
use anyhow::{Result, anyhow, ensure};
use data::Document;

/// Skipped files that are named one by one.
const NAMED: usize = 10;

/// Opens files, folders and source trees, in order. Remarks and skipped files go to standard error; a file or a folder without
/// anything to read is an error, before a model is loaded for it.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Document>> {
    let mut documents: Vec<Document> = Vec::new();
    for path in paths {
        let opened = ::documents::open(path).map_err(|error| match error {
            DocumentError::Io { source, .. } => anyhow!("cannot read {}: {source}", path.display()),
            error => anyhow!("cannot read {}: {error}", path.display()),
        })?;
        for skipped in opened.skipped.iter().take(NAMED) {
            eprintln!("skipped {}: {}", skipped.path, skipped.why);
        }
        if opened.skipped.len() > NAMED {
            eprintln!("skipped {} more files of {}", opened.skipped.len() - NAMED, path.display());
        }
        let folder = path.is_dir();
        let before = documents.len();
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
            // White space is nothing to read.
            if document.text.trim_start().is_empty() {
                ensure!(folder, "{} is empty: there is nothing to read", path.display());
                continue;
            }
            documents.push(document);
        }
        ensure!(documents.len() > before, "{} holds nothing that can be read", path.display());
    }
    Ok(documents)
}
