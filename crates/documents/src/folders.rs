//! Files, folders and source trees (native only).

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use ignore::WalkBuilder;
use memmap2::Mmap;

use crate::{Bytes, Converted, DocumentError, Format, Result, convert, format};

/// From this many bytes on a file is mapped rather than read. A mapped file must not be changed while it is open.
const MAP_FROM: u64 = 16 << 20;
/// Files that a folder may hold.
const MAX_FILES: usize = 100_000;

/// What a path holds.
#[derive(Debug, Default)]
pub struct Opened {
    /// The files that were read, by path.
    pub documents: Vec<Converted>,
    /// The files that were not, by path. What `.gitignore` and the like leave out, and hidden files, are not listed.
    pub skipped: Vec<Skipped>,
}

/// A file that was not read.
#[derive(Debug)]
pub struct Skipped {
    /// Its path from the folder.
    pub path: String,
    /// Why not.
    pub why: Skip,
}

/// Why a file in a folder was not read.
#[derive(Debug, thiserror::Error)]
pub enum Skip {
    /// Nothing in it.
    #[error("empty")]
    Empty,
    /// Versions that a package manager keeps.
    #[error("a lock file")]
    LockFile,
    /// It says that a program wrote it.
    #[error("generated: {marker}")]
    Generated {
        /// Where it says so.
        marker: String,
    },
    /// Code with its line ends taken out.
    #[error("minified")]
    Minified,
    /// A link, a pipe, a device.
    #[error("not a regular file")]
    NotAFile,
    /// More files than a folder may hold.
    #[error("one of more than {limit} files: open a part of the folder")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] DocumentError),
}

/// Reads a file, or all files of a folder.
///
/// In a folder `.gitignore`, `.ignore` and git's own exclusions hold (with or without a repository), hidden files and links are passed
/// over, and lock files, generated and minified code, and what is no text are listed with the reason. Documents come in the order of
/// their paths, with the path from the folder as `id`. Of a single file nothing is passed over: what cannot be read is an error.
///
/// Large files are mapped: a plain UTF-8 text takes the time to look at it once, and no memory of its own.
pub fn open(path: impl AsRef<Path>) -> Result<Opened> {
    let path = path.as_ref();
    let said = path.display().to_string();
    let metadata = std::fs::metadata(path).map_err(|source| DocumentError::Io { path: said.clone(), source })?;
    if !metadata.is_dir() {
        if !metadata.is_file() {
            return Err(DocumentError::Io { path: said, source: Error::new(ErrorKind::InvalidInput, "not a regular file") });
        }
        let name = path.file_name().map_or(said.clone(), |name| name.to_string_lossy().into_owned());
        let mut converted = convert(&name, bytes(path)?)?;
        converted.document.source = said;
        return Ok(Opened { documents: vec![converted], skipped: Vec::new() });
    }
    let mut opened = Opened::default();
    let mut walk = WalkBuilder::new(path);
    walk.require_git(false).follow_links(false).sort_by_file_path(Path::cmp);
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let source = error.into_io_error().unwrap_or_else(|| Error::other("cannot be listed"));
                let why = DocumentError::Io { path: said.clone(), source }.into();
                opened.skipped.push(Skipped { path: said.clone(), why });
                continue;
            }
        };
        let kind = entry.file_type();
        if kind.is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        let id = relative(entry.path(), path);
        if opened.documents.len() >= MAX_FILES {
            opened.skipped.push(Skipped { path: id, why: Skip::TooMany { limit: MAX_FILES } });
            break;
        }
        let read = if kind.is_some_and(|kind| kind.is_file()) { one(entry.path(), &id) } else { Err(Skip::NotAFile) };
        match read {
            Ok(converted) => opened.documents.push(converted),
            Err(why) => opened.skipped.push(Skipped { path: id, why }),
        }
    }
    Ok(opened)
}

/// The path below the folder, with `/` on every system.
fn relative(path: &Path, folder: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn one(path: &Path, id: &str) -> Result<Converted, Skip> {
    if is_lock_file(id) {
        return Err(Skip::LockFile);
    }
    let bytes = bytes(path)?;
    if bytes.is_empty() {
        return Err(Skip::Empty);
    }
    let format = format::detect(id, &bytes)?;
    if let Some(why) = written_by_a_program(id, &bytes, format) {
        return Err(why);
    }
    let mut converted = convert(id, bytes)?;
    converted.document.source = path.display().to_string();
    Ok(converted)
}

/// A file's bytes: mapped when it is large.
fn bytes(path: &Path) -> Result<Bytes> {
    let failed = |source| DocumentError::Io { path: path.display().to_string(), source };
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size >= MAP_FROM {
        // SAFETY: said in `open`'s words on large files: nobody changes the file while it is open.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        return Ok(Bytes::kept_by(Arc::new(map)));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}

fn is_lock_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(
        name,
        "Cargo.lock"
            | "package-lock.json"
            | "npm-shrinkwrap.json"
            | "yarn.lock"
            | "pnpm-lock.yaml"
            | "bun.lock"
            | "deno.lock"
            | "poetry.lock"
            | "uv.lock"
            | "pdm.lock"
            | "Pipfile.lock"
            | "composer.lock"
            | "Gemfile.lock"
            | "go.sum"
            | "flake.lock"
            | "pubspec.lock"
            | "Podfile.lock"
            | "mix.lock"
            | "packages.lock.json"
            | "gradle.lockfile"
    )
}

/// Code and data that a program wrote for a program.
fn written_by_a_program(path: &str, bytes: &[u8], format: Format) -> Option<Skip> {
    if path.ends_with(".min.js") || path.ends_with(".min.css") || path.ends_with(".min.mjs") {
        return Some(Skip::Minified);
    }
    if path.ends_with(".js.map") || path.ends_with(".css.map") {
        return Some(Skip::Generated { marker: "a source map".into() });
    }
    if format != Format::Code {
        return None;
    }
    let head = &bytes[..bytes.len().min(64 << 10)];
    let lines = 1 + head.iter().filter(|b| **b == b'\n').count();
    if head.len() > 4096 && head.len() / lines > 400 {
        return Some(Skip::Minified);
    }
    // Said in a comment at the top, as linguist and the tools themselves have it.
    let top = String::from_utf8_lossy(&head[..head.len().min(2048)]).into_owned();
    let comment = |line: &&str| ["//", "#", "/*", "*", "--", ";", "<!--"].iter().any(|mark| line.trim_start().starts_with(mark));
    let marks = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.contains("@generated") || line.contains("do not edit") || line.contains("code generated by") || line.contains("autogenerated")
    };
    let marker = top.lines().take(12).filter(comment).find(marks)?;
    Some(Skip::Generated { marker: marker.trim().chars().take(80).collect() })
}
